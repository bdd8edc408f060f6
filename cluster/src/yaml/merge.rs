//! Merge keys: `<<: *others` takes over what a map does not say itself.
//!
//! Of YAML 1.1 (<https://yaml.org/type/merge.html>), and in use wherever manifests share labels. What
//! a merge names is within the bounds of aliases already; here is only which key wins.

use serde_json::{Map, Value};

/// The key that merges.
pub const KEY: &str = "<<";
/// Bytes of a field's path; what is around a longer one is not told.
const LONGEST: usize = 512;

/// Puts what `from` has and `map` has not into `map`. `from` is a map, or a list of maps of which the
/// earlier win.
///
/// # Errors
/// Why it is neither.
pub fn into(map: &mut Map<String, Value>, from: Value) -> Result<(), String> {
    let sources = match from {
        Value::Array(items) => items,
        one => vec![one],
    };
    for source in sources {
        let Value::Object(source) = source else {
            return Err(format!(
                "merges a map (`<<: *name`) or a list of maps (`<<: [*a, *b]`), not {}",
                what(&source)
            ));
        };
        for (key, value) in source {
            map.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// Whether a key of a value may be a merge that nobody has carried out.
pub fn left_in(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(left_in),
        Value::Object(map) => map.contains_key(KEY) || map.values().any(left_in),
        _ => false,
    }
}

/// The path of a field below a key or an `[index]`.
pub fn under(step: &str, field: &str) -> String {
    if step.len() + field.len() > LONGEST {
        return field.to_owned();
    }
    let step = step.escape_debug();
    match field.starts_with('[') {
        true => format!("{step}{field}"),
        false => format!("{step}.{field}"),
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list in the list",
        Value::Object(_) => "a map",
    }
}
