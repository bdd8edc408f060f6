//! Policy objects as people write them, turned into the [`model`](crate::model).
//!
//! Strict, and closed where in doubt. A rule that cannot be honoured is left out and the rest of
//! its policy stays in force, its directions stay isolated:
//!
//! | what is wrong | what is in force |
//! |---|---|
//! | an allow rule, or one entry of `toPorts` or `http` | the rest, without it |
//! | every entry of `http` | the rule, allowing no request |
//! | a deny rule | deny of all that it may mean: the peers and ports of it that are understood, else everything |
//! | the policy's structure or its subject | [`Refused`]: the last good version (the caller keeps it), or the stand-in, for all that the subject may mean |

use serde_json::Value;

use crate::model::{L7, NamespaceScope, ObjectRef, Policy, PolicyKind, PolicySpec, Problem};

mod at_most;
mod cidr;
mod cilium;
mod cluster_policy;
mod field;
mod labels;
mod log;
mod network_policy;
pub mod pattern;
mod ports;
mod template;
#[cfg(test)]
mod tests;

use field::{Fault, Field, quoted};
pub use labels::dns_label;
pub use log::{PolicyLog, logs, of_rule};
pub use template::unrendered;

/// The annotation that says whether a policy is in force (`enforce`) or only reports what it
/// would deny (`audit`).
pub const MODE: &str = "weir.dev/mode";

/// The annotation that lets requests have a body whose method gives it no meaning (`allow`):
/// GET, HEAD, DELETE, OPTIONS and TRACE. Without it they are refused.
pub const GET_BODY: &str = "weir.dev/get-body";

/// Why a `generateName` is no name where an object is enforced as it stands.
pub const NO_NAME: &str = "is missing: only an API server makes one of `generateName`, and an object is known \
                           by its name when it changes; write a name";

/// The namespace of an object that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A policy that was understood, whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What is in force.
    pub policy: Policy,
    /// What of it is not, and why; empty for a good policy.
    pub problems: Vec<Problem>,
}

/// A policy whose structure or subject was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", first(problems))]
pub struct Refused {
    /// What is wrong; never empty.
    pub problems: Vec<Problem>,
    /// What to put in force where there is no last good version: as closed as anything that the
    /// object can have meant, for those pods only that it can mean (none, where it names none that
    /// can be here).
    pub stand_in: Policy,
}

/// Which policy kind an object is meant to be; `None` for every other object.
///
/// A group that is ours with a version that is not (or no `apiVersion` at all) is still meant as
/// a policy: [`parse`] refuses it, so that it does not vanish without a word. The NetworkPolicy
/// of another group (Calico's) is another kind.
pub fn kind_of(value: &Value) -> Option<PolicyKind> {
    let version = value
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or("");
    let (group, _) = version.split_once('/').unwrap_or(("", version));
    match (value.get("kind")?.as_str()?, group) {
        ("NetworkPolicy", "networking.k8s.io" | "extensions" | "") => {
            Some(PolicyKind::NetworkPolicy)
        }
        ("CiliumNetworkPolicy", "cilium.io" | "") => Some(PolicyKind::CiliumNetworkPolicy),
        ("CiliumClusterwideNetworkPolicy", "cilium.io" | "") => {
            Some(PolicyKind::CiliumClusterwideNetworkPolicy)
        }
        ("ClusterNetworkPolicy", "policy.networking.k8s.io" | "") => {
            Some(PolicyKind::ClusterNetworkPolicy)
        }
        _ => None,
    }
}

/// The name of a policy object, readable even where the object is not valid.
pub fn reference(kind: PolicyKind, value: &Value) -> ObjectRef {
    let metadata = value.get("metadata");
    let text = |name: &str| match metadata.and_then(|metadata| metadata.get(name)) {
        Some(Value::String(text)) => readable(text),
        Some(Value::Number(number)) => readable(&number.to_string()),
        Some(Value::Bool(flag)) => flag.to_string(),
        _ => String::new(),
    };
    let namespace = match (kind, text("namespace")) {
        (kind, _) if kind.is_cluster_wide() => String::new(),
        (_, namespace) if namespace.is_empty() => DEFAULT_NAMESPACE.to_owned(),
        (_, namespace) => namespace,
    };
    let name = match text("name") {
        name if name.is_empty() => "unnamed".to_owned(),
        name => name,
    };
    ObjectRef {
        kind,
        namespace,
        name,
    }
}

/// Reads a policy object. `kind` is what [`kind_of`] says of it.
///
/// # Errors
/// [`Refused`] where its structure or its subject is not understood.
pub fn parse(kind: PolicyKind, value: &Value) -> Result<Parsed, Box<Refused>> {
    let object = reference(kind, value);
    let root = Field::root(value);
    let mut faults = Vec::new();
    let wrong_head = head(kind, &root)
        .map_err(|fault| faults.push(fault))
        .is_err();
    let scope = scope(&object, value);
    let specs = match kind {
        PolicyKind::NetworkPolicy => network_policy::specs(&root, &scope, &mut faults),
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            cilium::specs(&root, &scope, &mut faults)
        }
        PolicyKind::ClusterNetworkPolicy => cluster_policy::specs(&root, &mut faults),
    };
    let refused = wrong_head || specs.refused;
    let audit = audit(&root, &mut faults);
    let get_body = get_body(&root, &mut faults);
    let problems: Vec<Problem> = faults
        .into_iter()
        .map(|fault| fault.problem(&object))
        .collect();
    let mut specs = if wrong_head {
        // The rest may mean something else than it says: close all of it, the good parts too.
        stand_in(kind, value, &scope)
    } else {
        specs.specs
    };
    if get_body {
        allow_bodies(&mut specs);
    }
    let policy = Policy {
        object,
        audit,
        specs,
    };
    if refused {
        return Err(Box::new(Refused {
            problems,
            stand_in: policy,
        }));
    }
    Ok(Parsed { policy, problems })
}

