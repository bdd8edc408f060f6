//! The few shapes that a structural schema is made of
//! (kubernetes.io, "Extend the Kubernetes API with CustomResourceDefinitions").

use serde_json::{Map, Value, json};

/// Members of an object, in any order.
pub(super) type Fields = Vec<(&'static str, Value)>;

/// An object with these fields, of which some are required. Keeps fields that are not named.
pub(super) fn object(fields: Fields, required: &[&str]) -> Value {
    let properties: Map<String, Value> = fields
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "x-kubernetes-preserve-unknown-fields": true,
    });
    if !required.is_empty() {
        put(&mut schema, "required", json!(required));
    }
    schema
}

/// A map whose keys are data.
pub(super) fn map(values: Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

pub(super) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

pub(super) fn flag() -> Value {
    json!({"type": "boolean"})
}

/// A string of a fixed list.
pub(super) fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

/// A string that a pattern matches: the API server searches, so patterns are anchored.
pub(super) fn pattern(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

pub(super) fn integer(least: i64, most: i64) -> Value {
    json!({"type": "integer", "format": "int32", "minimum": least, "maximum": most})
}

/// The same with a word about its meaning, for `kubectl explain`.
pub(super) fn described(description: &str, schema: Value) -> Value {
    with(schema, "description", json!(description))
}

/// The same with one keyword more.
pub(super) fn with(mut schema: Value, keyword: &str, value: Value) -> Value {
    put(&mut schema, keyword, value);
    schema
}

/// `{required: [NAME]}` for each: what `oneOf` and `anyOf` are given.
pub(super) fn requires(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| json!({"required": [name]}))
        .collect()
}

fn put(schema: &mut Value, keyword: &str, value: Value) {
    if let Value::Object(map) = schema {
        map.insert(keyword.to_owned(), value);
    }
}
