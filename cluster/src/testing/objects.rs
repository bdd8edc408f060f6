//! Objects with their history.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kubernetes::Resource;

/// Events are kept, too, so that what is reported can be looked at.
static EVENTS: Resource = Resource {
    group: "events.k8s.io",
    version: "v1",
    kind: "Event",
    plural: "events",
    optional: false,
};

/// What the observers' certificates are in.
static SECRETS: Resource = Resource {
    group: "",
    version: "v1",
    kind: "Secret",
    plural: "secrets",
    optional: false,
};

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Every request is answered with this status.
    pub status: Option<u16>,
    /// No streaming lists: 422, as a server says whose feature gate is off.
    pub no_streaming_lists: bool,
    /// Kinds, in the plural, that are not installed: 404.
    pub not_installed: Vec<String>,
    /// Nothing is given by its name: 403, as for a role without `get`.
    pub no_get: bool,
    /// Opening a watch at a version that is too old is answered with HTTP 410, not with an event.
    pub gone_at_once: bool,
    /// Bookmarks are sent after every event, not only where they must be.
    pub bookmarks: bool,
    /// Streaming lists end without the bookmark that says that they are whole.
    pub cut_lists: bool,
    /// Every event comes so late.
    pub slow: Option<std::time::Duration>,
    /// Objects of a page, whatever was asked for.
    pub page: Option<usize>,
}

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub version: u64,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub what: &'static str,
    pub plural: &'static str,
    pub object: Value,
}

type Name = (String, String);

#[derive(Debug)]
pub(crate) struct Objects {
    all: BTreeMap<&'static str, BTreeMap<Name, Value>>,
    pub(super) history: Vec<Change>,
    /// The last version that was given.
    pub(super) version: u64,
    /// Versions before this one are forgotten.
    pub(super) oldest: u64,
    pub(super) faults: Faults,
    pub(super) cuts: u64,
    /// Counts how often the server was away: connections of an earlier time are dead.
    pub(super) epoch: u64,
    pub(super) watches: usize,
}

/// The resource of a plural or of a kind.
pub(super) fn resource(word: &str) -> Option<&'static Resource> {
    resources().find(|resource| resource.plural == word || resource.kind == word)
}

/// Every resource.
pub(super) fn resources() -> impl Iterator<Item = &'static Resource> {
    crate::kubernetes::RESOURCES
        .iter()
        .chain([&EVENTS, &SECRETS])
}

pub(super) fn namespaced(resource: &Resource) -> bool {
    !matches!(
        resource.kind,
        "Namespace" | "Node" | "CiliumClusterwideNetworkPolicy" | "ClusterNetworkPolicy"
    )
}

impl Objects {
    pub fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            history: Vec::new(),
            version: 1,
            oldest: 1,
            faults: Faults::default(),
            cuts: 0,
            epoch: 0,
            watches: 0,
        }
    }

    /// Stores an object and gives it its version; `None` for a kind that is not known.
    pub fn put(&mut self, mut object: Value) -> Option<Value> {
        let kind = object.get("kind")?.as_str()?.to_owned();
        let resource = resource(&kind)?;
        let name = name_of(resource, &object);
        self.version += 1;
        let old = self.all.get(resource.plural).and_then(|all| all.get(&name));
        let (uid, generation) = match old {
            Some(old) => {
                let changed = old.get("spec") != object.get("spec");
                let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
                (
                    old["metadata"]["uid"].clone(),
                    generation + i64::from(changed),
                )
            }
            None => (json!(format!("uid-{}", self.version)), 1),
        };
        let what = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let metadata = metadata(&mut object);
        metadata.entry("uid").or_insert(uid);
        metadata.insert("generation".into(), generation.into());
        metadata.insert("resourceVersion".into(), self.version.to_string().into());
        metadata
            .entry("name")
            .or_insert_with(|| name.1.clone().into());
        if namespaced(resource) {
            metadata.insert("namespace".into(), name.0.clone().into());
        }
        let all = self.all.entry(resource.plural).or_default();
        all.insert(name, object.clone());
        self.changed(what, resource.plural, object.clone());
        Some(object)
    }

    pub fn delete(&mut self, word: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = resource(word)?;
        let name = (namespace.to_owned(), name.to_owned());
        let mut object = self.all.get_mut(resource.plural)?.remove(&name)?;
        self.version += 1;
        metadata(&mut object).insert("resourceVersion".into(), self.version.to_string().into());
        self.changed("DELETED", resource.plural, object.clone());
        Some(object)
    }

    pub fn get(&self, word: &str, namespace: &str, name: &str) -> Option<Value> {
        let name = (namespace.to_owned(), name.to_owned());
        self.all.get(resource(word)?.plural)?.get(&name).cloned()
    }

    pub fn all(&self, word: &str) -> Vec<Value> {
        let all = resource(word).and_then(|resource| self.all.get(resource.plural));
        all.map_or_else(Vec::new, |all| all.values().cloned().collect())
    }

    pub fn compact(&mut self) {
        // Also what is newest is forgotten: who watched until now must list again.
        self.version += 1;
        self.oldest = self.version;
        self.history.clear();
    }

    fn changed(&mut self, what: &'static str, plural: &'static str, object: Value) {
        let version = self.version;
        self.history.push(Change {
            version,
            what,
            plural,
            object,
        });
    }
}

fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("it is one now")
}

fn name_of(resource: &Resource, object: &Value) -> Name {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let namespace = match (namespaced(resource), text("namespace")) {
        (false, _) => "",
        (true, "") => "default",
        (true, namespace) => namespace,
    };
    (namespace.to_owned(), text("name").to_owned())
}
