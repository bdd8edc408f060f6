//! One compiled rule: does a request match it, and if not, why not.

use std::{borrow::Cow, sync::OnceLock};

use regex::Regex;

use super::PatternError;
use crate::{
    http::{Request, doubt::gives_body_no_meaning},
    model::{HeaderRule, HttpRule},
    nearest::{Miss, MissKind},
    objects::{GET_BODY, pattern},
    reason::told,
};

#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) rule: HttpRule,
    pub(super) method: Option<Pattern>,
    pub(super) path: Option<Pattern>,
    pub(super) host: Option<Pattern>,
}

#[derive(Debug)]
pub(super) enum Pattern {
    Literal(String),
    Prefix(String),
    /// Compiled when it is first needed: few of many patterns ever are.
    Regex(Box<Lazy>),
}

#[derive(Debug)]
pub(super) struct Lazy {
    /// As the policy has it.
    pub(super) source: String,
    /// `None` inside where it does not compile, which it does in a parsed policy.
    regex: OnceLock<Option<Regex>>,
}

// === impl Compiled ===

impl Compiled {
    pub(super) fn new(rule: HttpRule) -> Result<Self, PatternError> {
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

    /// Whether a request matches, whose path does.
    pub(super) fn matches_rest(&self, request: &Request<'_>) -> bool {
        self.takes_body(request)
            && self.fits_method(request)
            && self.fits_host(request)
            && self.missing_headers(request).next().is_none()
            && self.wrong_headers(request).next().is_none()
    }

    /// Whether its path matches.
    pub(super) fn fits_path(&self, request: &Request<'_>) -> bool {
        let fits = |path: &Pattern| request.path.is_some_and(|sent| path.matches(sent));
        self.path.as_ref().is_none_or(fits)
    }

    fn fits_method(&self, request: &Request<'_>) -> bool {
        let fits = |method: &Pattern| method.matches(request.method);
        self.method.as_ref().is_none_or(fits)
    }

    fn fits_host(&self, request: &Request<'_>) -> bool {
        let fits = |host: &Pattern| request.host.is_some_and(|sent| host.matches(sent));
        self.host.as_ref().is_none_or(fits)
    }

    /// How much a request lacks, whose path fits or not: as many as [`Self::misses`] says.
    pub(super) fn lacks(&self, request: &Request<'_>, path_fits: bool) -> usize {
        let fields = [
            path_fits,
            self.fits_method(request),
            self.fits_host(request),
            self.takes_body(request),
        ];
        fields.iter().filter(|fits| !**fits).count()
            + self.missing_headers(request).count()
            + self.wrong_headers(request).count()
    }

    /// A body needs a method that gives it a meaning, or a policy that says that servers read it.
    fn takes_body(&self, request: &Request<'_>) -> bool {
        !request.body || self.rule.get_body || !gives_body_no_meaning(request.method)
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

    /// What a request lacks.
    pub(super) fn misses(&self, request: &Request<'_>) -> Vec<Miss> {
        let field =
            |kind, pattern: &Option<Pattern>, source: &Option<String>, value: Option<&str>| {
                let (pattern, source) = (pattern.as_ref()?, source.as_ref()?);
                let text = match value {
                    Some(value) if pattern.matches(value) => return None,
                    Some(value) => {
                        format!("`{}` is not fully matched by `{source}`", told(value))
                    }
                    None => "the request has none".to_owned(),
                };
                Some(Miss::new(kind, text))
            };
        let (rule, method) = (&self.rule, Some(request.method));
        let fields = [
            field(MissKind::Method, &self.method, &rule.method, method),
            field(MissKind::Path, &self.path, &rule.path, request.path),
            field(MissKind::Host, &self.host, &rule.host, request.host),
            (!self.takes_body(request)).then(|| {
                let text = format!("{} gives a body no meaning", request.method);
                Miss::new(MissKind::Body, text)
                    .hint(format!("`{GET_BODY}: allow` on the policy lets it pass"))
            }),
        ];
        let missing = self.missing_headers(request).map(|header| {
            let value = header.value.as_ref().map_or("", |_| " or another value");
            format!("`{}`: missing{value}", header.name)
        });
        let wrong = self
            .wrong_headers(request)
            .map(|header| format!("`{}`: missing or another value", header.name));
        let headers = missing.chain(wrong);
        fields
            .into_iter()
            .flatten()
            .chain(headers.map(|text| Miss::new(MissKind::Header, text)))
            .collect()
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

pub(super) fn has_value(request: &Request<'_>, header: &HeaderRule) -> bool {
    value(request, &header.name).is_some_and(|found| *found == *header.value.as_bytes())
}

// === impl Pattern ===

impl Pattern {
    fn new(pattern: &str) -> Result<Self, pattern::PatternError> {
        if let Some(text) = text(pattern) {
            return Ok(Self::Literal(text));
        }
        if let Some(text) = pattern.strip_suffix(".*").and_then(text) {
            return Ok(Self::Prefix(text));
        }
        pattern::check(pattern).map(|()| Self::Regex(Box::new(Lazy::new(pattern))))
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == value,
            // `.` does not match a line feed, and neither a path nor a host contains one.
            Self::Prefix(prefix) => value.starts_with(prefix) && !value.contains('\n'),
            Self::Regex(lazy) => lazy.matches(value),
        }
    }
}

// === impl Lazy ===

impl Lazy {
    pub(super) fn new(source: &str) -> Self {
        Self {
            source: source.into(),
            regex: OnceLock::new(),
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let regex = self
            .regex
            .get_or_init(|| pattern::compile(&self.source).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// The one text that a pattern matches, where it is that simple.
fn text(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => chars.next().filter(is_sign)?,
            c if is_meta(c) => return None,
            c => c,
        });
    }
    Some(text)
}

/// What stands for itself behind a backslash.
pub(super) fn is_sign(c: &char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '<' | '>')
}

/// The literal text that everything begins with that a pattern matches. A character before a
/// quantifier may be missing, and alternatives begin each in its own way.
pub(super) fn beginning(pattern: &str) -> Option<&str> {
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

pub(super) fn is_meta(c: char) -> bool {
    matches!(
        c,
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$'
    )
}
