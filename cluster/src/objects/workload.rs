//! Workloads that make pods, for readers of manifests that have no cluster to make them.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Fault, Meta, Object, ObjectKey, Raw, or_default,
    pod::{self, PodObject},
};

/// More replicas than this are not made: a manifest is no proof of a machine that carries them.
const MAX_REPLICAS: u32 = 10_000;

/// A kind that makes pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
}

/// A workload: its pod, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The pod without name and address.
    pub template: PodObject,
    /// `None`: one for each node.
    pub replicas: Option<u32>,
    /// Another workload made it and stands for its pods.
    pub owned: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSpec {
    replicas: Option<u32>,
    #[serde(deserialize_with = "or_default")]
    template: RawTemplate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawTemplate {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    spec: pod::RawSpec,
}

pub(super) fn workload(
    kind: WorkloadKind,
    key: &ObjectKey,
    raw: Raw<RawSpec, Value>,
) -> Result<Object, Fault> {
    let RawSpec { replicas, template } = raw.spec;
    let replicas = match kind {
        WorkloadKind::DaemonSet => None,
        _ => Some(replicas.unwrap_or(1)),
    };
    if let Some(count) = replicas.filter(|count| *count > MAX_REPLICAS) {
        return Err((
            "spec.replicas".to_owned(),
            format!("`{count}` is more than {MAX_REPLICAS}"),
        ));
    }
    let template = pod::of_template(&key.namespace, template.metadata.labels, &template.spec)
        .map_err(|(field, reason)| (format!("spec.template.{field}"), reason))?;
    Ok(Object::Workload(Box::new(Workload {
        template,
        replicas,
        owned: raw
            .metadata
            .owner_references
            .iter()
            .any(|owner| WorkloadKind::named(&owner.kind).is_some()),
    })))
}

impl WorkloadKind {
    /// The kind that objects name so.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Deployment" => Self::Deployment,
            "ReplicaSet" => Self::ReplicaSet,
            "StatefulSet" => Self::StatefulSet,
            "DaemonSet" => Self::DaemonSet,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}
