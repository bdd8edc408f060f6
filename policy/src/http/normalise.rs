//! The path as servers may read it.
//!
//! The proxy forwards the path as sent, and servers differ in what they make of it: how often they
//! decode it, whether a backslash is a slash, whether two slashes are one, and whether `;x` belongs
//! to a segment's name. So a path is judged in every combination of these, and all must be allowed.

use std::borrow::Cow;

/// What a server makes of path parameters, the part of a segment from a semicolon on
/// (RFC 3986, 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameters {
    /// They go where the rest of the segment is a dot segment.
    OfDotSegments,
    /// They go everywhere.
    Cut,
    /// They are a part of the name.
    Kept,
}

/// Every reading of a path (with its query, which stays as it is) that is not the path as sent;
/// none for most paths, which all servers read alike.
///
/// A reading decodes the path as sent, once or twice; takes a backslash for a slash or not; merges
/// repeated slashes or not; cuts path parameters or not; and removes dot segments (RFC 3986,
/// 5.2.4). Decoding is about characters that mean the same escaped or not (RFC 3986, 2.3) and
/// those that the other steps look at, in UTF-8 and in its overlong forms; all other escapes stay.
/// What does not start with a slash or backslash (`*`) has one reading.
pub fn readings(path: &str) -> Vec<String> {
    let mut readings = Vec::new();
    if !path.starts_with(['/', '\\']) {
        return readings;
    }
    let end = path.find('?').unwrap_or(path.len());
    let (plain, query) = path.split_at_checked(end).unwrap_or((path, ""));
    if is_normal(plain) {
        return readings;
    }
    let once = decode(plain);
    let twice = decode(&once);
    let mut texts = vec![once.as_ref()];
    if twice != once {
        texts.push(&twice);
    }
    if once != plain {
        texts.push(plain);
    }
    for text in texts {
        let backslashes = options(text.contains('\\'), &[true, false]);
        for backslash in backslashes {
            let slashed = match backslash {
                true => Cow::Owned(text.replace('\\', "/")),
                false => Cow::Borrowed(text),
            };
            for merge in options(slashed.contains("//"), &[true, false]) {
                let all = [Parameters::OfDotSegments, Parameters::Cut, Parameters::Kept];
                for parameters in options(slashed.contains(';'), &all) {
                    let mut reading = tidy(&slashed, *merge, *parameters);
                    reading.push_str(query);
                    if reading != path && !readings.contains(&reading) {
                        readings.push(reading);
                    }
                }
            }
        }
    }
    readings
}

/// All options where they make a difference, else the first.
fn options<T>(differ: bool, all: &[T]) -> &[T] {
    all.get(..if differ { all.len() } else { 1 })
        .unwrap_or_default()
}

/// Removes dot segments.
fn tidy(path: &str, merge: bool, parameters: Parameters) -> String {
    let mut segments: Vec<&str> = Vec::new();
    // A dot segment or a slash at the end leaves a slash at the end.
    let mut open_end = false;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        let bare = segment.split(';').next().unwrap_or_default();
        let name = match parameters {
            Parameters::OfDotSegments if matches!(bare, "." | "..") => bare,
            Parameters::Cut => bare,
            _ => segment,
        };
        open_end = matches!(name, "." | "..") || (merge && name.is_empty());
        match name {
            "." => {}
            "" if merge => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut tidy = String::with_capacity(path.len() + 1);
    for segment in &segments {
        tidy.push('/');
        tidy.push_str(segment);
    }
    if open_end || segments.is_empty() {
        tidy.push('/');
    }
    tidy
}

/// Cheap test that spares the common path every allocation: no escape, backslash, semicolon,
/// doubled slash or segment that starts with a dot.
fn is_normal(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let starts_segment = before == b'/';
        let escapes = matches!(byte, b'%' | b'\\' | b';');
        let special = starts_segment && matches!(byte, b'/' | b'.');
        let good = !(escapes || special);
        before = byte;
        good
    })
}

