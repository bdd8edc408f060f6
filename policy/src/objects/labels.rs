//! Names, label syntax and label selectors.

use std::collections::BTreeSet;

use super::{
    field::{Fault, Field, quoted},
    none_of,
};
use crate::model::{Key, Operator, Requirement, Selector};

const MAX_LABEL: usize = 63;
const MAX_SUBDOMAIN: usize = 253;

/// Reads a selector; `key` says what a key of it looks at, or why it cannot.
pub(super) fn selector(
    field: &Field<'_>,
    key: fn(&str) -> Result<Key, String>,
) -> Result<Selector, Fault> {
    let object = field.object()?;
    object.only(&["matchLabels", "matchExpressions"], &[])?;
    let mut requirements = Vec::new();
    if let Some(labels) = object.get("matchLabels") {
        for (name, entry) in labels.object()?.entries() {
            let key = key(name).map_err(|reason| entry.fault(reason))?;
            requirements.push(Requirement::equals(key, value(&entry)?));
        }
    }
    for expression in object.items("matchExpressions")? {
        requirements.push(requirement(&expression, key)?);
    }
    Ok(Selector::new(requirements))
}

/// The key of a Kubernetes selector: a plain label.
pub(super) fn plain_key(name: &str) -> Result<Key, String> {
    qualified(name)?;
    Ok(Key::Label(name.to_owned()))
}

fn requirement(
    field: &Field<'_>,
    key: fn(&str) -> Result<Key, String>,
) -> Result<Requirement, Fault> {
    let object = field.object()?;
    object.only(&["key", "operator", "values"], &[])?;
    let name = object.field("key");
    let key = key(name.text()?).map_err(|reason| name.fault(reason))?;
    let operator = object.field("operator");
    let operator = self::operator(operator.text()?)
        .ok_or_else(|| none_of(&operator, &["In", "NotIn", "Exists", "DoesNotExist"]))?;
    let values: BTreeSet<String> = object
        .items("values")?
        .iter()
        .map(|item| value(item).map(str::to_owned))
        .collect::<Result<_, _>>()?;
    let takes_values = matches!(operator, Operator::In | Operator::NotIn);
    if takes_values && values.is_empty() {
        return Err(object
            .field("values")
            .fault("`In` and `NotIn` need at least one value"));
    }
    if !takes_values && !values.is_empty() {
        return Err(object
            .field("values")
            .fault("`Exists` and `DoesNotExist` take no values"));
    }
    Ok(Requirement {
        key,
        operator,
        values,
    })
}

pub(super) fn operator(name: &str) -> Option<Operator> {
    match name {
        "In" => Some(Operator::In),
        "NotIn" => Some(Operator::NotIn),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        _ => None,
    }
}

/// The value of a label.
pub(super) fn value<'a>(field: &Field<'a>) -> Result<&'a str, Fault> {
    let text = field.text()?;
    if text.is_empty() || name_part(text) {
        return Ok(text);
    }
    Err(field.fault(format!(
        "{} is not a label value: at most 63 letters, digits, `-`, `_` and `.`, \
         with a letter or digit at both ends",
        quoted(text)
    )))
}

/// A label key: an optional DNS prefix and `/`, then the name.
pub(super) fn qualified(key: &str) -> Result<(), String> {
    let good = match key.split_once('/') {
        None => name_part(key),
        Some((prefix, name)) => is_subdomain(prefix) && name_part(name),
    };
    good.then_some(()).ok_or_else(|| {
        format!(
            "{} is not a label key: a name of at most 63 letters, digits, `-`, `_` and `.`, \
             with an optional DNS prefix and `/` before it",
            quoted(key)
        )
    })
}

/// The name of an object.
pub(super) fn subdomain(name: &str) -> Result<(), String> {
    is_subdomain(name).then_some(()).ok_or_else(|| {
        format!(
            "{} is not a name: at most 253 lower-case letters, digits, `-` and `.`, \
             with a letter or digit at both ends of each part",
            quoted(name)
        )
    })
}

/// The name of a namespace.
///
/// # Errors
/// What it would have to be.
pub fn dns_label(name: &str) -> Result<(), String> {
    is_dns_label(name).then_some(()).ok_or_else(|| {
        format!(
            "{} is not a namespace: at most 63 lower-case letters, digits and `-`, \
             with a letter or digit at both ends",
            quoted(name)
        )
    })
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN
        && text
            .split('.')
            .all(|part| ends_and_middle(part, lower, |b| b == b'-'))
}

fn is_dns_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && ends_and_middle(text, lower, |b| b == b'-')
}

fn name_part(text: &str) -> bool {
    text.len() <= MAX_LABEL
        && ends_and_middle(
            text,
            |b| b.is_ascii_alphanumeric(),
            |b| matches!(b, b'-' | b'_' | b'.'),
        )
}

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Not empty, `outer` at both ends, `outer` or `inner` between.
fn ends_and_middle(text: &str, outer: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(|b| outer(*b)) && bytes.last().is_some_and(|b| outer(*b));
    ends && bytes.iter().all(|b| outer(*b) || inner(*b))
}
