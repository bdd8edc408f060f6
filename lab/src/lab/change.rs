//! Changing one object of a lab in place, and pods that are there for one command.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::{Applied, Lab};
use crate::object::{Key, Object, kind, read};
use crate::store;

/// A pod for one command, as `kubectl run` makes it.
#[derive(Debug, Clone)]
pub struct RunPod {
    pub name: String,
    pub namespace: String,
    pub image: String,
    /// Without any, `run=NAME`, as kubectl does it.
    pub labels: BTreeMap<String, String>,
    pub env: BTreeMap<String, String>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// Whether a service of its name leads to that port.
    pub expose: bool,
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
                None if store::exists(state, &key) => mentioned(&key),
                None => return Err(key.not_found()),
            };
            merge(&mut object.value, patch);
            let named = object.value["metadata"]["name"].as_str() == Some(&key.name);
            if !named || object.value["metadata"]["namespace"].as_str() != namespace {
                bail!("{key}: a patch cannot move an object");
            }
            let mut changes = store::store(state, vec![object]);
            for change in &mut changes {
                change.what = match change.what {
                    "unchanged" => "patched (no change)",
                    _ => "patched",
                };
            }
            Ok(changes)
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
        let mut applied = self.patch(kind, namespace, name, &patch)?;
        for change in &mut applied.changes {
            change.what = match change.what {
                "patched" => "labeled",
                _ => "not labeled",
            };
        }
        Ok(applied)
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
            (true, Some(name)) => Err(Key::new(kind, namespace, name).not_found()),
            _ => Ok(found),
        }
    }

    /// Makes a pod for a command; it is under policy when this returns.
    ///
    /// # Errors
    /// There is such a pod already.
    pub fn run_pod(&self, run: &RunPod) -> Result<Applied> {
        let mut labels = run.labels.clone();
        if labels.is_empty() {
            labels.insert("run".into(), run.name.clone());
        }
        let env = run.env.iter();
        let env: Vec<Value> = env
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let mut container = json!({ "name": run.name, "image": run.image, "env": env });
        if let Some(port) = run.port {
            container["ports"] = json!([{ "containerPort": port }]);
        }
        let metadata = json!({ "name": run.name, "namespace": run.namespace, "labels": labels });
        let mut objects = vec![json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": { "containers": [container] },
        })];
        if run.expose {
            objects.push(json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": { "selector": labels, "ports": [{ "port": run.port }] },
            }));
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        self.create(read::text(&list.to_string(), "run", &run.namespace)?)
    }

    /// Puts objects in that are not there yet.
    ///
    /// # Errors
    /// One of them is there, or is wrong; then nothing is changed.
    pub(crate) fn create(&self, objects: Vec<Object>) -> Result<Applied> {
        self.change(|state| store::create(state, objects))
    }

    /// Puts objects in the place of those that are there.
    pub(crate) fn put(&self, objects: Vec<Object>) -> Result<Applied> {
        self.change(|state| Ok(store::store(state, objects)))
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
