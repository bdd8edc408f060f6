//! The schemas against the parser: whatever the parser's own tests take without a problem is
//! valid, and every field that the parser knows is in the schema. What it knows of an object it
//! says itself, where a field is not among it.

use std::{collections::BTreeSet, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{definitions, schema};
use crate::{
    model::{PolicyKind, Problem},
    objects::parse,
};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema(false));
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| validator(&SCHEMA));

/// A field that no object has.
const UNKNOWN: &str = "noSuchField";

/// The API server's reading of a schema: `format: cidr` is judged, and so are the two forms that
/// `x-kubernetes-int-or-string` has (they are written out as `anyOf`).
fn validator(schema: &Value) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .with_format("cidr", |text: &str| text.parse::<ipnet::IpNet>().is_ok())
        .build(schema)
        .expect("the schema is one")
}

fn is_cilium(kind: PolicyKind) -> bool {
    matches!(
        kind,
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy
    )
}

/// Checks a policy that a test reads, and tells where an object of it was found that knows no other
/// fields than its own.
pub(crate) fn agrees(kind: PolicyKind, value: &Value, problems: &[Problem]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if !is_cilium(kind) {
        return found;
    }
    if problems.is_empty()
        && let Err(error) = VALIDATOR.validate(&without_nulls(value))
    {
        panic!("the parser takes this, the schema does not: {error}\n{value}");
    }
    let mut objects = Vec::new();
    pointers(value, "", &mut objects);
    for pointer in objects {
        let mut more = value.clone();
        let object = more.pointer_mut(&pointer).and_then(Value::as_object_mut);
        object.expect("an object").insert(UNKNOWN.into(), 1.into());
        for (path, known) in known(kind, &more) {
            let place = at(&path).unwrap_or_else(|| panic!("`{path}` is not in the schema"));
            for name in known {
                assert!(
                    place["properties"].get(&name).is_some(),
                    "`{path}.{name}` is read, and is not in the schema"
                );
            }
            found.insert(path);
        }
    }
    found
}

/// The objects that refuse [`UNKNOWN`], each with the fields that it knows.
fn known(kind: PolicyKind, value: &Value) -> Vec<(String, Vec<String>)> {
    let problems = match parse(kind, value) {
        Ok(parsed) => parsed.problems,
        Err(refused) => refused.problems,
    };
    let told = problems.into_iter().filter_map(|problem| {
        let path = problem.field.strip_suffix(UNKNOWN)?;
        let known = problem.reason.strip_prefix("unknown field; known here: ")?;
        let names = known.split('`').skip(1).step_by(2);
        Some((
            path.trim_end_matches('.').to_owned(),
            names.map(str::to_owned).collect(),
        ))
    });
    told.collect()
}

/// Where the objects of a value stand.
fn pointers(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.push(place.to_owned());
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{place}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The API server removes nulls of fields that are not nullable, and none is.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The schema at a path as messages write it, such as `spec.ingress[0].toPorts[1]`.
fn at(path: &str) -> Option<&'static Value> {
    let mut place: &Value = &SCHEMA;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, indices) = step.split_once('[').unwrap_or((step, ""));
        place = place["properties"].get(name)?;
        for _ in indices.matches(']') {
            place = place.get("items")?;
        }
    }
    Some(place)
}

fn errors(spec: Value) -> Vec<String> {
    let object = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "x"}, "spec": spec,
    });
    VALIDATOR
        .iter_errors(&object)
        .map(|error| error.instance_path().to_string())
        .collect()
}

/// Without which the parser's tests would be compared with nothing.
#[test]
fn what_an_object_knows_is_found() {
    let policy = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "x", "labels": {"a/b~c": "d"}},
        "spec": {"endpointSelector": {"matchLabels": {"app": "a"}}, "ingress": [{
            "fromCIDRSet": [{"cidr": "192.0.2.0/24"}],
            "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}], "rules": {"http": [{}]}}],
        }]},
    });
    let found = agrees(PolicyKind::CiliumNetworkPolicy, &policy, &[]);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(
        found,
        [
            "",
            "spec",
            "spec.endpointSelector",
            "spec.ingress[0]",
            "spec.ingress[0].fromCIDRSet[0]",
            "spec.ingress[0].toPorts[0]",
            "spec.ingress[0].toPorts[0].ports[0]",
            "spec.ingress[0].toPorts[0].rules",
            "spec.ingress[0].toPorts[0].rules.http[0]",
        ]
    );
}

