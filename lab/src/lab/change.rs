//! Changing one object of a lab in place, and pods that are there for one command.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use super::{Applied, Lab};
use crate::object::{Key, Object, kind};
use crate::state::Pod;
use crate::store;

/// A pod for one command, as `kubectl run` makes it.
#[derive(Debug, Clone)]
pub struct RunPod {
    pub name: String,
    pub namespace: String,
    pub image: String,
    /// Without any, `run=NAME`, as kubectl does it.
    pub labels: BTreeMap<String, String>,
}

impl Lab {
    /// Merges a patch into an object, as `kubectl patch --type merge` does: what is null goes.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Applied> {
        let namespace = (!kind::is_cluster_scoped(kind)).then_some(namespace);
        let key = Key::new(kind, namespace, name);
        self.change(|state| {
            let mut object = match state.object(&key) {
                Some(object) => object.clone(),
                // Namespaces that manifests only mention exist as well.
                None if kind == "Namespace" => mentioned(&key),
                None => bail!("not found: {key}"),
            };
            merge(&mut object.value, patch);
            let named = object.value["metadata"]["name"].as_str() == Some(&key.name);
            if !named || object.value["metadata"]["namespace"].as_str() != namespace {
                bail!("{key}: a patch cannot move an object");
            }
            Ok(store::store(state, vec![object]))
        })
    }

    /// Sets labels of an object, and takes those away that have no value.
    pub fn label(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<Applied> {
        let patch = json!({ "metadata": { "labels": labels } });
        self.patch(kind, namespace, name, &patch)
    }

    /// The objects of a kind in a namespace as they are stored; all of them without a name.
    pub fn get(&self, kind: &str, namespace: &str, name: Option<&str>) -> Result<Vec<Value>> {
        let namespace = (!kind::is_cluster_scoped(kind)).then_some(namespace);
        let found: Vec<Value> = self
            .state()?
            .objects
            .into_iter()
            .filter(|object| object.key.kind == kind)
            .filter(|object| object.key.namespace.as_deref() == namespace)
            .filter(|object| name.is_none_or(|name| object.key.name == name))
            .map(|object| object.value)
            .collect();
        match (found.is_empty(), name) {
            (true, Some(name)) => bail!("not found: {}", Key::new(kind, namespace, name)),
            _ => Ok(found),
        }
    }

    /// Makes a pod for a command; it is under policy when this returns.
    pub fn run_pod(&self, run: &RunPod) -> Result<Pod> {
        let key = Key::new("Pod", Some(&run.namespace), &run.name);
        if self.state()?.object(&key).is_some() {
            bail!("pod/{} exists already", run.name);
        }
        let mut labels = run.labels.clone();
        if labels.is_empty() {
            labels.insert("run".into(), run.name.clone());
        }
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": run.name, "namespace": run.namespace, "labels": labels },
            "spec": { "containers": [{ "name": run.name, "image": run.image }] },
        });
        self.apply_in(&pod.to_string(), &run.namespace)?;
        self.pod(&format!("{}/{}", run.namespace, run.name))
            .context("a pod that was just made")
    }
}

fn mentioned(key: &Key) -> Object {
    Object {
        key: key.clone(),
        source: "the lab itself".into(),
        value: json!({ "apiVersion": "v1", "kind": key.kind, "metadata": { "name": key.name } }),
    }
}

/// RFC 7386: objects are merged, null removes, everything else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Value::Object(fields) = target {
                fields.remove(key);
            }
        } else {
            merge(&mut target[key], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_merge() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1, 2]});
        merge(
            &mut value,
            &json!({"a": {"b": null, "e": {"f": null, "g": 3}}, "d": [4]}),
        );
        assert_eq!(value, json!({"a": {"c": 2, "e": {"g": 3}}, "d": [4]}));
    }
}
