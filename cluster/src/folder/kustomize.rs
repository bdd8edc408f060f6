//! What a `kustomization.yaml` says of the files that it names: the namespace of the objects that have
//! none. Nothing else of kustomize is done here, and that is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use serde_json::Value;
use weir_policy::{model::Problem, objects::dns_label};

use super::SourceProblem;
use crate::yaml::Document;

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The API group of its objects.
pub const GROUP: &str = "kustomize.config.k8s.io/";

/// The kustomizations among the files, by their folders.
#[derive(Debug, Default)]
pub struct Kustomizations(BTreeMap<PathBuf, Kustomization>);

#[derive(Debug)]
struct Kustomization {
    namespace: Option<String>,
    /// Files and folders, as [`plain`] has them.
    resources: Vec<PathBuf>,
}

/// Whether kustomize takes a file of this name for its own.
pub fn is_kustomization(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| NAMES.contains(&name))
}

/// What a reader tells that does nothing of what a kustomization says.
pub fn not_applied() -> Problem {
    Problem {
        object: String::new(),
        field: String::new(),
        reason: "Weir does not run kustomize: nothing of this is applied; render it first: \
                 `kubectl kustomize`"
            .to_owned(),
    }
}

/// A path without `.` and, as far as it is written, without `..`.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

// === impl Kustomizations ===

impl Kustomizations {
    /// Those among files that were read; tells of each what is not done.
    pub fn of(read: &[(PathBuf, Document)], problems: &mut Vec<SourceProblem>) -> Self {
        let mut found = BTreeMap::new();
        for (file, document) in read.iter().filter(|(file, _)| is_kustomization(file)) {
            let folder = file.parent().unwrap_or(Path::new(""));
            let namespace = match namespace(&document.value) {
                Ok(namespace) => namespace,
                Err(reason) => {
                    problems.push(problem(document, "namespace", reason));
                    None
                }
            };
            let folder_said = match folder.as_os_str().is_empty() {
                true => ".".to_owned(),
                false => folder.display().to_string(),
            };
            let applied = match &namespace {
                Some(name) => format!(
                    "of this only `namespace: {name}` is applied, to objects of its `resources` that \
                     name none"
                ),
                None => "nothing of this is applied".to_owned(),
            };
            let whole = format!("`kubectl kustomize {folder_said} | weir lint -f -`");
            let note = format!("Weir does not run kustomize: {applied}; all of it: {whole}");
            problems.push(problem(document, "", note));
            let resources = resources(&document.value);
            let resources = resources.map(|resource| plain(&folder.join(resource)));
            let one = Kustomization {
                namespace,
                resources: resources.collect(),
            };
            found.insert(plain(folder), one);
        }
        Self(found)
    }

    /// The namespaces that are given to each file, by its plain path; more than one is a doubt.
    pub fn namespaces(&self) -> BTreeMap<&Path, BTreeSet<&str>> {
        let mut given: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
        for one in self.0.values() {
            let Some(namespace) = &one.namespace else {
                continue;
            };
            let mut left: Vec<&Path> = one.resources.iter().map(PathBuf::as_path).collect();
            let mut seen = BTreeSet::new();
            while let Some(resource) = left.pop() {
                if !seen.insert(resource) {
                    continue;
                }
                match self.0.get(resource) {
                    Some(inner) => left.extend(inner.resources.iter().map(PathBuf::as_path)),
                    None => {
                        given.entry(resource).or_default().insert(namespace);
                    }
                }
            }
        }
        given
    }
}

fn namespace(value: &Value) -> Result<Option<String>, String> {
    match value.get("namespace") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name.is_empty() => Ok(None),
        Some(Value::String(name)) => dns_label(name).map(|()| Some(name.clone())),
        Some(_) => Err("must be text".to_owned()),
    }
}

/// `bases` is what `resources` was called for folders.
fn resources(value: &Value) -> impl Iterator<Item = &str> {
    let lists = ["resources", "bases"].into_iter();
    let lists = lists.filter_map(|name| value.get(name).and_then(Value::as_array));
    lists.flatten().filter_map(Value::as_str)
}

fn problem(document: &Document, field: &str, reason: String) -> SourceProblem {
    let problem = Problem {
        object: String::new(),
        field: field.to_owned(),
        reason,
    };
    SourceProblem::of(document, problem)
}