#[test]
fn what_cannot_be_right_is_refused_by_the_api_server() {
    let rule = |rule: Value| json!({"endpointSelector": {}, "ingress": [rule]});
    let ports = |ports: Value| rule(json!({"toPorts": [ports]}));
    for (spec, place) in [
        (json!({"ingress": [{}]}), "/spec"),
        (json!({"endpointSelector": {}}), "/spec"),
        (
            json!({"endpointSelector": {}, "nodeSelector": {}, "ingress": [{}]}),
            "/spec",
        ),
        (
            json!({"endpointSelector": {}, "ingress": {}}),
            "/spec/ingress",
        ),
        (
            json!({"endpointSelector": {"matchLabels": {"app": 1}}, "ingress": [{}]}),
            "/spec/endpointSelector/matchLabels/app",
        ),
        (
            json!({"endpointSelector": {"matchLabels": {"app": "a b"}}, "ingress": [{}]}),
            "/spec/endpointSelector/matchLabels/app",
        ),
        (
            rule(
                json!({"fromEndpoints": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}),
            ),
            "/spec/ingress/0/fromEndpoints/0/matchExpressions/0/operator",
        ),
        (
            rule(json!({"fromEntities": ["everybody"]})),
            "/spec/ingress/0/fromEntities/0",
        ),
        (
            rule(json!({"fromCIDRSet": [{"cidr": "10.0.0.0"}]})),
            "/spec/ingress/0/fromCIDRSet/0/cidr",
        ),
        (
            rule(json!({"fromCIDRSet": [{"except": []}]})),
            "/spec/ingress/0/fromCIDRSet/0",
        ),
        (
            ports(json!({"ports": [{"port": 80}]})),
            "/spec/ingress/0/toPorts/0/ports/0/port",
        ),
        (
            ports(json!({"ports": [{"port": "80", "protocol": "tcp"}]})),
            "/spec/ingress/0/toPorts/0/ports/0/protocol",
        ),
        (
            ports(json!({"ports": [{"port": "80", "endPort": 65536}]})),
            "/spec/ingress/0/toPorts/0/ports/0/endPort",
        ),
        (
            ports(json!({"ports": vec![json!({"port": "80"}); 41]})),
            "/spec/ingress/0/toPorts/0/ports",
        ),
        (
            ports(json!({"rules": {"http": [{"method": ["GET"]}]}})),
            "/spec/ingress/0/toPorts/0/rules/http/0/method",
        ),
        (
            ports(json!({"rules": {"http": [{"headerMatches": [{"value": "x"}]}]}})),
            "/spec/ingress/0/toPorts/0/rules/http/0/headerMatches/0",
        ),
        (
            rule(json!({"icmps": [{"fields": [{"type": true}]}]})),
            "/spec/ingress/0/icmps/0/fields/0/type",
        ),
        (
            json!({"endpointSelector": {}, "egress": [{"toFQDNs": [{"matchName": "a b"}]}]}),
            "/spec/egress/0/toFQDNs/0/matchName",
        ),
        (
            json!({"endpointSelector": {}, "egress": [{"toFQDNs": [{}]}]}),
            "/spec/egress/0/toFQDNs/0",
        ),
    ] {
        assert_eq!(errors(spec.clone()), [place], "{spec}");
    }
}

/// Policies for Cilium apply as they are, and nothing of them is lost on the way to the agent.
#[test]
fn what_only_the_agent_refuses_passes_the_api_server() {
    let http = json!([{"port": "80", "protocol": "TCP"}]);
    for spec in [
        json!({"nodeSelector": {}, "ingress": [{}]}),
        json!({"endpointSelector": {}, "ingres": [{}], "ingress": [{}]}),
        json!({"endpointSelector": {}, "ingress": [{"fromRequires": [{"matchLabels": {"a": "b"}}]}]}),
        json!({"endpointSelector": {}, "ingress": [{"authentication": {"mode": "required"}}]}),
        json!({"endpointSelector": {}, "egress": [{"toGroups": [{"aws": {"region": "x"}}]}]}),
        json!({"endpointSelector": {}, "egress": [{"toPorts": [{"ports": http,
            "listener": {"envoyConfig": {"name": "x"}, "name": "y"}}]}]}),
        json!({"endpointSelector": {}, "egress": [{"toPorts": [{"ports": http,
            "rules": {"kafka": [{"role": "produce", "topic": "x"}]}}]}]}),
        json!({"endpointSelector": {}, "egress": [{"toPorts": [{"ports": http,
            "terminatingTLS": {"secret": {"name": "x", "namespace": "y"}}}]}]}),
        json!({"endpointSelector": {}, "egress": [{"toPorts": [{"ports": http, "rules":
            {"http": [{"headerMatches": [{"name": "x", "secret": {"name": "s"}}]}]}}]}]}),
    ] {
        assert_eq!(errors(spec.clone()), Vec::<String>::new(), "{spec}");
        let policy = json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": {"name": "x"}, "spec": spec,
        });
        let problems = match parse(PolicyKind::CiliumNetworkPolicy, &policy) {
            Ok(parsed) => parsed.problems,
            Err(refused) => refused.problems,
        };
        assert!(!problems.is_empty(), "the agent says nothing: {spec}");
    }
}

/// The rules of "Specifying a structural schema" in the Kubernetes documentation, and ours: every
/// object with named fields keeps the others.
#[test]
fn the_schemas_are_structural_and_drop_nothing() {
    for definition in definitions() {
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert_eq!(schema["type"], "object");
        structural(schema, "");
    }
}

fn structural(schema: &Value, place: &str) {
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    assert_ne!(schema["type"].is_string(), int_or_string, "type of {place}");
    for junctor in ["anyOf", "oneOf", "allOf", "not"] {
        if int_or_string || schema[junctor].is_null() {
            continue;
        }
        let branches = schema[junctor].as_array().expect(junctor);
        for branch in branches {
            let keys: Vec<_> = branch.as_object().expect("a branch").keys().collect();
            assert_eq!(keys, ["required"], "{junctor} of {place}");
            for name in branch["required"].as_array().expect("names") {
                let name = name.as_str().expect("a name");
                assert!(schema["properties"].get(name).is_some(), "{place}.{name}");
            }
        }
    }
    let properties = schema["properties"].as_object();
    assert!(properties.is_none() || schema["additionalProperties"].is_null());
    if let Some(properties) = properties {
        assert_eq!(
            schema["x-kubernetes-preserve-unknown-fields"], true,
            "{place} drops fields"
        );
        for (name, property) in properties {
            if name != "metadata" || !place.is_empty() {
                structural(property, &format!("{place}.{name}"));
            }
        }
    }
    for (keyword, sign) in [("items", "[]"), ("additionalProperties", "{}")] {
        if !schema[keyword].is_null() {
            structural(&schema[keyword], &format!("{place}{sign}"));
        }
    }
}
