//! Matching one request against many HTTP rules at once.
//!
//! Paths decide first, because they differ most ([`paths`]). The cost of a verdict does not grow with
//! the number of rules, only with those that fit the request's path and host.
//!
//! Patterns match in full, as in Cilium (RE2 full match of `:path` with its query string,
//! `:method` and `:authority`).

mod compiled;
mod hints;
mod many;
mod paths;
mod template;

use std::{collections::BTreeSet, sync::Arc};

use rustc_hash::FxHashMap;

use self::{
    compiled::{Compiled, Pattern, beginning, has_value},
    paths::Paths,
};
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
    paths: Paths,
    /// Of patterns that begin with a text some rules each, to tell which come near.
    beginnings: FxHashMap<String, Vec<usize>>,
    beginning_lengths: BTreeSet<usize>,
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
        let mut beginnings: FxHashMap<String, Vec<usize>> = FxHashMap::default();
        for (index, rule) in rules.iter().enumerate() {
            if let Some(Pattern::Regex(lazy)) = &rule.path
                && let Some(text) = beginning(&lazy.source)
            {
                let near = beginnings.entry(text.to_owned()).or_default();
                if near.len() < NEAR {
                    near.push(index);
                }
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
            paths: Paths::new(&rules),
            beginning_lengths: beginnings.keys().map(String::len).collect(),
            beginnings,
            rules,
        })
    }

    /// The first rule that matches the request.
    pub fn first_match(&self, request: &Request<'_>) -> Option<usize> {
        let mut first: Option<usize> = None;
        self.paths.matching(request.path, |group| {
            for rules in group.of_host(request.host) {
                let best = first.unwrap_or(usize::MAX);
                let earlier = rules.iter().take_while(|index| **index < best);
                first = self.matching(earlier, request).next().or(first);
            }
        });
        first
    }

    /// Those of some rules that match a request whose path they match.
    fn matching<'a>(
        &'a self,
        rules: impl Iterator<Item = &'a usize> + 'a,
        request: &'a Request<'_>,
    ) -> impl Iterator<Item = usize> + 'a {
        rules.copied().filter(|index| {
            let rule = self.rules.get(*index);
            rule.is_some_and(|rule| rule.matches_rest(request))
        })
    }

    /// Makes what the first request would make.
    pub fn prepare(&self) {
        self.paths.prepare();
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
        self.paths.matching(request.path, |group| {
            for rules in group.of_host(request.host) {
                matching.extend(self.matching(rules.iter(), request));
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

    /// The rule that fails by the fewest fields, by its place, and what the request lacks for it.
    pub fn nearest_miss(&self, request: &Request<'_>) -> Option<(usize, Vec<Miss>)> {
        // Those whose path fits, those that begin like the request, then the first ones: looking at
        // all of very many rules would make a denial cost more than what it denies.
        let mut fitting = BTreeSet::new();
        self.paths.matching(request.path, |group| {
            let left = NEAR.saturating_sub(fitting.len());
            fitting.extend(group.all().take(left));
        });
        let mut candidates = fitting.clone();
        if let Some(path) = request.path {
            for length in self.beginning_lengths.range(..=path.len()) {
                let start = path.get(..*length);
                let same = start.and_then(|start| self.beginnings.get(start));
                candidates.extend(same.into_iter().flatten().copied());
            }
        }
        candidates.extend(0..self.rules.len().min(NEAR));
        // Which paths fit is known, unless more do than were looked for.
        let fits = |index: &usize, rule: &Compiled| {
            fitting.contains(index) || (fitting.len() >= NEAR && rule.fits_path(request))
        };
        let (index, rule) = candidates
            .into_iter()
            .filter_map(|index| Some((index, self.rules.get(index)?)))
            .min_by_key(|(index, rule)| rule.lacks(request, fits(index, rule)))?;
        let mut misses = rule.misses(request);
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
