//! One entry of `rules.http`.

use crate::model::{HeaderMatch, HttpRule};
use crate::objects::{
    field::{Fault, Field, Object, quoted},
    pattern,
};

pub(super) fn rule(field: &Field<'_>) -> Result<HttpRule, Fault> {
    let object = field.object()?;
    object.only(
        &["method", "path", "host", "headers"],
        &[(
            "headerMatches",
            "is not supported yet: use `headers` to ask for a value",
        )],
    )?;
    Ok(HttpRule {
        place: field.path.clone(),
        method: regex(&object, "method")?,
        path: regex(&object, "path")?,
        host: regex(&object, "host")?,
        headers: object
            .items("headers")?
            .iter()
            .map(header)
            .collect::<Result<_, _>>()?,
    })
}

/// A pattern; an empty one is the same as none, as in Cilium.
fn regex(object: &Object<'_>, name: &str) -> Result<Option<String>, Fault> {
    let Some(field) = object.get(name) else {
        return Ok(None);
    };
    let text = field.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    pattern::compile(text).map_err(|error| field.fault(error.to_string()))?;
    Ok(Some(text.to_owned()))
}

/// `Name: value` asks for the value, `Name` alone for the header.
fn header(field: &Field<'_>) -> Result<HeaderMatch, Fault> {
    let text = field.text()?;
    let (name, value) = match text.split_once(' ') {
        Some((name, value)) => (name.trim_end_matches(':'), Some(value.trim())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(field.fault("has an empty header name: write `Name: value` or `Name`"));
    }
    if !name.bytes().all(token) {
        return Err(field.fault(format!(
            "{} is not a header name: write `Name: value` with a blank after the colon, or `Name`",
            quoted(name)
        )));
    }
    if value.is_some_and(|value| value.chars().any(char::is_control)) {
        return Err(field.fault("has a control character in the value"));
    }
    Ok(HeaderMatch {
        name: name.to_ascii_lowercase(),
        value: value.map(str::to_owned),
    })
}

/// A character of an HTTP token (RFC 9110, 5.6.2).
fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
