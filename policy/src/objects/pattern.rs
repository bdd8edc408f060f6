//! Regular expressions of HTTP rules: RE2 as Envoy runs it, on Rust's engine.
//!
//! The two syntaxes are close but not equal, and where they differ Rust's can match *more*
//! (`\d` reaches every script's digits, `&&` in a class intersects). So a pattern is translated,
//! and refused where it has no equal. A whole text must match, never a part of it.

use regex::{Regex, RegexBuilder};

use super::field::quoted;

/// Longer patterns are refused.
pub const MAX_BYTES: usize = 4096;
/// Patterns whose program is bigger than this are refused.
pub const MAX_PROGRAM_BYTES: usize = 1 << 20;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Its text is too long.
    #[error("the pattern has {bytes} bytes: at most {MAX_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Its program is too big.
    #[error(
        "{} needs more than {MAX_PROGRAM_BYTES} bytes as a program: use fewer or smaller repetitions",
        quoted(pattern)
    )]
    TooBig {
        /// The pattern.
        pattern: String,
    },
    /// It is not a regular expression.
    #[error("{} is not a regular expression: {reason}", quoted(pattern))]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What the engine says.
        reason: String,
    },
    /// It uses what RE2 does not have, or what cannot be carried over.
    #[error(
        "{} uses {}, which is not supported here",
        quoted(pattern),
        quoted(part)
    )]
    Unsupported {
        /// The pattern.
        pattern: String,
        /// The part of it.
        part: String,
    },
}

/// The pattern in Rust's syntax, anchored at both ends; compiles within the limits of
/// [`compile`] or a set of it.
///
/// # Errors
/// [`PatternError`] where it is no RE2 pattern or too big.
pub fn translate(pattern: &str) -> Result<String, PatternError> {
    compile(pattern).map(|regex| regex.as_str().to_owned())
}

/// The pattern in Rust's syntax, anchored at both ends, as far as it can be told without compiling it.
///
/// # Errors
/// [`PatternError`] where it is no RE2 pattern.
pub fn anchored(pattern: &str) -> Result<String, PatternError> {
    let inner = Translation::new(pattern).run()?;
    Ok(format!("^(?:{inner})$"))
}

/// Whether a pattern is one as far as that can be told without compiling it.
///
/// # Errors
/// [`PatternError`] where it is no RE2 pattern.
pub fn check(pattern: &str) -> Result<(), PatternError> {
    anchored(pattern).map(drop)
}

/// The pattern, ready to match whole texts.
///
/// # Errors
/// [`PatternError`] where it is no RE2 pattern or too big.
pub fn compile(pattern: &str) -> Result<Regex, PatternError> {
    if pattern.len() > MAX_BYTES {
        return Err(PatternError::TooLong {
            bytes: pattern.len(),
        });
    }
    RegexBuilder::new(&anchored(pattern)?)
        .size_limit(MAX_PROGRAM_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooBig {
                pattern: pattern.to_owned(),
            },
            other => PatternError::Syntax {
                pattern: pattern.to_owned(),
                reason: reason(&other),
            },
        })
}

/// The last line of the engine's many: the others draw a caret under the translated pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or("").trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

struct Translation<'a> {
    pattern: &'a str,
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    out: String,
    /// Groups that are open. A `)` too many would close the anchors' own group and leave a part
    /// of the pattern outside of them: `a)|(.*`.
    depth: usize,
}

impl<'a> Translation<'a> {
    fn new(pattern: &'a str) -> Self {
        Self {
            pattern,
            rest: pattern.chars().peekable(),
            out: String::with_capacity(pattern.len() + 16),
            depth: 0,
        }
    }

