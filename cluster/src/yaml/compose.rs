//! One document's text as a value, within bounds.
//!
//! Whoever writes a manifest chooses its shape. So depth is bounded while it is read, before anything
//! that grows with its square; aliases may copy only so much that a file's values stay in proportion
//! to its text ("billion laughs"); and nothing here calls itself deeper than [`DEEPEST`].
//!
//! Scalars are those of YAML 1.2's core schema, with `0b` numbers beside it; a key that stands twice
//! is refused, because a map would keep one and forget the other. Merge keys (`<<`) are YAML 1.1's,
//! as `kubectl` has them.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::{merge, scalar};

/// Maps and lists in one another. Objects of Kubernetes have some twenty.
pub const DEEPEST: usize = 64;
/// What one value costs beside its text, in bytes.
const NODE: usize = 64;
/// What aliases may copy in any file, in bytes.
const COPIES: usize = 1 << 20;
/// And for each byte of its text.
const COPIES_PER_BYTE: usize = 8;

/// What aliases may still copy.
#[derive(Debug)]
pub struct Copies(usize);

/// What is wrong with a text.
#[derive(Debug)]
pub struct Fault {
    /// Line of the text, counted from 1.
    pub line: usize,
    /// The field's path, of a fault that is of a field.
    pub field: Option<String>,
    /// What it is.
    pub reason: String,
    /// The text breaks the grammar, as this parser reads it; else it breaks a bound or says a thing
    /// that no object can.
    pub syntax: bool,
}

impl Copies {
    /// For a file of this text.
    pub fn of(text: &str) -> Self {
        Self(COPIES + COPIES_PER_BYTE * text.len())
    }
}

/// The value of a text that holds one document.
///
/// # Errors
/// It is not YAML, holds more than one document, is nested too deeply, or its aliases copy too much.
pub fn value(text: &str, copies: &mut Copies) -> Result<Value, Fault> {
    let mut composer = Composer {
        events: Parser::new_from_str(text),
        line: 1,
        anchors: HashMap::new(),
        copies,
    };
    let value = composer.document().map_err(Fault::named)?;
    Ok(value.value)
}

struct Composer<'t, 'c> {
    events: Parser<'t, StrInput<'t>>,
    /// Of the last event.
    line: usize,
    anchors: HashMap<usize, Node>,
    copies: &'c mut Copies,
}

/// A value and what a copy of it costs.
#[derive(Clone)]
struct Node {
    value: Value,
    cost: usize,
    /// Maps and lists in one another, its own included.
    depth: usize,
}

