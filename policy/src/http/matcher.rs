//! Matching one request against many HTTP rules at once.
//!
//! Paths decide first, because they differ most: literal paths by hash, all other patterns by hash
//! of the literal text that they begin with. The cost of a verdict therefore does not grow with
//! the number of rules, only with those whose path begins like the request's.
//!
//! Patterns match in full, as in Cilium (RE2 full match of `:path` with its query string,
//! `:method` and `:authority`).

use std::{borrow::Cow, collections::BTreeSet, sync::OnceLock};

use regex::Regex;
use rustc_hash::FxHashMap;

use super::{HeaderEdit, Request};
use crate::{
    model::{HeaderRule, HttpRule, Mismatch},
    objects::pattern,
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
}

#[derive(Debug)]
struct Compiled {
    rule: HttpRule,
    method: Option<Pattern>,
    path: Option<Pattern>,
    host: Option<Pattern>,
}

#[derive(Debug)]
enum Pattern {
    Literal(String),
    Prefix(String),
    /// Compiled when it is first needed: few of many patterns ever are.
    Regex(Box<Lazy>),
}

#[derive(Debug)]
struct Lazy {
    source: String,
    /// `None` inside where it does not compile, which it does in a parsed policy.
    regex: OnceLock<Option<Regex>>,
}

/// Which field of a rule a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// Place of the rule in the list.
    pub rule: usize,
    /// One phrase for each field that does not match.
    pub failed: Vec<String>,
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
        Ok(Self {
            header_actions,
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

    /// The rule that failed by the fewest fields, and by which.
    pub fn nearest_miss(&self, request: &Request<'_>) -> Option<NearMiss> {
        // Those that begin like the request, then the first ones: looking at all of very many
        // rules would make a denial cost more than what it denies.
        let mut candidates = BTreeSet::new();
        self.with_path(request, |index, _| {
            if candidates.len() < NEAR {
                candidates.insert(index);
            }
        });
        candidates.extend(0..self.rules.len().min(NEAR));
        candidates
            .into_iter()
            .filter_map(|index| Some((index, self.rules.get(index)?)))
            .map(|(rule, compiled)| NearMiss {
                rule,
                failed: compiled.failures(request),
            })
            .min_by_key(|miss| miss.failed.len())
    }

    /// A rule by its place.
    pub fn rule(&self, index: usize) -> Option<&HttpRule> {
        self.rules.get(index).map(|compiled| &compiled.rule)
    }
}

// === impl Compiled ===

impl Compiled {
    fn new(rule: HttpRule) -> Result<Self, PatternError> {
        let compile = |pattern: &Option<String>| {
            pattern
                .as_deref()
                .map(|pattern| {
                    Pattern::new(pattern).map_err(|error| PatternError {
                        place: rule.place.clone(),
                        pattern: pattern.into(),
                        reason: error.to_string(),
                    })
                })
                .transpose()
        };
        Ok(Self {
            method: compile(&rule.method)?,
            path: compile(&rule.path)?,
            host: compile(&rule.host)?,
            rule,
        })
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        let path = match (&self.path, request.path) {
            (None, _) => true,
            (Some(pattern), Some(path)) => pattern.matches(path),
            (Some(_), None) => false,
        };
        path && self
            .method
            .as_ref()
            .is_none_or(|method| method.matches(request.method))
            && self
                .host
                .as_ref()
                .is_none_or(|host| host.matches(request.host))
            && self.missing_headers(request).next().is_none()
            && self.wrong_headers(request).next().is_none()
    }

    fn missing_headers<'a>(
        &'a self,
        request: &'a Request<'_>,
    ) -> impl Iterator<Item = &'a crate::model::HeaderMatch> {
        self.rule.headers.iter().filter(|wanted| {
            match (value(request, &wanted.name), &wanted.value) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(found), Some(wanted)) => *found != *wanted.as_bytes(),
            }
        })
    }

    /// Header rules that let a request without their value not match.
    fn wrong_headers<'a>(
        &'a self,
        request: &'a Request<'_>,
    ) -> impl Iterator<Item = &'a HeaderRule> {
        self.rule
            .header_rules
            .iter()
            .filter(|header| header.mismatch.is_none() && !has_value(request, header))
    }

    fn failures(&self, request: &Request<'_>) -> Vec<String> {
        let mut failed = Vec::new();
        let mut field = |name: &str,
                         pattern: &Option<Pattern>,
                         source: &Option<String>,
                         value: Option<&str>| {
            let (Some(pattern), Some(source)) = (pattern, source) else {
                return;
            };
            match value {
                Some(value) if pattern.matches(value) => {}
                Some(value) => failed.push(format!(
                    "{name}: `{value}` is not fully matched by `{source}`"
                )),
                None => failed.push(format!("{name}: the request has none")),
            }
        };
        field(
            "method",
            &self.method,
            &self.rule.method,
            Some(request.method),
        );
        field("path", &self.path, &self.rule.path, request.path);
        field("host", &self.host, &self.rule.host, Some(request.host));
        for header in self.missing_headers(request) {
            failed.push(match &header.value {
                Some(_) => format!("header `{}`: missing or another value", header.name),
                None => format!("header `{}`: missing", header.name),
            });
        }
        for header in self.wrong_headers(request) {
            failed.push(format!(
                "header `{}`: missing or another value",
                header.name
            ));
        }
        failed
    }
}