    fn run(mut self) -> Result<String, PatternError> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '(' => self.group()?,
                ')' => {
                    self.depth = self
                        .depth
                        .checked_sub(1)
                        .ok_or_else(|| self.syntax("a `)` without its `(`"))?;
                    self.out.push(c);
                }
                '[' => self.class()?,
                c => self.out.push(c),
            }
        }
        if self.depth > 0 {
            return Err(self.syntax("a `(` without its `)`"));
        }
        Ok(self.out)
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let Some(c) = self.rest.next() else {
            return Err(self.syntax("a `\\` at its end"));
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            's' => self.out.push_str(r"[\t\n\x0C\r ]"),
            'S' => self.out.push_str(r"[^\t\n\x0C\r ]"),
            // Without `i`: its folding would add two letters outside ASCII.
            'w' => self.out.push_str("(?-i:[0-9A-Za-z_])"),
            'W' => self.out.push_str("(?-i:[^0-9A-Za-z_])"),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' | 'Q' | 'C' | 'u' | 'U' | '<' | '>' => {
                return Err(self.unsupported(format!("\\{c}")));
            }
            c => {
                self.out.push('\\');
                self.out.push(c);
            }
        }
        Ok(())
    }

    fn group(&mut self) -> Result<(), PatternError> {
        self.depth += 1;
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        self.out.push('?');
        if matches!(self.rest.peek(), Some('P' | '<')) {
            // A named group; the engine reads the name.
            return Ok(());
        }
        while let Some(c) = self.rest.next() {
            self.out.push(c);
            match c {
                ':' => return Ok(()),
                ')' => {
                    self.depth -= 1;
                    return Ok(());
                }
                'i' | 'm' | 's' | 'U' | '-' => {}
                // `x` above all: its comments would swallow the anchors.
                c => return Err(self.unsupported(format!("(?{c}"))),
            }
        }
        Err(self.syntax("a `(?` without its `)`"))
    }

    /// A class in brackets; the `[` is read.
    fn class(&mut self) -> Result<(), PatternError> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        if self.rest.next_if_eq(&']').is_some() {
            self.out.push_str(r"\]");
        }
        let mut last = ' ';
        while let Some(c) = self.rest.next() {
            match c {
                ']' => {
                    self.out.push(c);
                    return Ok(());
                }
                '\\' => self.class_escape()?,
                '[' if self.rest.peek() == Some(&':') => self.posix_class()?,
                // Operators and nested classes are Rust's; to RE2 these are plain characters.
                '[' | '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '-' if last == '-' => return Err(self.unsupported("--".to_owned())),
                c => self.out.push(c),
            }
            last = if c == '-' { '-' } else { ' ' };
        }
        Err(self.syntax("a `[` without its `]`"))
    }

    fn class_escape(&mut self) -> Result<(), PatternError> {
        let Some(c) = self.rest.next() else {
            return Err(self.syntax("a `\\` at its end"));
        };
        match c {
            'd' => self.out.push_str("0-9"),
            'D' => self.out.push_str("[^0-9]"),
            's' => self.out.push_str(r"\t\n\x0C\r "),
            'S' => self.out.push_str(r"[^\t\n\x0C\r ]"),
            'w' => self.out.push_str("0-9A-Za-z_"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            'b' | 'B' | 'Q' | 'C' | 'u' | 'U' | '<' | '>' => {
                return Err(self.unsupported(format!("\\{c}")));
            }
            c => {
                self.out.push('\\');
                self.out.push(c);
            }
        }
        Ok(())
    }

    /// `[:alpha:]` inside a class; the `[` is read.
    fn posix_class(&mut self) -> Result<(), PatternError> {
        let mut name = String::from("[");
        for c in self.rest.by_ref() {
            name.push(c);
            if c == ']' {
                break;
            }
        }
        let body = name
            .strip_prefix("[:")
            .and_then(|name| name.strip_suffix(":]"))
            .map(|body| body.strip_prefix('^').unwrap_or(body));
        match body {
            Some(body) if !body.is_empty() && body.bytes().all(|b| b.is_ascii_lowercase()) => {
                self.out.push_str(&name);
                Ok(())
            }
            _ => Err(self.unsupported(name)),
        }
    }

    fn syntax(&self, reason: &str) -> PatternError {
        PatternError::Syntax {
            pattern: self.pattern.to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn unsupported(&self, part: String) -> PatternError {
        PatternError::Unsupported {
            pattern: self.pattern.to_owned(),
            part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_texts_match_as_re2_matches_them() {
        for (pattern, yes, no) in [
            (
                "/headers",
                &["/headers"][..],
                &["/headers?x=1", "/headers/", "/a/headers"][..],
            ),
            ("/a|/b", &["/a", "/b"], &["/a/b", "/ab", "x/b"]),
            (r"/v\d+", &["/v10"], &["/v٣", "/v"]),
            (r"\w+", &["aZ_9"], &["é"]),
            (r"(?i)\w", &["k"], &["\u{212a}"]),
            (r"[\d.]+", &["1.2"], &["٣"]),
            (r"[^\D]", &["7"], &["a"]),
            ("[a&&b]+", &["a&b"], &["c"]),
            ("[^a&&b]", &["c"], &["a", "b", "&"]),
            ("[[a]", &["[", "a"], &["b"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[[:alpha:]_]+", &["ab_"], &["1"]),
            (r"(?P<id>[0-9]+)", &["12"], &["x"]),
            ("(?i:GET)", &["get"], &["gett"]),
            (r"a\)|\(b", &["a)", "(b"], &["a"]),
            ("", &[""], &["x"]),
        ] {
            let regex = compile(pattern).expect(pattern);
            for text in yes {
                assert!(regex.is_match(text), "{pattern} must match {text}");
            }
            for text in no {
                assert!(!regex.is_match(text), "{pattern} must not match {text}");
            }
        }
    }

    #[test]
    fn what_has_no_equal_is_refused() {
        for (pattern, reason) in [
            (
                "a)|(.*",
                "`a)|(.*` is not a regular expression: a `)` without its `(`",
            ),
            (
                "(a",
                "`(a` is not a regular expression: a `(` without its `)`",
            ),
            (
                "/x[",
                "`/x[` is not a regular expression: a `[` without its `]`",
            ),
            ("a\\", r"`a\` is not a regular expression: a `\` at its end"),
            (
                "*a",
                "`*a` is not a regular expression: repetition operator missing expression",
            ),
            (
                "(?x)a #",
                "`(?x)a #` uses `(?x`, which is not supported here",
            ),
            ("(?=a)", "`(?=a)` uses `(?=`, which is not supported here"),
            (r"a\Bb", r"`a\Bb` uses `\B`, which is not supported here"),
            ("[a--b]", "`[a--b]` uses `--`, which is not supported here"),
            (
                "(.{500}){500}",
                "`(.{500}){500}` needs more than 1048576 bytes as a program: use fewer or smaller repetitions",
            ),
        ] {
            assert_eq!(compile(pattern).unwrap_err().to_string(), reason);
        }
        let long = "a".repeat(MAX_BYTES + 1);
        assert_eq!(translate(&long), Err(PatternError::TooLong { bytes: 4097 }));
    }
}
