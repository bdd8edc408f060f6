//! Objects as people write them: one value with its identity and the place it came from.

pub mod kind;
pub mod read;

use std::fmt;

use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What names an object in the lab.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    pub kind: String,
    /// `None` for what belongs to no namespace.
    pub namespace: Option<String>,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    pub key: Key,
    /// File and document, for messages.
    pub source: String,
    pub value: Value,
}

// === impl Key ===

impl Key {
    pub fn new(kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self {
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
        }
    }

    /// What kubectl says where there is no such object.
    pub fn not_found(&self) -> anyhow::Error {
        anyhow!(
            "Error from server (NotFound): {} {:?} not found",
            self.resources(),
            self.name
        )
    }

    /// `networkpolicies.networking.k8s.io`.
    pub fn resources(&self) -> String {
        kind::resources(&self.kind)
    }

    /// The object's file in the folder that the agent watches.
    pub fn file_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}_{namespace}_{}.yaml", self.kind, self.name),
            None => format!("{}_{}.yaml", self.kind, self.name),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

// === impl Object ===

impl Object {
    /// The object as its Kubernetes type; a wrong field is named with its path.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(&self.value)
            .map_err(|error| self.wrong(&error.path().to_string(), error.inner()))
    }

    /// An error about one field of this object.
    pub fn wrong(&self, field: &str, reason: impl fmt::Display) -> anyhow::Error {
        anyhow!("{}: {}: {field}: {reason}", self.source, self.key)
    }

    /// `deployment.apps/httpbin`, as kubectl prints it.
    pub fn resource(&self) -> String {
        format!("{}/{}", self.resource_kind(), self.key.name)
    }

    /// `deployment.apps`.
    pub fn resource_kind(&self) -> String {
        Self::resource_kind_of(&self.value)
    }

    /// The same of an object as it is written.
    pub fn resource_kind_of(value: &Value) -> String {
        let kind = value["kind"].as_str().unwrap_or_default().to_lowercase();
        let version = value["apiVersion"].as_str().unwrap_or_default();
        match version.split_once('/') {
            Some((group, _)) => format!("{kind}.{group}"),
            None => kind,
        }
    }
}
