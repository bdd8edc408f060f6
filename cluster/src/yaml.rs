//! YAML (and JSON) files as documents that know where they stand.

mod lines;
mod read;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use lines::{Place, Places, place_of};
pub use read::DEEPEST;
use read::Left;

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
    let mut left = Left::of(text);
    for part in parts(text) {
        let value = part.value(&mut left).map_err(|fault| YamlError {
            file: file.to_owned(),
            line: part.line + fault.line - 1,
            reason: fault.reason,
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
    fn value(&self, left: &mut Left) -> Result<Value, read::Fault> {
        if self.lines_of_content().next().is_none() {
            return Ok(Value::Null);
        }
        read::read(self.text, left)
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
mod tests;
