//! The path as a server might read it after cleaning it up.
//!
//! The proxy forwards the path as sent, and servers differ in what they make of it. So a path is
//! judged as sent and in this second reading, and both must be allowed.

use std::borrow::Cow;

/// A path (with its query, which stays as it is) as a server might normalise it.
///
/// In this order: percent-encoded dots, slashes and backslashes are decoded once and a backslash
/// becomes a slash; path parameters of dot segments (`..;x`) are cut; repeated slashes are merged;
/// dot segments are removed (RFC 3986 section 5.2.4). Borrowed when nothing changes. Anything that
/// does not start with a slash or backslash (`*`) is returned as it is.
pub fn normalise(path: &str) -> Cow<'_, str> {
    if !path.starts_with(['/', '\\']) {
        return Cow::Borrowed(path);
    }
    let (plain, query) = match path.split_once('?') {
        Some((plain, query)) => (plain, Some(query)),
        None => (path, None),
    };
    if is_normal(plain) {
        return Cow::Borrowed(path);
    }
    let decoded = decode(plain);
    let mut segments: Vec<&str> = Vec::new();
    // A dot segment or a slash at the end leaves a slash at the end.
    let mut open_end = false;
    for segment in decoded.split('/') {
        let name = match segment.split(';').next() {
            Some(name @ ("." | "..")) => name,
            _ => segment,
        };
        open_end = matches!(name, "" | "." | "..");
        match name {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut normal = String::with_capacity(path.len());
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if open_end || segments.is_empty() {
        normal.push('/');
    }
    if let Some(query) = query {
        normal.push('?');
        normal.push_str(query);
    }
    Cow::Owned(normal)
}

/// Cheap test that spares the common path every allocation: no escape, backslash, doubled slash
/// or segment that starts with a dot.
fn is_normal(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let starts_segment = before == b'/';
        let escapes = matches!(byte, b'%' | b'\\');
        let special = starts_segment && matches!(byte, b'/' | b'.');
        let good = !(escapes || special);
        before = byte;
        good
    })
}

fn decode(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find(['%', '\\']) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        decoded.push_str(before);
        let (byte, length) = match from.as_bytes() {
            [b'\\', ..] => ('/', 1),
            [b'%', b'2', b'e' | b'E', ..] => ('.', 3),
            [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] => ('/', 3),
            _ => ('%', 1),
        };
        decoded.push(byte);
        rest = from.get(length..).unwrap_or_default();
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn readings() {
        for (sent, read) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("*", "*"),
            ("/a?b=../c//d%2e", "/a?b=../c//d%2e"),
            ("//", "/"),
            ("//a///b", "/a/b"),
            ("/a//", "/a/"),
            ("/public/../private", "/private"),
            ("/public/%2e%2E/private", "/private"),
            ("/public/.%2e/private?q=1", "/private?q=1"),
            ("/public%2f..%2Fprivate", "/private"),
            ("/public%5c..%5Cprivate", "/private"),
            ("/public\\..\\private", "/private"),
            ("\\private", "/private"),
            ("/public/..;/private", "/private"),
            ("/public/%2e%2e;x=1/private", "/private"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/.a/..b/...", "/.a/..b/..."),
            ("/a/./b", "/a/b"),
            ("/%41", "/%41"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/%", "/%"),
            ("/a%2fb", "/a/b"),
        ] {
            assert_eq!(normalise(sent), read, "{sent}");
        }
    }

    #[test]
    fn the_common_path_is_borrowed() {
        assert!(matches!(normalise("/api/v1/things?x=1"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn the_result_has_nothing_left_to_normalise(path in "/[ab.%2eEfF5cC/\\\\;]{0,24}(\\?[a./]{0,4})?") {
            let once = normalise(&path).into_owned();
            let plain = once.split('?').next().unwrap().to_owned();
            prop_assert!(once.starts_with('/'));
            prop_assert!(!plain.contains("//") && !plain.contains('\\'));
            prop_assert!(plain.split('/').all(|segment| segment != "." && segment != ".."));
            prop_assert_eq!(once.split_once('?').map(|s| s.1), path.split_once('?').map(|s| s.1));
        }

        #[test]
        fn no_input_panics(path in ".{0,64}") {
            let _normal = normalise(&path);
        }
    }
}
