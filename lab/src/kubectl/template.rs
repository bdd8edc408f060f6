//! `-o go-template` and `-o jsonpath`: the texts take single addresses out of objects with them.

use std::collections::HashMap;

use anyhow::{Context as _, Result, anyhow, bail};
use gtmpl::Value as Go;
use jsonpath_rust::JsonPath as _;
use serde_json::Value;

/// What a Go template makes of a value.
///
/// # Errors
/// It is no template, or asks for a field that is not there.
pub fn go(template: &str, value: &Value) -> Result<String> {
    gtmpl::template(template, to_go(value))
        .map_err(|error| anyhow!("template {template:?}: {error}"))
}

fn to_go(value: &Value) -> Go {
    match value {
        Value::Null => Go::Nil,
        Value::Bool(flag) => Go::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Go::from(whole),
            (None, Some(real)) => Go::from(real),
            (None, None) => Go::Nil,
        },
        Value::String(text) => Go::String(text.clone()),
        Value::Array(items) => Go::Array(items.iter().map(to_go).collect()),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), to_go(value)));
            Go::Map(fields.collect::<HashMap<_, _>>())
        }
    }
}

/// A piece of kubectl's JSONPath template: text goes out as it is, `{...}` asks.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Ask(String),
    /// `{range PATH}` up to its `{end}`.
    Range(String, Vec<Piece>),
}

/// What kubectl's JSONPath makes of a value: what a path finds, with blanks between.
///
/// # Errors
/// It is no such template, or a field that one object is asked for is not there.
pub fn json_path(template: &str, value: &Value) -> Result<String> {
    let mut rest = template;
    let pieces = pieces(&mut rest, false).with_context(|| format!("jsonpath {template:?}"))?;
    let mut out = String::new();
    write(&pieces, value, &mut out).with_context(|| format!("jsonpath {template:?}"))?;
    Ok(out)
}

fn pieces(rest: &mut &str, in_range: bool) -> Result<Vec<Piece>> {
    let mut found = Vec::new();
    loop {
        let Some((text, after)) = rest.split_once('{') else {
            if in_range {
                bail!("a {{range}} without {{end}}");
            }
            found.extend((!rest.is_empty()).then(|| Piece::Text((*rest).to_owned())));
            return Ok(found);
        };
        found.extend((!text.is_empty()).then(|| Piece::Text(text.to_owned())));
        let (inside, after) = closed(after).context("a `{` without `}`")?;
        *rest = after;
        let inside = inside.trim();
        match inside.split_once(' ') {
            _ if inside == "end" => {
                if !in_range {
                    bail!("an {{end}} without {{range}}");
                }
                return Ok(found);
            }
            Some(("range", path)) => {
                let within = pieces(rest, true)?;
                found.push(Piece::Range(path.trim().to_owned(), within));
            }
            _ => found.push(Piece::Ask(inside.to_owned())),
        }
    }
}

/// The inside of braces and what follows; a brace within quotes closes nothing.
fn closed(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '}') => return Some((&text[..at], &text[at + 1..])),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
    }
    None
}

fn write(pieces: &[Piece], value: &Value, out: &mut String) -> Result<()> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Ask(path) if path.starts_with('"') => {
                let text: String = serde_json::from_str(path).with_context(|| path.clone())?;
                out.push_str(&text);
            }
            Piece::Ask(path) => {
                let found: Vec<String> = ask(path, value)?.into_iter().map(plain).collect();
                out.push_str(&found.join(" "));
            }
            Piece::Range(path, within) => {
                for each in ask(path, value)? {
                    write(within, each, out)?;
                }
            }
        }
    }
    Ok(())
}

/// kubectl leaves the `$` of a path away, and may begin without a dot.
fn ask<'a>(path: &str, value: &'a Value) -> Result<Vec<&'a Value>> {
    let path = path
        .strip_prefix('$')
        .or(path.strip_prefix('@'))
        .unwrap_or(path);
    let path = match path {
        "" | "." => "$".to_owned(),
        _ if path.starts_with(['.', '[']) => format!("${path}"),
        _ => format!("$.{path}"),
    };
    // A dot within a name is written `\.`: another form of the standard's ['...'].
    let path = quoted(&path);
    let found = value
        .query(&path)
        .map_err(|error| anyhow!("{path:?}: {error}"))?;
    if found.is_empty() && !path.contains(['*', '?', ':']) {
        bail!("{path:?} is not found");
    }
    Ok(found)
}

/// `.a\.b/c` as `['a.b/c']`, and `.a-b` as `['a-b']`.
fn quoted(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find(['.', '[']) {
        out.push_str(&rest[..at]);
        if rest[at..].starts_with('[') || rest[at..].starts_with("..") {
            let end = match rest[at..].starts_with('[') {
                true => rest[at..].find(']').map_or(rest.len(), |end| at + end + 1),
                false => at + 2,
            };
            out.push_str(&rest[at..end]);
            rest = &rest[end..];
            continue;
        }
        let name = &rest[at + 1..];
        let mut end = name.len();
        let mut before = ' ';
        for (index, letter) in name.char_indices() {
            if matches!(letter, '.' | '[') && before != '\\' {
                end = index;
                break;
            }
            before = letter;
        }
        match &name[..end] {
            "*" => out.push_str("[*]"),
            word => out.push_str(&format!("['{}']", word.replace("\\.", "."))),
        }
        rest = &name[end..];
    }
    out.push_str(rest);
    out
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list() -> Value {
        json!({"items": [
            {"metadata": {"name": "a", "labels": {"k8s.io/x": "1"}}, "status": {"podIP": "10.0.0.1"}},
            {"metadata": {"name": "b"}, "status": {"podIP": "10.0.0.2"}},
        ]})
    }

    #[test]
    fn go_templates() {
        let pod = &list()["items"][0];
        assert_eq!(go("{{.status.podIP}}", pod).unwrap(), "10.0.0.1");
        let names = "{{range .items}}{{.metadata.name}}{{\"\\n\"}}{{end}}";
        assert_eq!(go(names, &list()).unwrap(), "a\nb\n");
        assert!(go("{{.status.podIP", pod).is_err());
    }

    #[test]
    fn json_paths() {
        let path = |template: &str| json_path(template, &list());
        assert_eq!(path("{.items[*].metadata.name}").unwrap(), "a b");
        assert_eq!(path("{.items[0].status.podIP}").unwrap(), "10.0.0.1");
        assert_eq!(
            path("{range .items[*]}{.metadata.name}{\"\\t\"}{.status.podIP}{\"\\n\"}{end}")
                .unwrap(),
            "a\t10.0.0.1\nb\t10.0.0.2\n"
        );
        assert_eq!(path("{.items[0].metadata.labels.k8s\\.io/x}").unwrap(), "1");
        assert_eq!(
            path("{.items[?(@.metadata.name==\"b\")].status.podIP}").unwrap(),
            "10.0.0.2"
        );
        for wrong in [
            "{.items[0].nosuch}",
            "{range .items[*]}",
            "{.items",
            "{end}",
        ] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
