//! Matching one request against many HTTP rules at once.
//!
//! Paths decide first, because they differ most: literal paths by hash, all other patterns by hash
//! of the literal text that they begin with. The cost of a verdict therefore does not grow with
//! the number of rules, only with those whose path begins like the request's.
//!
//! Patterns match in full, as in Cilium (RE2 full match of `:path` with its query string,
//! `:method` and `:authority`).

mod compiled;
mod hints;

use std::{collections::BTreeSet, sync::Arc};

use rustc_hash::FxHashMap;

use self::compiled::{Compiled, Pattern, beginning, has_value};
use super::{Asked, HeaderEdit, Request};
use crate::{
    model::{HttpRule, Mismatch},
    nearest::Miss,
};

/// Rules that are looked at for the nearest miss, of those that begin like the request and of the
/// first ones.
const NEAR: usize = 32;

/// Compiled rules.
#[derive(Debug)]
pub struct Matcher {
    rules: Vec<Compiled>,
    // Hashed quickly: policy chooses the keys, requests only look them up.
    literals: FxHashMap<String, Vec<usize>>,
    /// Rules by the literal beginning of their path.
    beginnings: FxHashMap<String, Vec<usize>>,
    beginning_lengths: BTreeSet<usize>,
    /// Rules without a path, and those whose pattern may begin with anything.
    others: Vec<usize>,
    /// Whether some rule does something to headers.
    header_actions: bool,
    /// What all of them look at.
    asked: Arc<Asked>,
}

/// A pattern does not compile.
#[derive(Debug, thiserror::Error)]
#[error("{place}: `{pattern}` is not a regular expression: {reason}")]
pub struct PatternError {
    /// Where the rule stands.
    pub place: String,
    /// The pattern.
    pub pattern: String,
    /// Why it does not compile.
    pub reason: String,
}

// === impl Matcher ===

impl Matcher {
    /// Compiles rules; all patterns of a parsed policy compile.
    pub fn new(rules: impl IntoIterator<Item = HttpRule>) -> Result<Self, PatternError> {
        let rules = rules
            .into_iter()
            .map(Compiled::new)
            .collect::<Result<Vec<_>, _>>()?;
        let mut literals: FxHashMap<String, Vec<usize>> = FxHashMap::default();
        let mut beginnings: FxHashMap<String, Vec<usize>> = FxHashMap::default();
        let mut others = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match &rule.path {
                None => others.push(index),
                Some(Pattern::Literal(path)) => {
                    literals.entry(path.clone()).or_default().push(index);
                }
                Some(Pattern::Prefix(path)) => {
                    beginnings.entry(path.clone()).or_default().push(index);
                }
                Some(Pattern::Regex(lazy)) => match beginning(&lazy.source) {
                    Some(text) => beginnings.entry(text.to_owned()).or_default().push(index),
                    None => others.push(index),
                },
            }
        }
        let header_actions = rules
            .iter()
            .flat_map(|rule| &rule.rule.header_rules)
            .any(|header| header.mismatch.is_some());
        let asked = Asked::of(rules.iter().map(|rule| &rule.rule));
        Ok(Self {
            header_actions,
            asked: Arc::new(asked),
            beginning_lengths: beginnings.keys().map(String::len).collect(),
            rules,
            literals,
            beginnings,
            others,
        })
    }

    /// The first rule that matches the request.
    pub fn first_match(&self, request: &Request<'_>) -> Option<usize> {
        let mut first: Option<usize> = None;
        self.with_path(request, |index, rule| {
            if first.is_none_or(|found| index < found) && rule.matches(request) {
                first = Some(index);
            }
        });
        first
    }

    /// What the rules look at, beside method and path.
    pub fn asked(&self) -> &Arc<Asked> {
        &self.asked
    }

    /// Whether some rule does something to headers.
    pub fn has_header_actions(&self) -> bool {
        self.header_actions
    }

    /// What the header rules of all matching rules do to a request: edits, and the names of the
    /// headers that were found missing or with another value.
    pub fn header_actions(&self, request: &Request<'_>) -> (Vec<HeaderEdit>, Vec<String>) {
        let mut matching = BTreeSet::new();
        self.with_path(request, |index, rule| {
            if rule.matches(request) {
                matching.insert(index);
            }
        });
        let (mut edits, mut noted) = (Vec::new(), Vec::new());
        let rules = matching.iter().filter_map(|index| self.rules.get(*index));
        for header in rules.flat_map(|rule| &rule.rule.header_rules) {
            let Some(mismatch) = header.mismatch.filter(|_| !has_value(request, header)) else {
                continue;
            };
            let remove = HeaderEdit::Remove(header.name.clone());
            let append = HeaderEdit::Append {
                name: header.name.clone(),
                value: header.value.clone(),
            };
            let wanted = match mismatch {
                Mismatch::Log => vec![],
                Mismatch::Add => vec![append],
                Mismatch::Delete => vec![remove],
                Mismatch::Replace => vec![remove, append],
            };
            edits.extend(
                wanted
                    .into_iter()
                    .filter(|edit| !edits.contains(edit))
                    .collect::<Vec<_>>(),
            );
            noted.push(header.name.clone());
        }
        (edits, noted)
    }

    /// Calls back with every rule whose path may fit, in no order.
    fn with_path(&self, request: &Request<'_>, mut found: impl FnMut(usize, &Compiled)) {
        let mut consider = |index: usize| {
            if let Some(rule) = self.rules.get(index) {
                found(index, rule);
            }
        };
        self.others.iter().copied().for_each(&mut consider);
        let Some(path) = request.path else {
            return;
        };
        let literal = self.literals.get(path).into_iter().flatten();
        literal.copied().for_each(&mut consider);
        for length in self.beginning_lengths.range(..=path.len()) {
            let Some(start) = path.get(..*length) else {
                continue;
            };
            let same = self.beginnings.get(start).into_iter().flatten();
            same.copied().for_each(&mut consider);
        }
    }

    /// The rule that fails by the fewest fields, by its place, and what the request lacks for it.
    pub fn nearest_miss(&self, request: &Request<'_>) -> Option<(usize, Vec<Miss>)> {
        // Those that begin like the request, then the first ones: looking at all of very many
        // rules would make a denial cost more than what it denies.
        let mut candidates = BTreeSet::new();
        self.with_path(request, |index, _| {
            if candidates.len() < NEAR {
                candidates.insert(index);
            }
        });
        candidates.extend(0..self.rules.len().min(NEAR));
        let (index, rule, mut misses) = candidates
            .into_iter()
            .filter_map(|index| Some((index, self.rules.get(index)?)))
            .map(|(index, rule)| (index, rule, rule.misses(request)))
            .min_by_key(|(_, _, misses)| misses.len())?;
        hints::add(rule, request, &mut misses);
        Some((index, misses))
    }

    /// What a request lacks for one rule.
    pub fn misses(&self, index: usize, request: &Request<'_>) -> Vec<Miss> {
        let rule = self.rules.get(index);
        rule.map_or_else(Vec::new, |rule| rule.misses(request))
    }

    /// A rule by its place.
    pub fn rule(&self, index: usize) -> Option<&HttpRule> {
        self.rules.get(index).map(|compiled| &compiled.rule)
    }
}

#[cfg(test)]
mod tests;
