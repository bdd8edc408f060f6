//! The line on which a field of a document stands.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
};

use saphyr_parser::{Event, Parser, Span};

use super::{Document, Part, parts};

/// Deeper values are not looked into.
const DEEPEST: usize = 128;
/// Bytes of a path; what is below a longer one is told by the line of what is around it. Paths hold
/// the names of all that is around, so long names with many fields would make many times the text.
const LONGEST: usize = 1024;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

/// Places of fields. Each file is read once, however many fields are asked for.
#[derive(Debug, Default)]
pub struct Places {
    files: HashMap<PathBuf, Lines>,
}

/// The lines of all fields of a file: by the line of the document, then by path.
type Lines = BTreeMap<usize, BTreeMap<String, usize>>;

/// [`Places::of`] for one field.
pub fn place_of(document: &Document, field: &str) -> Option<Place> {
    Places::default().of(document, field)
}

impl Places {
    /// The text of a file that cannot be read again.
    pub fn hold(&mut self, file: impl Into<PathBuf>, text: &str) {
        self.files.insert(file.into(), all_lines(text));
    }

    /// Where a field of a document stands: the field's own line where the file can be read again
    /// and has it, else that of the nearest field around it, else the document's.
    pub fn of(&mut self, document: &Document, field: &str) -> Option<Place> {
        let (place, item) = match document.place.split_once(" (item ") {
            Some((place, item)) => {
                let number: usize = item.strip_suffix(')')?.parse().ok()?;
                (place, number.checked_sub(1))
            }
            None => (document.place.as_str(), None),
        };
        let (file, line) = place.rsplit_once(':')?;
        let line: usize = line.parse().ok()?;
        let lines = self.files.entry(file.into()).or_insert_with(|| {
            let text = fs::read_to_string(file);
            text.map_or_else(|_| Lines::new(), |text| all_lines(&text))
        });
        Some(Place {
            file: file.into(),
            line: line_of(lines, line, item, field).unwrap_or(line),
        })
    }
}

fn all_lines(text: &str) -> Lines {
    let parts = parts(text);
    parts
        .iter()
        .map(|part| (part.content_line(), lines(part)))
        .collect()
}

fn line_of(all: &Lines, line: usize, item: Option<usize>, field: &str) -> Option<usize> {
    let lines = all.get(&line)?;
    let mut path = match item {
        Some(item) if field.is_empty() => format!("items[{item}]"),
        Some(item) => format!("items[{item}].{field}"),
        None => field.to_owned(),
    };
    loop {
        if let Some(line) = lines.get(&path) {
            return Some(*line);
        }
        let cut = path.rfind(['.', '['])?;
        path.truncate(cut);
    }
}

/// The lines of all fields of a document, by path.
fn lines(part: &Part<'_>) -> BTreeMap<String, usize> {
    let mut walk = Walk {
        first: part.line,
        found: BTreeMap::new(),
    };
    let mut events = Parser::new_from_str(part.text).map_while(Result::ok);
    while let Some((event, span)) = events.next() {
        match event {
            Event::StreamStart | Event::DocumentStart(_) => {}
            event => {
                walk.node(&mut events, event, span, String::new(), 0);
                break;
            }
        }
    }
    walk.found
}

struct Walk {
    /// Line of the file on which the document starts.
    first: usize,
    found: BTreeMap<String, usize>,
}

impl Walk {
    /// Reads one node whose first event is given; `None` where the events end.
    fn node<'a>(
        &mut self,
        events: &mut impl Iterator<Item = (Event<'a>, Span)>,
        event: Event<'a>,
        span: Span,
        path: String,
        depth: usize,
    ) -> Option<()> {
        if depth > DEEPEST || path.len() > LONGEST {
            return None;
        }
        if !path.is_empty() {
            let line = self.first + span.start.line().saturating_sub(1);
            self.found.entry(path.clone()).or_insert(line);
        }
        match event {
            Event::MappingStart(..) => loop {
                let (key, at) = events.next()?;
                let name = match key {
                    Event::MappingEnd => return Some(()),
                    Event::Scalar(text, ..) => text.into_owned(),
                    other => {
                        // A key that is no text: no field path leads below it.
                        self.node(events, other, at, "?".to_owned(), depth + 1)?;
                        "?".to_owned()
                    }
                };
                let child = child(&path, &name);
                let line = self.first + at.start.line().saturating_sub(1);
                if child.len() <= LONGEST {
                    self.found.entry(child.clone()).or_insert(line);
                }
                let (value, at) = events.next()?;
                self.node(events, value, at, child, depth + 1)?;
            },
            Event::SequenceStart(..) => {
                for index in 0.. {
                    let (item, at) = events.next()?;
                    if matches!(item, Event::SequenceEnd) {
                        return Some(());
                    }
                    self.node(events, item, at, format!("{path}[{index}]"), depth + 1)?;
                }
                Some(())
            }
            _ => Some(()),
        }
    }
}

/// As field paths are written: plain names with a dot, others in brackets.
fn child(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
    match (path.is_empty(), plain) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{name}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
a: 1
---
kind: NetworkPolicy
metadata:
  name: p
  annotations: {weir.dev/lint-ignore: W001}
spec:
  ingress:
    - from:
        - podSelector: {}
        - ipBlock:
            cidr: 10.0.0.0/8
      ports: [{port: 80},
              {port: 81}]
---
kind: List
items:
  - kind: A
  - kind: B
    spec:
      x: 1
";

    #[test]
    fn fields_have_lines() {
        for (line, item, field, expected) in [
            (4, None, "spec", 8),
            (4, None, "spec.ingress[0]", 10),
            (4, None, "spec.ingress[0].from[0]", 11),
            (4, None, "spec.ingress[0].from[1].ipBlock.cidr", 13),
            (4, None, "spec.ingress[0].ports[1].port", 15),
            (4, None, "metadata.annotations[weir.dev/lint-ignore]", 7),
            (4, None, "spec.ingress[0].from[1].missing[3]", 12),
            (17, Some(1), "spec.x", 22),
            (17, Some(1), "", 20),
        ] {
            let lines = all_lines(TEXT);
            assert_eq!(
                line_of(&lines, line, item, field),
                Some(expected),
                "{field}"
            );
        }
        let lines = all_lines(TEXT);
        assert_eq!(line_of(&lines, 4, None, "nothing"), None);
        assert_eq!(line_of(&lines, 5, None, "spec"), None);
        assert_eq!(line_of(&all_lines("a: [\n"), 1, None, "b"), None);
    }
}