fn decode(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        decoded.push_str(before);
        let (character, length) = escaped(from.as_bytes()).unwrap_or(('%', 1));
        decoded.push(character);
        rest = from.get(length..).unwrap_or_default();
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The character that escapes at the beginning stand for and how long they are, where it is one
/// that is decoded.
fn escaped(from: &[u8]) -> Option<(char, usize)> {
    let byte = |place: usize| match from.get(3 * place..3 * place + 3)? {
        [b'%', high, low] => {
            let digit = |byte: u8| (byte as char).to_digit(16);
            Some((digit(*high)? << 4) | digit(*low)?)
        }
        _ => None,
    };
    // A continuation byte (RFC 3629, 3).
    let next = |place| {
        byte(place)
            .filter(|byte| byte & 0xc0 == 0x80)
            .map(|b| b & 0x3f)
    };
    let (code, count) = match byte(0)? {
        ascii @ ..0x80 => (ascii, 1),
        // Longer than need be: RFC 3629 forbids them, and some decoders take them all the same.
        lead @ 0xc0..=0xc1 => (((lead & 0x1f) << 6) | next(1)?, 2),
        0xe0 => ((next(1)? << 6) | next(2)?, 3),
        0xf0 => ((next(1)? << 12) | (next(2)? << 6) | next(3)?, 4),
        _ => return None,
    };
    let character = char::from_u32(code)?;
    let wanted = character.is_ascii_alphanumeric()
        || matches!(character, '-' | '.' | '_' | '~' | '/' | '\\' | '%' | ';');
    wanted.then_some((character, 3 * count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_all_servers_read_alike_has_no_other_reading() {
        for path in [
            "/",
            "/a/b",
            "/a/b/",
            "*",
            "/api/v1/things?x=1",
            "/a?b=../c//d%2e;\\",
            "/a%20b%C3%A9",
            "/.a/..b/...",
            "/%",
        ] {
            assert_eq!(readings(path), [""; 0], "{path}");
        }
    }

    #[test]
    fn every_way_out_of_a_folder_is_a_reading() {
        for path in [
            "/public/../private",
            "/public/%2e%2E/private",
            "/public/.%2e/private",
            "/public%2f..%2Fprivate",
            "/public%5c..%5Cprivate",
            "/public\\..\\private",
            "\\private",
            "/public/..;/private",
            "/public/%2e%2e;x=1/private",
            "/public/..%3b/private",
            "/public/..%3Bx/private",
            "/public/..%253b/private",
            "/public/%252e%252e/private",
            "/public%252f..%252fprivate",
            "/public%255c..%255cprivate",
            "/public/%25%32%65%25%32%65/private",
            "/public/%c0%ae%c0%ae/private",
            "/public%c0%af..%c0%afprivate",
            "/public%c1%9c..%c1%9cprivate",
            "/public/%e0%80%ae%e0%80%ae/private",
            "/public/%f0%80%80%ae%f0%80%80%ae/private",
            "/public/%25c0%25ae%25c0%25ae/private",
            "/public/..%c0%bb/private",
            // Servers that leave `%2f` alone, that do not merge slashes, that keep `;x`.
            "/public/a%2fb/../../private",
            "/public//../../private",
            "/public/a%5cb/../../private",
            "/private;x=1",
            "/%70rivate",
            "/%2570rivate",
            "/p;x/../private",
        ] {
            let found = readings(path);
            assert!(found.contains(&"/private".to_owned()), "{path}: {found:?}");
        }
    }

    #[test]
    fn the_first_reading_is_the_most_usual_one() {
        for (sent, read) in [
            ("//", "/"),
            ("//a///b", "/a/b"),
            ("/a//", "/a/"),
            ("/public/.%2e/private?q=1", "/private?q=1"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/./b", "/a/b"),
            ("/%41", "/A"),
            ("/%252e%252e/a", "/%2e%2e/a"),
            ("/a%2fb", "/a/b"),
            ("/a;x=1//b", "/a;x=1/b"),
        ] {
            assert_eq!(
                readings(sent).first().map(String::as_str),
                Some(read),
                "{sent}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_reading_is_free_of_dot_segments(path in "/[ab.%2eEfF5cC3bB0/\\\\;]{0,24}(\\?[a./]{0,4})?") {
            let found = readings(&path);
            for reading in &found {
                let plain = reading.split('?').next().unwrap();
                prop_assert!(plain.starts_with('/'));
                prop_assert!(plain.split('/').all(|segment| segment != "." && segment != ".."), "{}", reading);
                prop_assert_eq!(reading.split_once('?').map(|s| s.1), path.split_once('?').map(|s| s.1));
                prop_assert_ne!(reading, &path);
            }
            let distinct: std::collections::BTreeSet<_> = found.iter().collect();
            prop_assert_eq!(distinct.len(), found.len());
        }

        /// A server that decodes as often as it can, and the one that never does, are both among
        /// those that are asked.
        #[test]
        fn simple_servers_are_covered(path in "/[ab./]{0,12}(%2[eEfF]|%25(2e|2f)|/|\\.){0,6}[ab./]{0,6}") {
            let all = |times: usize| {
                let mut text = path.clone();
                for _ in 0..times {
                    // A general decoder, unlike the one above.
                    let mut bytes = Vec::new();
                    let mut rest = text.as_bytes();
                    while let [first, tail @ ..] = rest {
                        match rest {
                            [b'%', digits @ ..] if digits.len() >= 2 => {
                                let hex = std::str::from_utf8(&digits[..2]).unwrap();
                                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                                rest = &digits[2..];
                            }
                            _ => {
                                bytes.push(*first);
                                rest = tail;
                            }
                        }
                    }
                    text = String::from_utf8(bytes).unwrap();
                }
                let mut out: Vec<&str> = Vec::new();
                for segment in text.split('/').skip(1) {
                    match segment {
                        "." => {}
                        ".." => drop(out.pop()),
                        other => out.push(other),
                    }
                }
                let end = text.ends_with("/.") || text.ends_with("/..");
                format!("/{}{}", out.join("/"), if end && !out.is_empty() { "/" } else { "" })
            };
            let found = readings(&path);
            for times in 0..3 {
                let read = all(times);
                prop_assert!(read == path || found.contains(&read), "{read} of {path}: {found:?}");
            }
        }

        #[test]
        fn no_input_panics(path in ".{0,64}") {
            let _readings = readings(&path);
        }
    }
}