/// The value of a header; several lines are one with `,` between them (RFC 9110, 5.3), so that a
/// second line cannot hide behind a good first one.
fn value<'a>(request: &Request<'a>, wanted: &str) -> Option<Cow<'a, [u8]>> {
    let mut lines = request
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| *value);
    let first = lines.next()?;
    let mut joined = Cow::Borrowed(first);
    for line in lines {
        joined.to_mut().push(b',');
        joined.to_mut().extend_from_slice(line);
    }
    Some(joined)
}

fn has_value(request: &Request<'_>, header: &HeaderRule) -> bool {
    value(request, &header.name).is_some_and(|found| *found == *header.value.as_bytes())
}

// === impl Pattern ===

impl Pattern {
    fn new(pattern: &str) -> Result<Self, pattern::PatternError> {
        let plain = |text: &str| !text.contains(is_meta);
        if plain(pattern) {
            return Ok(Self::Literal(pattern.into()));
        }
        if let Some(prefix) = pattern.strip_suffix(".*")
            && plain(prefix)
        {
            return Ok(Self::Prefix(prefix.into()));
        }
        pattern::check(pattern).map(|()| {
            Self::Regex(Box::new(Lazy {
                source: pattern.into(),
                regex: OnceLock::new(),
            }))
        })
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == value,
            // `.` does not match a line feed, and neither a path nor a host contains one.
            Self::Prefix(prefix) => value.starts_with(prefix) && !value.contains('\n'),
            Self::Regex(lazy) => lazy
                .regex
                .get_or_init(|| pattern::compile(&lazy.source).ok())
                .as_ref()
                .is_some_and(|regex| regex.is_match(value)),
        }
    }
}

/// The literal text that everything begins with that a pattern matches. A character before a
/// quantifier may be missing, and alternatives begin each in its own way.
fn beginning(pattern: &str) -> Option<&str> {
    let end = pattern.find(is_meta)?;
    if pattern.contains('|') || pattern.contains("(?") {
        return None;
    }
    let text = pattern.get(..end)?;
    let quantified = pattern.get(end..)?.starts_with(['*', '?', '{']);
    let text = match quantified {
        true => text.get(..text.char_indices().next_back()?.0)?,
        false => text,
    };
    (!text.is_empty()).then_some(text)
}

