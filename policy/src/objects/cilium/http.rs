//! One entry of `rules.http`.

use crate::model::{HeaderMatch, HeaderRule, HttpRule, Mismatch};
use crate::objects::{
    field::{Fault, Field, Object, quoted},
    none_of, pattern,
};

pub(super) fn rule(field: &Field<'_>) -> Result<HttpRule, Fault> {
    let object = field.object()?;
    object.only(&["method", "path", "host", "headers", "headerMatches"], &[])?;
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
        header_rules: object
            .items("headerMatches")?
            .iter()
            .map(header_rule)
            .collect::<Result<_, _>>()?,
        get_body: false,
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

/// An entry of `headerMatches`.
fn header_rule(field: &Field<'_>) -> Result<HeaderRule, Fault> {
    let object = field.object()?;
    object.only(
        &["name", "value", "mismatch"],
        &[(
            "secret",
            "is not supported: the agent reads no Secret; write a `value`",
        )],
    )?;
    let name = object.field("name");
    let text = name.text()?;
    if text.is_empty() {
        return Err(name.fault("is empty"));
    }
    if !text.bytes().all(token) {
        return Err(name.fault(format!("{} is not a header name", quoted(text))));
    }
    let value = object.field("value");
    let wanted = value.text()?;
    if wanted.chars().any(char::is_control) || wanted.trim() != wanted {
        return Err(value.fault("has a control character, or white space around it"));
    }
    let mismatch = match object.get("mismatch") {
        None => None,
        Some(given) => match given.text()? {
            "" => None,
            "LOG" => Some(Mismatch::Log),
            "ADD" => Some(Mismatch::Add),
            "DELETE" => Some(Mismatch::Delete),
            "REPLACE" => Some(Mismatch::Replace),
            _ => return Err(none_of(&given, &["LOG", "ADD", "DELETE", "REPLACE"])),
        },
    };
    if mismatch.is_some() && framing(text) {
        return Err(name.fault("decides where a request ends: it cannot be changed"));
    }
    Ok(HeaderRule {
        name: text.to_owned(),
        value: wanted.to_owned(),
        mismatch,
    })
}

/// Headers by which the length of a message or the use of its connection is told.
fn framing(name: &str) -> bool {
    [
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "upgrade",
        "te",
        "trailer",
        "expect",
    ]
    .iter()
    .any(|framing| name.eq_ignore_ascii_case(framing))
}

/// A character of an HTTP token (RFC 9110, 5.6.2).
fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
