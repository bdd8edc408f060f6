//! The line on which a field of a document stands.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs,
    path::PathBuf,
};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::{
    Document, Part, parts,
    read::{Left, read},
};

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
    let (parts, mut left) = (parts(text), Left::of(text));
    parts
        .iter()
        .map(|part| (part.content_line(), lines(part, &mut left)))
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

/// The lines of all fields of a document, by path; of one that cannot be read none.
fn lines(part: &Part<'_>, left: &mut Left) -> BTreeMap<String, usize> {
    let mut walk = Walk {
        first: part.line,
        found: BTreeMap::new(),
    };
    if let Ok(top) = read::<Node>(part.text, left) {
        walk.node(&top, "");
    }
    walk.found
}

/// A value with the lines, of its document, where its parts begin.
enum Node {
    /// Keys with their lines, and values.
    Map(Vec<(Spanned<String>, Node)>),
    List(Vec<Spanned<Node>>),
    Scalar,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut found = Vec::new();
        while let Some(entry) = map.next_entry()? {
            found.push(entry);
        }
        Ok(Node::Map(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = list.next_element()? {
            found.push(item);
        }
        Ok(Node::List(found))
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }
}

struct Walk {
    /// Line of the file on which the document starts.
    first: usize,
    found: BTreeMap<String, usize>,
}

impl Walk {
    /// Notes what is in a value at a path.
    fn node(&mut self, node: &Node, path: &str) {
        match node {
            Node::Scalar => {}
            Node::Map(entries) => {
                for (key, value) in entries {
                    let path = child(path, &key.value);
                    if self.note(&path, key.referenced) {
                        self.node(value, &path);
                    }
                }
            }
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    if self.note(&path, item.referenced) {
                        self.node(&item.value, &path);
                    }
                }
            }
        }
    }

    /// Notes a line, unless the path is too long to be told.
    fn note(&mut self, path: &str, at: Location) -> bool {
        let line = usize::try_from(at.line()).unwrap_or(1);
        let fits = path.len() <= LONGEST;
        if fits {
            let line = self.first + line.saturating_sub(1);
            self.found.entry(path.to_owned()).or_insert(line);
        }
        fits
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