fn is_meta(c: char) -> bool {
    matches!(
        c,
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(method: Option<&str>, path: Option<&str>) -> HttpRule {
        HttpRule {
            method: method.map(Into::into),
            path: path.map(Into::into),
            ..HttpRule::default()
        }
    }

    fn request<'a>(method: &'a str, path: &'a str) -> Request<'a> {
        Request {
            method,
            path: Some(path),
            host: "httpbin:8000",
            headers: &[],
        }
    }

    #[test]
    fn paths_match_in_full_with_their_query() {
        let matcher = Matcher::new([rule(Some("GET"), Some("/headers"))]).expect("compiles");
        assert_eq!(matcher.first_match(&request("GET", "/headers")), Some(0));
        for (method, path) in [
            ("GET", "/headers?x=1"),
            ("GET", "/headers/"),
            ("POST", "/headers"),
            ("HEAD", "/headers"),
            ("get", "/headers"),
            ("GET", "/ip"),
        ] {
            assert_eq!(
                matcher.first_match(&request(method, path)),
                None,
                "{method} {path}"
            );
        }
    }

    #[test]
    fn a_prefix_does_not_match_without_its_slash() {
        let matcher = Matcher::new([rule(None, Some("/public/.*"))]).expect("compiles");
        assert_eq!(matcher.first_match(&request("GET", "/public/a?b")), Some(0));
        assert_eq!(matcher.first_match(&request("GET", "/public/")), Some(0));
        assert_eq!(matcher.first_match(&request("GET", "/public")), None);
    }

    #[test]
    fn headers_must_be_there_with_their_value() {
        let mut wanted = rule(None, None);
        wanted.headers = vec![
            crate::model::HeaderMatch {
                name: "x-token".into(),
                value: Some("abc".into()),
            },
            crate::model::HeaderMatch {
                name: "x-any".into(),
                value: None,
            },
        ];
        let matcher = Matcher::new([wanted]).expect("compiles");
        let with = |headers| Request {
            headers,
            ..request("GET", "/")
        };
        assert_eq!(
            matcher.first_match(&with(&[("X-Token", b"abc"), ("X-ANY", b"")])),
            Some(0)
        );
        assert_eq!(
            matcher.first_match(&with(&[("X-Token", b"abcd"), ("X-Any", b"")])),
            None
        );
        assert_eq!(matcher.first_match(&with(&[("X-Token", b"abc")])), None);
    }

    #[test]
    fn the_nearest_miss_names_the_field() {
        let matcher = Matcher::new([
            rule(Some("PUT"), Some("/a")),
            rule(Some("GET"), Some("/headers")),
        ])
        .expect("compiles");
        let miss = matcher
            .nearest_miss(&request("GET", "/headers?x=1"))
            .expect("two rules");
        assert_eq!(miss.rule, 1);
        assert_eq!(
            miss.failed,
            ["path: `/headers?x=1` is not fully matched by `/headers`"]
        );
    }

    proptest! {
        /// The index agrees with trying rule after rule.
        #[test]
        fn the_index_agrees_with_one_rule_after_the_other(
            rules in prop::collection::vec(
                (prop::option::of(prop::sample::select(vec!["GET", "POST", "G.T", "GET|PUT"])),
                 prop::option::of(prop::sample::select(vec![
                    "/", "/a", "/a/.*", "/a.*", ".*", "/a/[0-9]+", "/(a|b)/c", "/a\\?x=.*", "(?i)/A", "a", "/ab?", "/ab*(/.*)?", "/a{1,2}", "/a+", "/a$", "/b|/a",
                 ]))), 0..12),
            method in prop::sample::select(vec!["GET", "POST", "PUT", "GxT"]),
            path in "/(a|b|A)?(/[0-9c]{0,2})?(\\?x=1)?",
        ) {
            let rules: Vec<_> = rules.into_iter().map(|(m, p)| rule(m, p)).collect();
            let naive = rules.iter().position(|rule| {
                let fits = |pattern: &Option<String>, value: &str| pattern.as_ref().is_none_or(|pattern| {
                    pattern::compile(pattern).expect("compiles").is_match(value)
                });
                fits(&rule.method, method) && fits(&rule.path, &path)
            });
            let matcher = Matcher::new(rules).expect("compiles");
            prop_assert_eq!(matcher.first_match(&request(method, &path)), naive);
        }
    }
}
