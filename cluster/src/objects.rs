//! One JSON value as one object that policy speaks about. No state and no files: the kube
//! watchers convert with the same functions.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use weir_policy::{
    model::{CidrGroup, Labels, Namespace, Node, Policy, PolicyKind, Problem, Protocol, address},
    objects::{self as policies, DEFAULT_NAMESPACE, PolicyLog},
};

mod cidr_group;
mod node;
mod pod;
mod seen;
mod service;
mod workload;

pub use pod::{PodObject, PodPlacement, UNDER_POLICY, UnderPolicy};
pub use service::{ServiceObject, ServicePortObject, SliceObject, SlicePort, TargetPort};
pub use workload::{Workload, WorkloadKind};

/// The label that every namespace carries with its own name.
pub(crate) const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The kinds that are read; every other is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Namespace,
    Node,
    Pod,
    Service,
    EndpointSlice,
    /// What slices took the place of: read where manifests are, and no cluster makes slices of it.
    Endpoints,
    Policy(PolicyKind),
    CidrGroup,
    Workload(WorkloadKind),
}

/// Names an object; prints as `Kind/NAMESPACE/NAME` (`Kind/NAME` where cluster-wide).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: Kind,
    /// Empty for cluster-wide kinds.
    pub namespace: String,
    pub name: String,
}

/// An object that was understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    Namespace(Namespace),
    Node(Node),
    Pod(Box<PodObject>),
    Service(ServiceObject),
    EndpointSlice(SliceObject),
    /// As a slice for each subset.
    Endpoints(Vec<SliceObject>),
    Policy(PolicyObject),
    CidrGroup(CidrGroup),
    Workload(Box<Workload>),
}

/// A policy, and what it wants to be written beside its flows.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyObject {
    pub policy: Policy,
    pub logs: Vec<PolicyLog>,
}

/// What became of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Converted {
    /// An object; of a policy, what is not in force is told.
    Good {
        key: ObjectKey,
        object: Object,
        problems: Vec<Problem>,
    },
    /// Not understood: its last good version stays, or else the stand-in.
    Bad {
        key: ObjectKey,
        stand_in: Option<Object>,
        problems: Vec<Problem>,
    },
    /// No Kubernetes object at all.
    Alien { problem: Problem },
    /// A kind that says nothing to policy.
    Ignored { kind: String },
}

/// Converts one value.
pub fn convert(value: &Value) -> Converted {
    if let Some(kind) = policies::kind_of(value) {
        return policy(kind, value);
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("");
    let (version, name) = (text("apiVersion"), text("kind"));
    if name.is_empty() {
        return Converted::Alien {
            problem: Problem {
                object: String::new(),
                field: "kind".to_owned(),
                reason: "is missing: a Kubernetes object has `apiVersion` and `kind`".to_owned(),
            },
        };
    }
    let ignored = || Converted::Ignored {
        kind: format!("{version} {name}"),
    };
    if name == "CiliumCIDRGroup" && cidr_group::VERSIONS.contains(&version) {
        return cidr_group::convert(value);
    }
    let Some((kind, group)) = kind_of(name) else {
        return ignored();
    };
    if version.is_empty() {
        let key = key(kind, value);
        return bad(key, "apiVersion", format!("is missing: must be `{group}`"));
    }
    if version != group {
        // Another group's kind of the same name: Knative's Service.
        return ignored();
    }
    match kind {
        Kind::Namespace => seen::with_visibility(value, typed(kind, value, namespace)),
        Kind::Node => typed(kind, value, node::node),
        Kind::Pod => seen::with_visibility(value, typed(kind, value, pod::pod)),
        Kind::Service => typed(kind, value, service::service),
        Kind::EndpointSlice => typed(kind, value, service::slice),
        Kind::Endpoints => typed(kind, value, service::endpoints),
        Kind::Workload(of) => typed(kind, value, |head, raw| workload::workload(of, head, raw)),
        Kind::Policy(_) | Kind::CidrGroup => ignored(),
    }
}

fn kind_of(name: &str) -> Option<(Kind, &'static str)> {
    Some(match name {
        "Namespace" => (Kind::Namespace, "v1"),
        "Node" => (Kind::Node, "v1"),
        "Pod" => (Kind::Pod, "v1"),
        "Service" => (Kind::Service, "v1"),
        "EndpointSlice" => (Kind::EndpointSlice, "discovery.k8s.io/v1"),
        "Endpoints" => (Kind::Endpoints, "v1"),
        other => {
            let kind = WorkloadKind::named(other)?;
            (Kind::Workload(kind), kind.group())
        }
    })
}

/// Whether an object is of a kind that is read and has a namespace.
pub(crate) fn namespaced(value: &Value) -> bool {
    if let Some(kind) = policies::kind_of(value) {
        return !kind.is_cluster_wide();
    }
    let name = value.get("kind").and_then(Value::as_str);
    let kind = name.and_then(kind_of).map(|(kind, _)| kind);
    kind.is_some_and(|kind| !matches!(kind, Kind::Namespace | Kind::Node))
}

fn policy(kind: PolicyKind, value: &Value) -> Converted {
    let reference = policies::reference(kind, value);
    let key = ObjectKey {
        kind: Kind::Policy(kind),
        namespace: reference.namespace,
        name: reference.name,
    };
    match policies::parse(kind, value) {
        Ok(parsed) => Converted::Good {
            key,
            object: Object::Policy(PolicyObject {
                policy: parsed.policy,
                logs: policies::logs(kind, value),
            }),
            problems: parsed.problems,
        },
        Err(refused) => Converted::Bad {
            key,
            stand_in: Some(Object::Policy(PolicyObject {
                policy: refused.stand_in,
                logs: Vec::new(),
            })),
            problems: refused.problems,
        },
    }
}

/// What every object has.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    namespace: String,
    #[serde(deserialize_with = "or_default")]
    uid: String,
    deletion_timestamp: Option<String>,
    #[serde(deserialize_with = "or_default")]
    labels: Labels,
    #[serde(deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    owner_references: Vec<Owner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    #[serde(deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    uid: String,
    #[serde(deserialize_with = "or_default")]
    controller: bool,
}

