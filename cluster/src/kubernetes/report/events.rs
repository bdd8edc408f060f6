//! Events about objects.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Error,
    api::PostParams,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::json;

/// The longest note of an event that servers take, in bytes (events.k8s.io/v1).
const LONGEST: usize = 1024;

/// Something that happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// `apiVersion` of the object.
    pub version: String,
    /// Kind of the object.
    pub kind: &'static str,
    /// Namespace of the object; empty where its kind is cluster-wide.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// `metadata.uid` of the object.
    pub uid: String,
    /// One word.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
}

/// Writes an event, unless it is there.
pub async fn emit(client: &Client, node: &str, event: &Event) -> Result<(), Error> {
    let kind = GroupVersionKind::gvk("events.k8s.io", "v1", "Event");
    let events = ApiResource::from_gvk(&kind);
    // Events of cluster-wide objects live in `default`, as Kubernetes' own do.
    let namespace = if event.namespace.is_empty() {
        "default"
    } else {
        &event.namespace
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &events);
    let now = Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string();
    let mut hash = DefaultHasher::new();
    event.hash(&mut hash);
    let message = cut(&event.message, LONGEST);
    let object = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{}.{:016x}", event.name, hash.finish()), "namespace": namespace},
        "type": "Warning",
        "reason": event.reason,
        "note": message,
        "action": "Enforce",
        "regarding": {
            "apiVersion": event.version, "kind": event.kind, "namespace": event.namespace,
            "name": event.name, "uid": event.uid,
        },
        "reportingController": "weir.dev/agent",
        "reportingInstance": cut(node, 128),
        "eventTime": now,
    });
    let object: DynamicObject = serde_json::from_value(object).map_err(Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        // Another node was first.
        Err(Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

/// The beginning of a text, of so many bytes at the most.
fn cut(text: &str, bytes: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes.min(text.len())).rev().find(fits).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("", 2), "");
    }
}
