//! A second reading of what the strict grammar refuses and `kubectl` takes: libyaml's.
//!
//! It differs in indentation inside brackets, most of all. Its time grows with depth times length and
//! its values with what aliases copy, so only texts are read that cannot do harm by either.

use serde_json::Value;

use super::{compose::DEEPEST, merge};

/// Most brackets that open times bytes of the text: what reading costs at most, in steps.
const COSTLIEST: usize = 50_000_000;

/// The value, where the text is harmless and libyaml understands it.
pub fn value(text: &str) -> Option<Value> {
    let opening = text.bytes().filter(|b| matches!(b, b'[' | b'{')).count();
    let cheap = opening
        .checked_mul(text.len())
        .is_some_and(|cost| cost <= COSTLIEST);
    // Without an anchor there is no alias.
    if !cheap || text.contains('&') {
        return None;
    }
    // By way of the YAML value: it refuses a key that stands twice.
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).ok()?;
    let value = serde_json::to_value(value).ok()?;
    // Quotes are gone: whether a `<<` merges is not known, so the strict reading's word stands.
    (depth(&value) <= DEEPEST && !merge::left_in(&value)).then_some(value)
}

/// Maps and lists in one another. The parser's own bound of 128 ends the recursion.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
