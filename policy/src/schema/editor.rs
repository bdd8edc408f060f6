//! The schemas for editors and for checks of manifests: what the cluster's schema takes in silence,
//! because the agent is to see it, is underlined while it is typed.

use serde_json::{Map, Value, json};

use super::{build::with, group, schema};
use crate::model::PolicyKind;

/// Keywords below which stands one schema, a list of them, or a map of names to them.
const ONE: [&str; 3] = ["items", "additionalProperties", "not"];
const LIST: [&str; 3] = ["anyOf", "oneOf", "allOf"];
const KEEPS_UNKNOWN: &str = "x-kubernetes-preserve-unknown-fields";

/// JSON Schemas (draft 7) of the kinds, each with the path that checkers of manifests look for it at:
/// `GROUP/KIND_VERSION.json`.
pub fn for_editors() -> [(&'static str, Value); 3] {
    let policy = |kind: PolicyKind| document(kind.as_str(), schema(kind.is_cluster_wide()));
    [
        (
            "cilium.io/ciliumcidrgroup_v2.json",
            document("CiliumCIDRGroup", group::schema()),
        ),
        (
            "cilium.io/ciliumclusterwidenetworkpolicy_v2.json",
            policy(PolicyKind::CiliumClusterwideNetworkPolicy),
        ),
        (
            "cilium.io/ciliumnetworkpolicy_v2.json",
            policy(PolicyKind::CiliumNetworkPolicy),
        ),
    ]
}

fn document(kind: &str, schema: Value) -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let header = [
        ("apiVersion", json!({"const": "cilium.io/v2"})),
        ("kind", json!({"const": kind})),
        (
            "metadata",
            json!({
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "generateName": {"type": "string"},
                    "namespace": {"type": "string"},
                    "labels": texts,
                    "annotations": texts,
                },
            }),
        ),
    ];
    let mut document = strict(schema);
    let properties = document.get_mut("properties").map(Value::take);
    let properties = header
        .into_iter()
        .fold(properties.unwrap_or_default(), |all, (name, one)| {
            with(all, name, one)
        });
    [
        ("$schema", "http://json-schema.org/draft-07/schema#".into()),
        ("title", kind.into()),
        ("required", json!(["apiVersion", "kind", "metadata"])),
        ("properties", properties),
    ]
    .into_iter()
    .fold(document, |all, (keyword, value)| with(all, keyword, value))
}

/// The same schema, whose objects have no other fields than those that are named.
fn strict(schema: Value) -> Value {
    let Value::Object(fields) = schema else {
        return schema;
    };
    let named = fields.contains_key("properties") && fields.contains_key(KEEPS_UNKNOWN);
    let mut strict_one: Map<String, Value> = fields
        .into_iter()
        .filter(|(keyword, _)| !keyword.starts_with("x-kubernetes-"))
        .map(|(keyword, value)| {
            let value = match (keyword.as_str(), value) {
                ("properties", Value::Object(of)) => Value::Object(
                    of.into_iter()
                        .map(|(name, each)| (name, strict(each)))
                        .collect(),
                ),
                (word, Value::Array(of)) if LIST.contains(&word) => {
                    of.into_iter().map(strict).collect()
                }
                (word, one) if ONE.contains(&word) => strict(one),
                (_, other) => other,
            };
            (keyword, value)
        })
        .collect();
    if named {
        strict_one.insert("additionalProperties".to_owned(), false.into());
    }
    Value::Object(strict_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(more: &str) -> Value {
        let mut policy = json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "p"},
            "spec": {"endpointSelector": {}, "ingress": [{"toPorts": [{
                "ports": [{"port": "8000", "protocol": "TCP"}],
                "rules": {"http": [{"method": "GET"}]},
            }]}]},
        });
        if let Some(place) = policy.pointer_mut(more).and_then(Value::as_object_mut) {
            place.insert("noSuchField".to_owned(), 1.into());
        }
        policy
    }

    #[test]
    fn a_field_that_nobody_knows_is_wrong_at_every_depth() {
        let [_, _, (path, schema)] = for_editors();
        assert_eq!(path, "cilium.io/ciliumnetworkpolicy_v2.json");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        assert!(validator.is_valid(&policy("nowhere")));
        for place in [
            "",
            "/spec",
            "/spec/ingress/0",
            "/spec/ingress/0/toPorts/0/ports/0",
            "/spec/ingress/0/toPorts/0/rules/http/0",
        ] {
            assert!(!validator.is_valid(&policy(place)), "{place:?}");
        }
        assert!(!schema.to_string().contains("x-kubernetes-"));
    }
}
