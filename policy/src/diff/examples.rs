//! A text that a pattern matches.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::objects::pattern;

/// Longer examples are given up.
const LONGEST: usize = 256;

/// A short text that the pattern matches in full; `None` where none is found.
pub fn example(pattern: &str) -> Option<String> {
    let regex = pattern::compile(pattern).ok()?;
    let hir = regex_syntax::parse(regex.as_str()).ok()?;
    let mut text = Vec::new();
    build(&hir, &mut text)?;
    let text = String::from_utf8(text).ok()?;
    regex.is_match(&text).then_some(text)
}

fn build(hir: &Hir, out: &mut Vec<u8>) -> Option<()> {
    if out.len() > LONGEST {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
        HirKind::Class(class) => {
            let mut bytes = [0; 4];
            out.extend_from_slice(member(class)?.encode_utf8(&mut bytes).as_bytes());
        }
        HirKind::Repetition(repetition) => {
            // One where none would do: `/a/.*` is about what stands below `/a/`.
            let times = match (repetition.min, repetition.max) {
                (0, None) => 1,
                (min, _) => min,
            };
            for _ in 0..times {
                build(&repetition.sub, out)?;
            }
        }
        HirKind::Capture(capture) => build(&capture.sub, out)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| build(part, out))?,
        HirKind::Alternation(parts) => build(parts.first()?, out)?,
    }
    Some(())
}

/// A plain character where the class has one.
fn member(class: &Class) -> Option<char> {
    let plain = ['a', '1', 'A', 'x', '-', '_', '/'];
    let Class::Unicode(class) = class else {
        let Class::Bytes(class) = class else {
            return None;
        };
        return class
            .ranges()
            .first()
            .map(|range| char::from(range.start()));
    };
    let holds = |c: &char| {
        let mut ranges = class.ranges().iter();
        ranges.any(|range| (range.start()..=range.end()).contains(c))
    };
    let found = plain.into_iter().find(holds);
    found.or_else(|| class.ranges().first().map(|range| range.start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_examples() {
        for (pattern, expected) in [
            ("/headers", "/headers"),
            ("/users/[0-9]+", "/users/1"),
            ("/a/.*", "/a/a"),
            (r"/headers(\?.*)?", "/headers"),
            ("GET|HEAD", "GET"),
            (r"/v\d{2}", "/v11"),
            ("(?i)get", "GET"),
        ] {
            assert_eq!(example(pattern).as_deref(), Some(expected), "{pattern}");
        }
        assert_eq!(example("a$b"), None);
        assert_eq!(example("("), None);
        assert_eq!(example("a{300}"), None);
    }
}
