//! A cursor over a JSON value that knows its path, so that every fault names its field.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::model::{ObjectRef, Problem};

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub field: String,
    pub reason: String,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub value: &'a Value,
    pub path: String,
}

/// An object and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

/// Longer input is cut where a message repeats it.
const QUOTED_CHARS: usize = 80;

// === impl Fault ===

impl Fault {
    pub(super) fn problem(self, object: &ObjectRef) -> Problem {
        Problem {
            object: object.to_string(),
            field: self.field,
            reason: self.reason,
        }
    }
}

// === impl Field ===

impl<'a> Field<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    pub(super) fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault {
            field: self.path.clone(),
            reason: reason.into(),
        }
    }

    pub(super) fn object(&self) -> Result<Object<'a>, Fault> {
        match self.value {
            Value::Object(map) => Ok(Object {
                map,
                path: self.path.clone(),
            }),
            other => Err(self.expected("an object", other)),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<Self>, Fault> {
        match self.value {
            Value::Array(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, value)| Field {
                    value,
                    path: format!("{}[{index}]", self.path),
                })
                .collect()),
            other => Err(self.expected("a list", other)),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, Fault> {
        match self.value {
            Value::String(text) => Ok(text),
            Value::Number(_) | Value::Bool(_) => Err(self.fault(format!(
                "must be a string: write `\"{}\"` with the quotes",
                self.value
            ))),
            other => Err(self.expected("a string", other)),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, Fault> {
        match self.value {
            Value::Bool(flag) => Ok(*flag),
            other => Err(self.expected("`true` or `false`", other)),
        }
    }

    pub(super) fn integer(&self) -> Result<i64, Fault> {
        self.value
            .as_i64()
            .ok_or_else(|| self.expected("a whole number", self.value))
    }

    fn expected(&self, wanted: &str, given: &Value) -> Fault {
        let given = match given {
            Value::Null => "nothing".to_owned(),
            Value::Bool(flag) => format!("`{flag}`"),
            Value::Number(number) => format!("`{number}`"),
            Value::String(text) => quoted(text),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        self.fault(format!("must be {wanted}, not {given}"))
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    /// A field that is there; `null` is the same as missing, as in the Kubernetes API.
    pub(super) fn get(&self, name: &str) -> Option<Field<'a>> {
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        Some(Field {
            value,
            path: self.child(name),
        })
    }

    /// A field that must be there; reading it says what it should have been.
    pub(super) fn field(&self, name: &str) -> Field<'a> {
        Field {
            value: self.map.get(name).unwrap_or(&Value::Null),
            path: self.child(name),
        }
    }

    /// The items of a list that may be missing.
    pub(super) fn items(&self, name: &str) -> Result<Vec<Field<'a>>, Fault> {
        self.get(name).map_or(Ok(Vec::new()), |field| field.list())
    }

    /// All entries, for maps whose keys are data.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.map.iter().map(|(key, value)| {
            let field = Field {
                value,
                path: self.child(key),
            };
            (key.as_str(), field)
        })
    }

    /// Refuses every field but the known ones; `refused` are those with a word of their own.
    pub(super) fn only(&self, known: &[&str], refused: &[(&str, &str)]) -> Result<(), Fault> {
        for (name, value) in self.map {
            if known.contains(&name.as_str()) {
                continue;
            }
            let reason = match refused.iter().find(|(field, _)| field == name) {
                Some(_) if value.is_null() => continue,
                Some((_, reason)) => (*reason).to_owned(),
                None => format!("unknown field; known here: {}", listed(known)),
            };
            return Err(Fault {
                field: self.child(name),
                reason,
            });
        }
        Ok(())
    }

    fn child(&self, name: &str) -> String {
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
        match (self.path.is_empty(), plain) {
            (true, true) => name.to_owned(),
            (false, true) => format!("{}.{name}", self.path),
            (_, false) => format!("{}[{}]", self.path, quoted(name).trim_matches('`')),
        }
    }
}

/// User input as messages show it: in backticks, escaped, bounded.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == QUOTED_CHARS {
            out.push('…');
            break;
        }
        match c {
            '"' | '\'' | '\\' => out.push(c),
            // Writing to a String cannot fail.
            c => drop(write!(out, "{}", c.escape_debug())),
        }
    }
    out.push('`');
    out
}

/// "`a`, `b` or `c`".
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => format!("`{only}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|name| format!("`{name}`")).collect();
            format!("{} or `{last}`", most.join(", "))
        }
    }
}
