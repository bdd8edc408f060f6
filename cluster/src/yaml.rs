//! YAML (and JSON) files as documents that know where they stand.

mod lines;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use lines::{Place, place_of};

/// One object and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The object.
    pub value: Value,
    /// `FILE:LINE`, with the item's number where it came from a list.
    pub place: String,
}

/// A file that is not YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {reason}", file.display())]
pub struct YamlError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What the parser says.
    pub reason: String,
}

/// Every object of a file; lists (`List`, `PodList`, …) are taken apart, empty documents left out.
///
/// # Errors
/// [`YamlError`] for the first document that cannot be read: then none of the file counts.
pub fn documents(text: &str, file: &Path) -> Result<Vec<Document>, YamlError> {
    let mut documents = Vec::new();
    for part in parts(text) {
        let value = part.value().map_err(|(line, reason)| YamlError {
            file: file.to_owned(),
            line,
            reason,
        })?;
        let place = format!("{}:{}", file.display(), part.content_line());
        flatten(value, place, &mut documents);
    }
    Ok(documents)
}

/// The text of one document, its `---` line included.
struct Part<'a> {
    text: &'a str,
    /// Line of the file on which it starts.
    line: usize,
}

/// A `---` in the first column always starts a document, even inside a block scalar (YAML 1.2,
/// 9.1.2), so lines can be cut without parsing. The parser itself does not tell where a document
/// starts.
fn parts(text: &str) -> Vec<Part<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut starts = vec![(0, 1)];
    let mut offset = 0;
    // Directives (`%YAML 1.2`) belong to the document whose `---` follows them.
    let mut only_preamble = true;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker && !only_preamble {
            starts.push((offset, number + 1));
        }
        let blank = line.trim().is_empty() || line.starts_with('#') || line.starts_with('%');
        only_preamble = blank && only_preamble && !marker;
        offset += line.len();
    }
    let ends = starts.iter().skip(1).map(|(offset, _)| *offset);
    let ends: Vec<_> = ends.chain([text.len()]).collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|((start, line), end)| Part {
            text: text.get(start..end).unwrap_or(""),
            line,
        })
        .collect()
}

impl Part<'_> {
    fn value(&self) -> Result<Value, (usize, String)> {
        if self.lines_of_content().next().is_none() {
            return Ok(Value::Null);
        }
        // By way of the YAML value: it refuses a key that stands twice, a JSON map would take
        // the last one and forget the first.
        let parsed = serde_yaml_ng::from_str::<serde_yaml_ng::Value>(self.text)
            .map_err(|error| {
                let line = error.location().map_or(1, |location| location.line());
                (self.line + line.max(1) - 1, reason(&error.to_string()))
            })
            .and_then(|value| {
                serde_json::to_value(value)
                    .map_err(|error| (self.content_line(), error.to_string()))
            });
        match parsed {
            // JSON indented by tabs is no YAML.
            Err(fault) if self.text.trim_start().starts_with('{') => {
                serde_json::from_str(self.text).map_err(|_| fault)
            }
            parsed => parsed,
        }
    }

    fn content_line(&self) -> usize {
        self.lines_of_content().next().unwrap_or(self.line)
    }

    fn lines_of_content(&self) -> impl Iterator<Item = usize> {
        self.text.lines().enumerate().filter_map(|(index, line)| {
            let text = line.strip_prefix("---").unwrap_or(line).trim();
            let content = !text.is_empty() && !text.starts_with(['#', '%']) && text != "...";
            content.then_some(self.line + index)
        })
    }
}

/// The position is told apart from the message, and counts from the document.
fn reason(message: &str) -> String {
    let end = message.find(" at line ").unwrap_or(message.len());
    message.get(..end).unwrap_or(message).to_owned()
}

/// Lists in lists do not exist in the API; one level is taken apart.
fn flatten(value: Value, place: String, documents: &mut Vec<Document>) {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or("");
    let Some(of) = kind.strip_suffix("List").map(str::to_owned) else {
        if !value.is_null() {
            documents.push(Document { value, place });
        }
        return;
    };
    let version = value.get("apiVersion").cloned();
    let items = match value {
        Value::Object(mut map) => map.remove("items").unwrap_or_default(),
        _ => Value::Null,
    };
    let Value::Array(items) = items else {
        return;
    };
    for (index, mut item) in items.into_iter().enumerate() {
        if let (Value::Object(map), false) = (&mut item, of.is_empty()) {
            // Items of a typed list leave out what the list says.
            say(map, "kind", Some(Value::from(of.as_str())));
            say(map, "apiVersion", version.clone());
        }
        documents.push(Document {
            value: item,
            place: format!("{place} (item {})", index + 1),
        });
    }
}

fn say(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let (false, Some(value)) = (map.contains_key(key), value) {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<(Value, String)> {
        documents(text, Path::new("f.yaml"))
            .expect("yaml")
            .into_iter()
            .map(|document| (document.value, document.place))
            .collect()
    }

    #[test]
    fn documents_know_their_line() {
        let text = "# hello\n---\na: 1\n---\n# empty\n---\n\n# comment\nb: |\n  --- no marker\n  x\n--- {c: 3}\n...\n";
        assert_eq!(
            read(text),
            [
                (json!({"a": 1}), "f.yaml:3".to_owned()),
                (json!({"b": "--- no marker\nx\n"}), "f.yaml:9".to_owned()),
                (json!({"c": 3}), "f.yaml:12".to_owned()),
            ]
        );
        assert_eq!(read("%YAML 1.2\n---\na: 1\n")[0].1, "f.yaml:3");
        assert_eq!(read(""), []);
        assert_eq!(read("---\n---\n"), []);
    }

    #[test]
    fn json_is_taken_too() {
        assert_eq!(
            read("{\n\t\"a\": [1, \"x\"]\n}")[0].0,
            json!({"a": [1, "x"]})
        );
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = "kind: PodList\napiVersion: v1\nitems:\n- metadata: {name: a}\n- {kind: Other}\n---\nkind: List\nitems: [{kind: X}]\n";
        assert_eq!(
            read(text),
            [
                (
                    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}),
                    "f.yaml:1 (item 1)".to_owned()
                ),
                (
                    json!({"kind": "Other", "apiVersion": "v1"}),
                    "f.yaml:1 (item 2)".to_owned()
                ),
                (json!({"kind": "X"}), "f.yaml:7 (item 1)".to_owned()),
            ]
        );
        assert_eq!(read("kind: List\nitems: null\n"), []);
    }

    #[test]
    fn a_broken_file_says_where() {
        let error = |text: &str| documents(text, Path::new("d/f.yaml")).unwrap_err();
        let broken = error("a: 1\n---\nb:\n  - x\n c: [\n");
        assert_eq!(
            (broken.line, broken.file.as_path()),
            (5, Path::new("d/f.yaml"))
        );
        assert!(broken.to_string().starts_with("d/f.yaml:5: "), "{broken}");
        let twice = error("spec:\n  ingress: []\n  ingress: [{}]\n");
        assert!(twice.reason.contains("duplicate entry"), "{twice}");
    }
}
