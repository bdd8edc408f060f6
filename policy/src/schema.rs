//! CustomResourceDefinitions of `cilium.io/v2` CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and
//! CiliumCIDRGroup, for clusters where no Cilium has put its own.
//!
//! They have every field of Cilium's public definitions, also those that [`objects`](crate::objects)
//! refuses, so that a policy written for Cilium applies unchanged. **No object drops a field that
//! it does not know** (`x-kubernetes-preserve-unknown-fields`): a field that the API server removed
//! in silence could not be refused by the agent, and what is left might allow more than was meant.
//! So the schema refuses only what cannot be right (a wrong type, a word outside its list); what a
//! policy means is judged in one place, the parser.

mod build;
mod editor;
mod group;
mod peers;
mod ports;
mod rule;
mod status;
#[cfg(test)]
pub(crate) mod tests;

use serde_json::{Value, json};

use crate::model::PolicyKind;

pub use editor::for_editors;

/// The definitions, as they are in `deploy/crds`.
pub fn definitions() -> [Value; 3] {
    [
        group::definition(),
        definition(PolicyKind::CiliumClusterwideNetworkPolicy),
        definition(PolicyKind::CiliumNetworkPolicy),
    ]
}

/// Who applied a definition: the label by which Weir knows its own ones, so that the chart never
/// takes over those of a real Cilium.
pub const OWNER: (&str, &str) = ("app.kubernetes.io/part-of", "weir");

fn definition(kind: PolicyKind) -> Value {
    let clusterwide = kind.is_cluster_wide();
    let (singular, plural, short) = if clusterwide {
        (
            "ciliumclusterwidenetworkpolicy",
            "ciliumclusterwidenetworkpolicies",
            "ccnp",
        )
    } else {
        ("ciliumnetworkpolicy", "ciliumnetworkpolicies", "cnp")
    };
    let name = kind.as_str();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.cilium.io"),
            "labels": {OWNER.0: OWNER.1},
        },
        "spec": {
            "group": "cilium.io",
            "names": {
                "kind": name,
                "listKind": format!("{name}List"),
                "plural": plural,
                "singular": singular,
                "shortNames": [short],
                "categories": ["ciliumpolicy"],
            },
            "scope": if clusterwide { "Cluster" } else { "Namespaced" },
            "versions": [{
                "name": "v2",
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns(),
                "schema": {"openAPIV3Schema": schema(clusterwide)},
            }],
        },
    })
}

/// What `kubectl get cnp` shows.
fn columns() -> Value {
    const VALID: &str = ".status.conditions[?(@.type=='Valid')]";
    json!([
        {"name": "Valid", "type": "string", "jsonPath": format!("{VALID}.status"),
         "description": "Whether every rule is in force as it is written"},
        {"name": "Enforced", "type": "string", "jsonPath": ".status.weir.enforced",
         "description": "Nodes that enforce this version, of all nodes"},
        {"name": "Message", "type": "string", "jsonPath": format!("{VALID}.message"), "priority": 1,
         "description": "Why it is not valid"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ])
}

/// The schema of an object.
fn schema(clusterwide: bool) -> Value {
    let description = if clusterwide {
        "Network policy for pods of every namespace; Cilium's format"
    } else {
        "Network policy for pods of its own namespace; Cilium's format"
    };
    build::described(
        description,
        build::object(
            vec![
                ("apiVersion", build::text()),
                ("kind", build::text()),
                ("metadata", json!({"type": "object"})),
                ("spec", rule::spec()),
                (
                    "specs",
                    build::described(
                        "More parts beside `spec`, or in its place",
                        build::list(rule::spec()),
                    ),
                ),
                ("status", status::status()),
            ],
            &["metadata"],
        ),
    )
}
