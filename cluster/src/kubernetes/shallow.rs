//! An object of the API that is read to a bounded depth.
//!
//! The definitions of Cilium's policies drop no field that they do not know, and the API server takes
//! JSON of any shape in such a field. The JSON reader ends at 128 maps and lists in one another, with an
//! error for the whole list or watch: one object would keep all others from being heard. So what is
//! nested more deeply than any object is passed over, and text stands in its place: whoever reads the
//! object says that it is wrong, and where.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::yaml::DEEPEST;

/// Stands where something was nested too deeply.
const TOO_DEEP: &str = "(nested too deeply)";

/// A value of at most [`DEEPEST`] maps and lists in one another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shallow(pub Value);

impl<'de> serde::Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bounded { left: DEEPEST }
            .deserialize(deserializer)
            .map(Self)
    }
}

/// Reads a value with so many maps and lists in one another.
#[derive(Clone, Copy)]
struct Bounded {
    left: usize,
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Some(left) = self.left.checked_sub(1) else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(TOO_DEEP.into());
        };
        let mut found = Vec::new();
        while let Some(item) = items.next_element_seed(Self { left })? {
            found.push(item);
        }
        Ok(found.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let Some(left) = self.left.checked_sub(1) else {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(TOO_DEEP.into());
        };
        let mut found = Map::new();
        while let Some(key) = entries.next_key()? {
            found.insert(key, entries.next_value_seed(Self { left })?);
        }
        Ok(found.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_deep_is_passed_over_and_the_rest_is_read() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for depth in [10, 62, 63, 64, 1000, 100_000] {
                let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                let text = format!("{{\"x\": {deep}, \"n\": [-1, 2.5, null, true, \"t\"]}}");
                let read: Shallow = serde_json::from_str(&text).expect("it is JSON");
                assert_eq!(read.0["n"], json!([-1, 2.5, null, true, "t"]));
                let told = read.0.to_string().contains(TOO_DEEP);
                assert_eq!(told, depth > DEEPEST - 1, "{depth}");
                if !told {
                    assert_eq!(read.0, serde_json::from_str::<Value>(&text).unwrap());
                }
            }
        }
    }
}
