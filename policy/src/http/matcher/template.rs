//! Patterns of which each segment is a text or a wildcard, `/api/[^/]+/items/[0-9]+`, as routes.

use super::compiled::{is_meta, is_sign};

/// A pattern as a route of [`matchit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    /// The route; a wildcard is any text without a slash.
    pub route: String,
    /// Of each segment whether it is a wildcard. Two routes of one shape never fit one path.
    pub shape: Vec<bool>,
    /// Whether the route fits exactly what the pattern matches; else it fits more.
    pub exact: bool,
}

impl Template {
    /// The template that a pattern is; `None` where it is none, or has no wildcard.
    pub fn of(pattern: &str) -> Option<Self> {
        let mut template = Self {
            route: String::with_capacity(pattern.len()),
            shape: Vec::new(),
            exact: true,
        };
        let mut rest = pattern;
        while !rest.is_empty() {
            rest = rest.strip_prefix('/')?;
            template.route.push('/');
            rest = match wildcard(rest) {
                Some((exact, after)) => {
                    template.route.push_str("{_}");
                    template.exact &= exact;
                    template.shape.push(true);
                    after
                }
                None => {
                    template.shape.push(false);
                    literal(rest, &mut template.route)?
                }
            };
        }
        template.shape.contains(&true).then_some(template)
    }
}

/// A wildcard that is a whole segment: a class without the slash, at least once. Tells whether it is
/// every text without a slash, and what comes after it.
fn wildcard(text: &str) -> Option<(bool, &str)> {
    let (exact, after) = match text.strip_prefix("\\d").or(text.strip_prefix("\\w")) {
        Some(after) => (false, after),
        None => {
            let (class, after) = text.strip_prefix('[')?.split_once(']')?;
            let slashless = match class.strip_prefix('^') {
                Some(others) => others.contains('/') && others.chars().all(is_plain),
                None => is_simple(class),
            };
            (slashless.then_some(class == "^/")?, after)
        }
    };
    let after = after.strip_prefix('+')?;
    (after.is_empty() || after.starts_with('/')).then_some((exact, after))
}

/// Characters that stand for themselves in a class; `-` makes a range, of a negated class too, where
/// a slash between its ends is one that the class lacks.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '?' | '#' | '.' | '_' | '~' | '=' | '-')
}

/// A class of letters, digits and signs without a range that reaches over a slash.
fn is_simple(class: &str) -> bool {
    let mut rest = class;
    for range in ["a-z", "A-Z", "0-9"] {
        rest = rest.strip_prefix(range).unwrap_or(rest);
    }
    let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '~');
    !class.is_empty() && rest.strip_suffix('-').unwrap_or(rest).chars().all(sign)
}

/// Appends the text of a segment to a route; answers what comes after it.
fn literal<'a>(text: &'a str, route: &mut String) -> Option<&'a str> {
    let end = text.find('/').unwrap_or(text.len());
    let (segment, after) = text.split_at_checked(end)?;
    let mut chars = segment.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().filter(is_sign)?,
            c if is_meta(c) => return None,
            c => c,
        };
        route.push(c);
        // Braces are written twice in routes.
        if matches!(c, '{' | '}') {
            route.push(c);
        }
    }
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_whole_segments_without_a_slash() {
        let of = |pattern: &str| Template::of(pattern).map(|of| (of.route, of.exact));
        let some = |route: &str, exact| Some((route.to_owned(), exact));
        for (pattern, expected) in [
            ("/api/[^/]+/items", some("/api/{_}/items", true)),
            ("/[^/]+/[0-9]+", some("/{_}/{_}", false)),
            ("/v1/\\d+/a\\.b/\\w+", some("/v1/{_}/a.b/{_}", false)),
            ("/[a-z0-9-]+/", some("/{_}/", false)),
            ("/[^/?]+", some("/{_}", false)),
            ("/a\\{b\\}/[^/]+", some("/a{{b}}/{_}", true)),
            // No wildcard, one that may be empty, one that reaches over slashes, a part of a segment.
            ("/a/b", None),
            ("/[^/]*", None),
            ("/.+", None),
            ("/[.-z]+", None),
            ("/[^?]+", None),
            ("/a[^/]+", None),
            ("/[^/]+x", None),
            ("/[^/]+(/a)?", None),
            ("[^/]+", None),
            ("/[^/]+|/b", None),
            ("/[^]/]+", None),
            ("/[]+", None),
            ("/[^/]+$", None),
        ] {
            assert_eq!(of(pattern), expected, "{pattern}");
        }
    }
}