/// The fail-closed stand-in of an object: selects the pods that it may mean (by what is understood of
/// its selector) and denies the directions that it names (both where unknown).
pub fn closed(kind: PolicyKind, value: &Value) -> Policy {
    let object = reference(kind, value);
    let specs = stand_in(kind, value, &scope(&object, value));
    Policy {
        object,
        audit: audit(&Field::root(value), &mut Vec::new()),
        specs,
    }
}

/// Whether the annotation [`MODE`] puts a policy into audit mode. One that is not understood
/// leaves it in force.
fn audit(root: &Field<'_>, faults: &mut Vec<Fault>) -> bool {
    let wrong = "is neither `enforce` nor `audit`: the policy is in force";
    annotated(root, MODE, "audit", "enforce", wrong, faults)
}

/// Whether the annotation [`GET_BODY`] is there. One that is not understood lets nothing pass.
fn get_body(root: &Field<'_>, faults: &mut Vec<Fault>) -> bool {
    let wrong = "is neither `allow` nor `refuse`: such requests are refused";
    annotated(root, GET_BODY, "allow", "refuse", wrong, faults)
}

/// Whether an annotation has the value `on`; missing it is `off`, and so is any other value, which
/// is a fault.
fn annotated(
    root: &Field<'_>,
    name: &str,
    on: &str,
    off: &str,
    wrong: &str,
    faults: &mut Vec<Fault>,
) -> bool {
    let value = root
        .value
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get(name));
    match value.map(|value| value.as_str().unwrap_or_default()) {
        None => false,
        Some(text) if text == off => false,
        Some(text) if text == on => true,
        Some(_) => {
            let place = Field {
                path: format!("metadata.annotations[{name}]"),
                ..*root
            };
            faults.push(place.fault(wrong));
            false
        }
    }
}

/// Tells all HTTP rules of a policy that its annotation is there.
fn allow_bodies(specs: &mut [PolicySpec]) {
    let rules = specs
        .iter_mut()
        .flat_map(|spec| spec.ingress.rules.iter_mut().chain(&mut spec.egress.rules));
    for rule in rules {
        if let Some(L7::Http(entries)) = &mut rule.l7 {
            entries.iter_mut().for_each(|entry| entry.get_body = true);
        }
    }
}

/// What the parser of a kind returns: the parts, and whether one of them is only a stand-in.
struct Specs {
    specs: Vec<PolicySpec>,
    refused: bool,
}

fn stand_in(kind: PolicyKind, value: &Value, scope: &NamespaceScope) -> Vec<PolicySpec> {
    match kind {
        PolicyKind::NetworkPolicy => {
            Vec::from_iter(network_policy::closed(value.get("spec"), scope))
        }
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            cilium::closed_all(value, scope)
        }
        PolicyKind::ClusterNetworkPolicy => cluster_policy::closed(value),
    }
}

/// The namespaces whose pods an object is about. A namespace that is no string at all may mean any.
fn scope(object: &ObjectRef, value: &Value) -> NamespaceScope {
    if object.kind.is_cluster_wide() {
        return NamespaceScope::All;
    }
    let metadata = value.get("metadata");
    match metadata.and_then(|metadata| metadata.get("namespace")) {
        Some(Value::Array(_) | Value::Object(_)) => NamespaceScope::All,
        _ => NamespaceScope::Named(object.namespace.clone()),
    }
}

/// Checks `apiVersion` and `metadata`.
fn head(kind: PolicyKind, root: &Field<'_>) -> Result<(), Fault> {
    let wanted = match kind {
        PolicyKind::NetworkPolicy => "networking.k8s.io/v1",
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            "cilium.io/v2"
        }
        PolicyKind::ClusterNetworkPolicy => "policy.networking.k8s.io/v1alpha2",
    };
    let object = root.object()?;
    object.only(
        &["apiVersion", "kind", "metadata", "spec", "specs", "status"],
        &[],
    )?;
    let version = object.field("apiVersion");
    if version.value.as_str() != Some(wanted) {
        return Err(version.fault(format!("must be `{wanted}`")));
    }
    let metadata = object.field("metadata").object()?;
    let name = metadata.field("name");
    if name.value.is_null() && metadata.get("generateName").is_some() {
        return Err(name.fault(NO_NAME));
    }
    labels::subdomain(name.text()?).map_err(|reason| name.fault(reason))?;
    if let Some(namespace) = metadata.get("namespace") {
        labels::dns_label(namespace.text()?).map_err(|reason| namespace.fault(reason))?;
    }
    Ok(())
}

/// A name as it may stand in a log line: no control characters, no blanks, bounded.
fn readable(text: &str) -> String {
    text.chars()
        .take(253)
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-._".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn first(problems: &[Problem]) -> String {
    problems
        .first()
        .map_or_else(|| "not understood".to_owned(), Problem::to_string)
}

/// `Err` of a value that is none of the ones that are allowed.
fn none_of(field: &Field<'_>, allowed: &[&str]) -> Fault {
    let given = match field.value {
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    };
    field.fault(format!("{given} must be one of {}", field::listed(allowed)))
}
