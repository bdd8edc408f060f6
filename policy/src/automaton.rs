//! A list of HTTP rules as a bounded automaton over the request line, for who cannot run regular
//! expressions: the kernel.
//!
//! It says yes or nothing. What it accepts the rules allow in every reading of the path, because it
//! accepts only paths that have one; what it does not accept may still be allowed, and is for the
//! proxy to judge. Which rule it was that allows is for whoever reads the record.

mod explore;
mod line;
mod minimise;
mod table;

use crate::{
    compile::DirectionSet,
    model::{HttpRule, L7},
};

pub use table::{LENGTH_WORD, Table};

/// The most rules of a list that becomes an automaton.
const MOST_RULES: usize = 2_000;
/// The most states before they are minimised, and bytes of the automata that they are made of.
const MOST_STATES: usize = 100_000;
const MOST_BYTES: usize = 32 << 20;
/// The most words of a table: the kernel has 4 MiB for all of them.
const MOST_WORDS: usize = 256 << 10;

/// Why a list has no automaton. Its requests are the proxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAutomaton {
    /// A rule looks at more than method and path.
    #[error("a rule looks at more of a request than its method and path")]
    LooksFurther,
    /// There are more rules, or they are more complex, than a table can hold.
    #[error("the rules are too many or too complex")]
    TooComplex,
}

/// The HTTP rules of a decision by some rules of a set; `None` where another protocol may be spoken.
pub fn rules_of<'s>(side: &'s DirectionSet, decided: &[usize]) -> Option<Vec<&'s HttpRule>> {
    let mut rules = Vec::new();
    for index in decided {
        match side.rules.get(*index)?.l7.as_deref()? {
            L7::Http(entries) => rules.extend(entries),
            L7::Tls(_) | L7::Dns(_) => return None,
        }
    }
    Some(rules)
}

/// The table of a list of rules, of which a request must match one.
///
/// # Errors
/// [`NoAutomaton`].
pub fn table<'r>(rules: impl IntoIterator<Item = &'r HttpRule>) -> Result<Table, NoAutomaton> {
    let mut lines = Vec::new();
    for rule in rules {
        if rule.host.is_some() || !rule.headers.is_empty() || !rule.header_rules.is_empty() {
            return Err(NoAutomaton::LooksFurther);
        }
        let line = (rule.method.as_deref(), rule.path.as_deref());
        if !lines.contains(&line) {
            lines.push(line);
        }
        if lines.len() > MOST_RULES {
            return Err(NoAutomaton::TooComplex);
        }
    }
    let graph = explore::graph(&lines)?;
    let table = Table::of(&minimise::minimise(graph));
    if table.len() > MOST_WORDS {
        return Err(NoAutomaton::TooComplex);
    }
    Ok(table)
}

/// States with a row of the next ones each, one for each class of bytes.
#[derive(Debug)]
struct Graph {
    /// Class of each byte.
    class_of: [u8; 256],
    /// A byte of each class.
    examples: Vec<u8>,
    /// Row after row. States are [`DEAD`], [`ACCEPT`], then from [`START`] on.
    rows: Vec<u32>,
}

const DEAD: u32 = 0;
const ACCEPT: u32 = 1;
const START: u32 = 2;

// === impl Graph ===

impl Graph {
    /// The rows, from [`DEAD`]'s on.
    fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.rows.chunks_exact(self.examples.len().max(1))
    }

    fn row(&self, state: u32) -> &[u32] {
        let width = self.examples.len();
        let from = state as usize * width;
        self.rows.get(from..from + width).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
