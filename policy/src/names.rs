//! DNS names with wildcards: TLS server names, DNS queries, and peers by name.
//!
//! Names are labels of bytes, compared label by label without ASCII case (RFC 4343). `*` stands for
//! any part of one label, a leading `**.` for one label or more, and `**` alone for every name. A
//! label that has a dot in it is only a part of `**`: as text it would look like two labels.

mod name;

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name or a pattern of names, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamePattern(String);

/// Why a text is no name pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is left of it.
    #[error("is empty")]
    Empty,
    /// Longer than a DNS name (RFC 1035).
    #[error("is longer than 255 characters")]
    TooLong,
    /// A character that names do not have.
    #[error(
        "has a `{}`: letters, digits, `-`, `_` and `.` only, `*` in a pattern",
        .0.escape_debug()
    )]
    Character(char),
    /// `**` in another place than the beginning.
    #[error("has `**` in another place than a leading `**.`")]
    Stars,
}

pub use name::Name;

/// The longest name, in characters of its usual text.
const MAX: usize = 255;

impl NamePattern {
    /// Every name.
    pub fn every() -> Self {
        Self("**".into())
    }

    /// A name without wildcards.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn exact(text: &str) -> Result<Self, NameError> {
        match text.find('*') {
            Some(_) => Err(NameError::Character('*')),
            None => Self::new(text),
        }
    }

    /// A pattern.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > MAX {
            return Err(NameError::TooLong);
        }
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
        if let Some(other) = name.chars().find(|c| !known(*c)) {
            return Err(NameError::Character(other));
        }
        let rest = name.strip_prefix("**.").unwrap_or(&name);
        if rest.contains("**") && name != "**" {
            return Err(NameError::Stars);
        }
        Ok(Self(name))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name is meant.
    pub fn matches(&self, name: &Name) -> bool {
        if self.0 == "**" {
            return true;
        }
        let names = name.labels();
        if names.iter().any(|label| label.contains(&b'.')) {
            return false;
        }
        match self.0.strip_prefix("**.") {
            None => labels(&self.0, names),
            Some(rest) => {
                let count = rest.split('.').count();
                let from = names.len().checked_sub(count).filter(|from| *from > 0);
                from.and_then(|from| names.get(from..))
                    .is_some_and(|names| labels(rest, names))
            }
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Label by label.
fn labels(pattern: &str, names: &[Box<[u8]>]) -> bool {
    let patterns = pattern.split('.');
    patterns.clone().count() == names.len()
        && patterns
            .zip(names)
            .all(|(pattern, name)| label(pattern.as_bytes(), name))
}

/// One label; on a mismatch the last `*` takes one character more.
fn label(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(byte) if name.get(n) == Some(byte) => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, n) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let name = Name::parse(name);
        name.is_some_and(|name| NamePattern::new(pattern).expect("a pattern").matches(&name))
    }

    #[test]
    fn wildcards_stay_in_their_label() {
        for (pattern, name, expected) in [
            ("a.b", "A.b.", true),
            ("a.b", "x.a.b", false),
            ("*.b", "a.b", true),
            ("*.b", "b", false),
            ("*.b", "x.a.b", false),
            ("a*c.b", "abc.b", true),
            ("a*c.b", "ac.b", true),
            ("a*c.b", "acd.b", false),
            ("**.b", "x.a.b", true),
            ("**.b", "a.b", true),
            ("**.b", "b", false),
            ("**.b", ".b", false),
            ("**", "anything.at.all", true),
            ("*", "one", true),
            ("*", "one.two", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_label_with_a_dot_is_no_two_labels() {
        let odd = Name::new([&b"a.evil"[..], b"test"]).expect("a name");
        for pattern in [
            "*.evil.test",
            "a.evil.test",
            "**.test",
            "*.test",
            "**.evil.test",
        ] {
            let pattern = NamePattern::new(pattern).expect("a pattern");
            assert!(!pattern.matches(&odd), "{pattern}");
        }
        assert!(NamePattern::every().matches(&odd));
        let bytes = Name::new([&b"\xc3\xa9 \\"[..], b"TEST"]).expect("a name");
        assert!(
            NamePattern::new("*.test")
                .expect("a pattern")
                .matches(&bytes)
        );
    }

    #[test]
    fn what_is_no_pattern() {
        assert_eq!(NamePattern::new("."), Err(NameError::Empty));
        assert_eq!(NamePattern::new("a/b"), Err(NameError::Character('/')));
        assert_eq!(NamePattern::new("a.**.b"), Err(NameError::Stars));
        assert_eq!(NamePattern::exact("*.b"), Err(NameError::Character('*')));
        assert_eq!(NamePattern::new(&"a".repeat(256)), Err(NameError::TooLong));
    }

    proptest! {
        #[test]
        fn patterns_agree_with_regular_expressions(
            pattern in "(\\*\\*\\.)?[ab*]{1,4}(\\.[ab*]{1,3}){0,2}",
            name in "[abAB]{1,3}(\\.[ab]{1,3}){0,3}\\.?",
        ) {
            prop_assume!(pattern != "**" && NamePattern::new(&pattern).is_ok());
            let (lead, rest) = match pattern.strip_prefix("**.") {
                Some(rest) => ("(?:.*\\.)?[^.]+\\.", rest),
                None => ("", pattern.as_str()),
            };
            let rest = rest.replace('.', "\\.").replace('*', "[^.]*");
            let regex = regex::Regex::new(&format!("^(?:{lead}{rest})$")).expect("a regex");
            let naive = regex.is_match(name.strip_suffix('.').unwrap_or(&name).to_lowercase().as_str());
            prop_assert_eq!(matches(&pattern, &name), naive, "{} {}", pattern, name);
        }
    }
}
