//! In which form objects are shown.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::template;
use crate::object::read;

/// What `-o` may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    Table { wide: bool },
    Yaml,
    Json,
    Name,
    GoTemplate(String),
    JsonPath(String),
}

// === impl Form ===

impl Form {
    /// From `-o` and `--template`.
    ///
    /// # Errors
    /// A form that is not known, or a template that is missing.
    pub fn of(output: Option<&str>, template: Option<&str>) -> Result<Self> {
        let given = |rest: Option<&str>, form: &str| {
            let text = rest.or(template).map(str::to_owned);
            text.with_context(|| format!("-o {form} needs a template: -o {form}=TEMPLATE"))
        };
        let output = match (output, template) {
            (None, None) => return Ok(Self::Table { wide: false }),
            (None, Some(_)) => "go-template",
            (Some(output), _) => output,
        };
        let (form, rest) = match output.split_once('=') {
            Some((form, rest)) => (form, Some(rest)),
            None => (output, None),
        };
        Ok(match (form, rest) {
            ("wide", None) => Self::Table { wide: true },
            ("yaml", None) => Self::Yaml,
            ("json", None) => Self::Json,
            ("name", None) => Self::Name,
            ("go-template", rest) => Self::GoTemplate(given(rest, form)?),
            ("jsonpath", rest) => Self::JsonPath(given(rest, form)?),
            _ => bail!(
                "-o {output}: use wide, yaml, json, name, go-template=TEMPLATE or jsonpath=TEMPLATE"
            ),
        })
    }
}

/// An object or a list in a form that is no table.
///
/// # Errors
/// A template is wrong, or finds nothing where it must find something.
pub fn value(form: &Form, value: &Value) -> Result<String> {
    match form {
        Form::Json => Ok(serde_json::to_string_pretty(value)? + "\n"),
        Form::GoTemplate(template) => template::go(template, value),
        Form::JsonPath(template) => template::json_path(template, value),
        Form::Yaml | Form::Table { .. } | Form::Name => read::value_to_yaml(value),
    }
}

/// Writes all of it. A reader that has gone (`| head`) is no fault.
///
/// # Errors
/// Standard output takes nothing.
pub fn emit(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let of = |output: &str| Form::of(Some(output), None);
        assert_eq!(of("wide").unwrap(), Form::Table { wide: true });
        assert_eq!(of("jsonpath={.a}").unwrap(), Form::JsonPath("{.a}".into()));
        assert_eq!(
            Form::of(Some("go-template"), Some("{{.a}}")).unwrap(),
            Form::GoTemplate("{{.a}}".into())
        );
        assert!(of("go-template").is_err() && of("custom-columns=A:.b").is_err());
    }
}
