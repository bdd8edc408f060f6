//! Manifests as people keep them, for readers that have no cluster: what `kubectl`, kustomize and the
//! API server would fill in is filled in, as far as the files tell.
//!
//! An agent reads without this: what it enforces has the name and the namespace that is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;
use weir_policy::objects::{DEFAULT_NAMESPACE, kind_of};

use super::{
    SourceProblem,
    kustomize::{Kustomizations, is_kustomization, plain},
};
use crate::{objects::namespaced, yaml::Document};

/// What stands for the end of a name that a cluster makes up of `generateName`.
const MADE_UP: &str = "generated";
const CHART: &str = "Chart.yaml";

/// What objects get that do not say it.
#[derive(Debug)]
pub struct Offline {
    namespace: String,
}

/// How often names were made up of the same, by kind and namespace.
type MadeUp = BTreeMap<(String, String, String), usize>;

impl Offline {
    /// With the namespace of objects that name none.
    pub fn new(namespace: String) -> Self {
        Self { namespace }
    }

    /// The documents that are objects, with namespaces and names.
    pub fn filled(
        &self,
        read: Vec<(PathBuf, Document)>,
        problems: &mut Vec<SourceProblem>,
    ) -> Vec<Document> {
        let kustomizations = Kustomizations::of(&read, problems);
        let given = kustomizations.namespaces();
        let mut doubtful = BTreeSet::new();
        let mut made_up = MadeUp::new();
        let mut filled = Vec::new();
        for (file, mut document) in read {
            if no_object(&file, &document.value) {
                continue;
            }
            let names = given.get(plain(&file).as_path());
            let one = names.filter(|names| names.len() == 1);
            let given = one.and_then(|names| names.first()).copied();
            let nameless = space(&mut document.value, given.unwrap_or(&self.namespace));
            if let (true, Some(names)) = (nameless, names.filter(|names| names.len() > 1))
                && doubtful.insert(file)
            {
                problems.push(doubt(&document, names));
            }
            name(&mut document.value, &mut made_up);
            filled.push(document);
        }
        filled
    }
}

/// Files that others read: a kustomization, a chart's description, its values. An object in one of
/// them is an object.
fn no_object(file: &Path, value: &Value) -> bool {
    let says = |name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.is_some_and(|text| !text.is_empty())
    };
    // A policy that lacks its version is a policy, whose mistake is told.
    let object = says("apiVersion") && says("kind") || kind_of(value).is_some();
    !object && (is_kustomization(file) || of_chart(file))
}

fn of_chart(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or("");
    let known = name == CHART || name.starts_with("values");
    known && file.with_file_name(CHART).is_file()
}

fn metadata<'v>(value: &'v Value, name: &str) -> &'v str {
    let text = value
        .get("metadata")
        .and_then(|metadata| metadata.get(name));
    text.and_then(Value::as_str).unwrap_or("")
}

/// Whether a field of the metadata says nothing; what is of a wrong type is left to be told.
fn silent(value: &Value, name: &str) -> bool {
    let field = value
        .get("metadata")
        .and_then(|metadata| metadata.get(name));
    field.is_none_or(|field| field.is_null() || field.as_str() == Some(""))
}

fn say(value: &mut Value, name: &str, text: &str) {
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata.insert(name.to_owned(), Value::from(text));
    }
}

/// Gives an object a namespace that could name one and does not; tells whether it is such an object.
fn space(value: &mut Value, namespace: &str) -> bool {
    let nameless = namespaced(value) && silent(value, "namespace");
    if nameless && namespace != DEFAULT_NAMESPACE {
        say(value, "namespace", namespace);
    }
    nameless
}

/// Gives an object that has a `generateName` only a name for it.
fn name(value: &mut Value, made_up: &mut MadeUp) {
    let begins = metadata(value, "generateName").to_owned();
    if begins.is_empty() || !silent(value, "name") {
        return;
    }
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or("");
    let space = metadata(value, "namespace").to_owned();
    let times = made_up
        .entry((kind.to_owned(), space, begins.clone()))
        .or_default();
    *times += 1;
    let name = match *times {
        1 => format!("{begins}{MADE_UP}"),
        number => format!("{begins}{MADE_UP}-{number}"),
    };
    say(value, "name", &name);
}

fn doubt(document: &Document, names: &BTreeSet<&str>) -> SourceProblem {
    let names: Vec<&str> = names.iter().copied().collect();
    SourceProblem {
        place: document.place.clone(),
        object: String::new(),
        field: "metadata.namespace".to_owned(),
        reason: format!(
            "several kustomizations give this file's objects a namespace ({}), and none is applied: \
             read one of them",
            names.join(", ")
        ),
        fatal: false,
    }
}

#[cfg(test)]
mod tests;