impl<'t> Composer<'t, '_> {
    fn next(&mut self) -> Result<Event<'t>, Fault> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                self.at(&span);
                Ok(event)
            }
            Some(Err(error)) => {
                let line = error.marker().line().max(1);
                Err(match error.info() {
                    // The scanner's own bound, of brackets only.
                    "recursion limit exceeded" => Fault {
                        line,
                        field: None,
                        reason: too_deep(),
                        syntax: false,
                    },
                    info => Fault {
                        line,
                        field: None,
                        reason: info.to_owned(),
                        syntax: true,
                    },
                })
            }
            None => Err(self.fault("ends too soon")),
        }
    }

    fn at(&mut self, span: &Span) {
        self.line = span.start.line().max(1);
    }

    fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault {
            line: self.line,
            field: None,
            reason: reason.into(),
            syntax: false,
        }
    }

    fn document(&mut self) -> Result<Node, Fault> {
        let mut found = None;
        loop {
            match self.next()? {
                Event::StreamEnd => break,
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                _ if found.is_some() => {
                    return Err(self.fault("a second document begins without a `---` line"));
                }
                event => found = Some(self.node(event, 0)?),
            }
        }
        Ok(found.unwrap_or(Node {
            value: Value::Null,
            cost: NODE,
            depth: 0,
        }))
    }

    /// The node that begins with an event, `depth` maps and lists below the top.
    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, Fault> {
        let collection = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
        if collection && depth >= DEEPEST {
            return Err(self.fault(too_deep()));
        }
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let node = Node {
                    cost: NODE + text.len(),
                    depth: 0,
                    value: self.scalar(text, style, tag.as_deref())?,
                };
                (anchor, node)
            }
            Event::SequenceStart(anchor, tag) => {
                (anchor, tagged(self.sequence(depth)?, tag.as_deref()))
            }
            Event::MappingStart(anchor, tag) => {
                (anchor, tagged(self.mapping(depth)?, tag.as_deref()))
            }
            _ => return Err(self.fault("a value is missing")),
        };
        if anchor != 0 {
            self.spend(node.cost)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Node, Fault> {
        let mut items = Vec::new();
        let (mut cost, mut deepest) = (NODE, 0);
        loop {
            match self.next()? {
                Event::SequenceEnd => break,
                event => {
                    let item = self.node(event, depth + 1);
                    let item = item.map_err(|fault| fault.under(&format!("[{}]", items.len())))?;
                    cost += item.cost;
                    deepest = deepest.max(item.depth);
                    items.push(item.value);
                }
            }
        }
        Ok(Node {
            value: Value::Array(items),
            cost,
            depth: 1 + deepest,
        })
    }

    fn mapping(&mut self, depth: usize) -> Result<Node, Fault> {
        let mut map = Map::new();
        let mut merged = None;
        let (mut cost, mut deepest) = (NODE, 0);
        loop {
            let event = match self.next()? {
                Event::MappingEnd => break,
                event => event,
            };
            let merges = is_merge(&event);
            let key = self.node(event, depth + 1)?;
            cost += key.cost;
            let key = match key.value {
                Value::String(key) => key,
                Value::Bool(key) => key.to_string(),
                Value::Number(key) => key.to_string(),
                _ => return Err(self.fault("a key must be text")),
            };
            let known = match merges {
                true => merged.is_some(),
                false => map.contains_key(&key),
            };
            if known {
                let key: String = key.chars().take(80).collect();
                return Err(self.fault(format!(
                    "duplicate entry with key \"{}\"",
                    key.escape_debug()
                )));
            }
            let event = self.next()?;
            let line = self.line;
            let value = self.node(event, depth + 1);
            let value = value.map_err(|fault| fault.under(&key))?;
            cost += value.cost;
            deepest = deepest.max(value.depth);
            if merges {
                merged = Some((line, value.value));
            } else {
                map.insert(key, value.value);
            }
        }
        if let Some((line, from)) = merged {
            // Last: its own keys win, wherever the merge stands among them.
            merge::into(&mut map, from).map_err(|reason| Fault {
                line,
                field: Some(merge::KEY.to_owned()),
                reason,
                syntax: false,
            })?;
        }
        Ok(Node {
            value: Value::Object(map),
            cost,
            depth: 1 + deepest,
        })
    }

    fn alias(&mut self, anchor: usize, depth: usize) -> Result<Node, Fault> {
        // An anchor is known when its node is whole: none holds itself.
        let named = self.anchors.get(&anchor);
        let Some((cost, deep)) = named.map(|node| (node.cost, node.depth)) else {
            return Err(self.fault("an alias stands inside what it names"));
        };
        if depth + deep > DEEPEST {
            return Err(self.fault(too_deep()));
        }
        self.spend(cost)?;
        let node = self.anchors.get(&anchor).cloned();
        node.ok_or_else(|| self.fault("an alias of nothing"))
    }

    fn spend(&mut self, cost: usize) -> Result<(), Fault> {
        match self.copies.0.checked_sub(cost) {
            Some(left) => {
                self.copies.0 = left;
                Ok(())
            }
            None => Err(self.fault(
                "its aliases (`*name`) copy more than the file is worth: write the values out",
            )),
        }
    }

    fn scalar(
        &self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
    ) -> Result<Value, Fault> {
        let plain = style == ScalarStyle::Plain;
        let value = match tag {
            None if plain => scalar::plain(&text),
            None => None,
            Some(tag) if tag.is_yaml_core_schema() => {
                let wrong = || self.fault(format!("is no `!!{}`", tag.suffix.escape_debug()));
                scalar::tagged(&text, &tag.suffix).ok_or_else(wrong)?
            }
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => None,
            Some(tag) => {
                let value = scalar::plain(&text).filter(|_| plain);
                let value = value.unwrap_or_else(|| Value::String(text.into_owned()));
                return Ok(wrapped(value, tag));
            }
        };
        Ok(value.unwrap_or_else(|| Value::String(text.into_owned())))
    }
}

/// Only a plain `<<` merges: in quotes it is a key like any other.
fn is_merge(key: &Event<'_>) -> bool {
    match key {
        Event::Scalar(text, style, _, tag) => {
            let tag = tag.as_deref();
            let merge = |tag: &Tag| tag.is_yaml_core_schema() && tag.suffix == "merge";
            text == merge::KEY && tag.map_or(*style == ScalarStyle::Plain, merge)
        }
        _ => false,
    }
}

/// Why a value of more than [`DEEPEST`] is refused.
pub fn too_deep() -> String {
    format!("is nested too deeply: at most {DEEPEST} maps and lists in one another")
}

/// Tags of the core schema say what a collection is anyway; others are kept as they always were: as
/// a map of the tag.
fn tagged(node: Node, tag: Option<&Tag>) -> Node {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() && !tag.suffix.is_empty() => Node {
            value: wrapped(node.value, tag),
            cost: node.cost + NODE,
            depth: node.depth + 1,
        },
        _ => node,
    }
}

fn wrapped(value: Value, tag: &Tag) -> Value {
    Value::Object(Map::from_iter([(format!("!{}", tag.suffix), value)]))
}

// === impl Fault ===

impl Fault {
    /// The same, told from what is around it.
    fn under(mut self, step: &str) -> Self {
        let field = self.field.take().map(|field| merge::under(step, &field));
        Self { field, ..self }
    }

    /// With the field's path before the reason.
    fn named(mut self) -> Self {
        if let Some(field) = &self.field {
            self.reason = format!("{field}: {}", self.reason);
        }
        self
    }
}
