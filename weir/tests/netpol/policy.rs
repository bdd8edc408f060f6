//! Words for the policies of the suite.

use serde_json::{Value, json};

/// Pods of one of the three names.
pub fn pod(name: &str) -> Value {
    json!({ "matchLabels": { "pod": name } })
}

/// One of the three namespaces, by a label of its own.
pub fn namespace(name: &str) -> Value {
    json!({ "matchLabels": { "ns": name } })
}

pub fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] })
}

/// Isolates pods for ingress and allows what the rules say.
pub fn ingress(pods: Value, rules: Value) -> Value {
    json!({ "podSelector": pods, "policyTypes": ["Ingress"], "ingress": rules })
}

/// The same for egress.
pub fn egress(pods: Value, rules: Value) -> Value {
    json!({ "podSelector": pods, "policyTypes": ["Egress"], "egress": rules })
}

/// One peer that must match both selectors.
pub fn peer(namespaces: Value, pods: Value) -> Value {
    json!({ "namespaceSelector": namespaces, "podSelector": pods })
}