/// The parts of an object, with types of their own: only what policy needs is read, so that a
/// field of a newer API can never make an object unreadable.
#[derive(Debug, Default, Deserialize)]
#[serde(
    default,
    bound(deserialize = "Spec: Deserialize<'de> + Default, Status: Deserialize<'de> + Default")
)]
struct Raw<Spec, Status> {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    spec: Spec,
    #[serde(deserialize_with = "or_default")]
    status: Status,
}

/// A field that is wrong, and why.
type Fault = (String, String);

fn typed<T: DeserializeOwned>(
    kind: Kind,
    value: &Value,
    build: impl FnOnce(&ObjectKey, T) -> Result<Object, Fault>,
) -> Converted {
    let key = key(kind, value);
    let generated = value.pointer("/metadata/generateName").is_some();
    if key.name.is_empty() && generated {
        return bad(key, "metadata.name", policies::NO_NAME.to_owned());
    }
    if let Err(reason) = named(&key) {
        return bad(key, "metadata.name", reason);
    }
    let raw = match serde_path_to_error::deserialize::<_, T>(value) {
        Ok(raw) => raw,
        Err(error) => {
            let field = error.path().to_string();
            return bad(key, &field, error.into_inner().to_string());
        }
    };
    match build(&key, raw) {
        Ok(object) => Converted::Good {
            key,
            object,
            problems: Vec::new(),
        },
        Err((field, reason)) => bad(key, &field, reason),
    }
}

fn bad(key: ObjectKey, field: &str, reason: String) -> Converted {
    let problem = Problem {
        object: key.to_string(),
        field: field.to_owned(),
        reason,
    };
    Converted::Bad {
        key,
        stand_in: None,
        problems: vec![problem],
    }
}

fn key(kind: Kind, value: &Value) -> ObjectKey {
    let text = |name: &str| {
        value
            .get("metadata")
            .and_then(|metadata| metadata.get(name))
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let namespace = match (kind, text("namespace")) {
        (Kind::Namespace | Kind::Node | Kind::CidrGroup, _) => String::new(),
        (_, namespace) if namespace.is_empty() => DEFAULT_NAMESPACE.to_owned(),
        (_, namespace) => namespace,
    };
    ObjectKey {
        kind,
        namespace,
        name: text("name"),
    }
}

/// Names go into log lines and file names.
fn named(key: &ObjectKey) -> Result<(), String> {
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b))
    };
    if key.name.is_empty() {
        return Err("is missing".to_owned());
    }
    if !plain(&key.name) || !plain(&key.namespace) {
        return Err("may have letters, digits, `-` and `.` only".to_owned());
    }
    Ok(())
}

fn namespace(key: &ObjectKey, raw: Raw<Value, Value>) -> Result<Object, Fault> {
    let mut labels = raw.metadata.labels;
    labels.insert(NAMESPACE_NAME_LABEL.to_owned(), key.name.clone());
    Ok(Object::Namespace(Namespace {
        labels,
        ..Namespace::default()
    }))
}

/// The one form of an address, whatever an object writes.
fn address(text: &str, field: impl FnOnce() -> String) -> Result<std::net::IpAddr, Fault> {
    address::parse(text).map_err(|error| (field(), error.to_string()))
}

/// `TCP` where an object names none.
fn protocol(text: Option<&str>, field: impl FnOnce() -> String) -> Result<Protocol, Fault> {
    match text {
        None | Some("" | "TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err((
            field(),
            format!(
                "`{}` must be one of `TCP`, `UDP` or `SCTP`",
                other.escape_debug()
            ),
        )),
    }
}

/// `null` is the same as missing, as in the Kubernetes API.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

// === impl ObjectKey ===

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            "unnamed"
        } else {
            &self.name
        };
        match (self.kind, self.namespace.as_str()) {
            (kind, "") => write!(f, "{kind}/{name}"),
            (kind, namespace) => write!(f, "{kind}/{namespace}/{name}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
            Self::Policy(kind) => kind.as_str(),
            Self::CidrGroup => "CiliumCIDRGroup",
            Self::Workload(kind) => kind.as_str(),
        })
    }
}

#[cfg(test)]
mod tests;
