//! Request paths as patterns: what looks like an id stands for every id.

use std::collections::{BTreeMap, BTreeSet};

use crate::http::normalise::readings;

/// One segment of any text.
const ANY: &str = "[^/]+";
/// From so many names in one place on, they are taken for data.
const MANY: usize = 5;

/// Paths by their segments, each a pattern.
type Templates = BTreeMap<Vec<String>, Use>;

/// What was seen of a path.
#[derive(Debug, Default)]
struct Use {
    /// Sometimes with a query string.
    queried: bool,
    methods: BTreeSet<String>,
}

/// Patterns that match these paths, and the methods of each.
pub(super) fn patterns(
    requests: &BTreeSet<(String, String)>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut templates = Templates::new();
    for (method, path) in requests {
        // A path is judged as sent and as servers may read it; all readings must be allowed.
        for path in std::iter::once(path.clone()).chain(readings(path)) {
            let path = path.as_str();
            let (plain, queried) = match path.split_once('?') {
                Some((plain, _)) => (plain, true),
                None => (path, false),
            };
            let segments = plain.split('/').map(segment).collect();
            let known = templates.entry(segments).or_default();
            known.queried |= queried;
            known.methods.insert(method.clone());
        }
    }
    let longest = templates.keys().map(Vec::len).max().unwrap_or(0);
    for position in 1..longest {
        templates = collapsed(templates, position);
    }
    let mut patterns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (segments, of) in templates {
        let mut pattern = segments.join("/");
        if of.queried {
            pattern.push_str("(\\?.*)?");
        }
        patterns.entry(pattern).or_default().extend(of.methods);
    }
    patterns
}

/// Templates that differ in one place only become one where they are many.
fn collapsed(templates: Templates, position: usize) -> Templates {
    let others = |segments: &[String]| {
        let mut others = segments.to_vec();
        let place = others.get_mut(position);
        if let Some(segment) = place.filter(|segment| !segment.is_empty()) {
            ANY.clone_into(segment);
        }
        others
    };
    let mut counts: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for segments in templates.keys() {
        *counts.entry(others(segments)).or_default() += 1;
    }
    let mut result = Templates::new();
    for (segments, of) in templates {
        let general = others(&segments);
        let many = counts.get(&general).is_some_and(|count| *count >= MANY);
        let known = result.entry(if many { general } else { segments });
        let known = known.or_default();
        known.queried |= of.queried;
        known.methods.extend(of.methods);
    }
    result
}

/// A segment as a pattern.
fn segment(text: &str) -> String {
    if is_id(text) {
        return ANY.to_owned();
    }
    escaped(text)
}

/// A number, a UUID, a long hexadecimal or a long random text.
fn is_id(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let dashed = text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let word = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    (!text.is_empty() && digits == text.len())
        || (text.len() == 36 && dashed)
        || (text.len() >= 8 && hex && digits > 0)
        || (text.len() >= 20 && word && digits >= 3)
}

/// What has a meaning in a pattern loses it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Vec<String> {
        let requests = paths
            .iter()
            .map(|path| ("GET".to_owned(), (*path).to_owned()));
        patterns(&requests.collect()).into_keys().collect()
    }

    #[test]
    fn ids_become_one_pattern() {
        assert_eq!(of(&["/users/1", "/users/23"]), ["/users/[^/]+"]);
        assert_eq!(
            of(&["/o/0b54c0de-93a8-4a37-8f06-3b1f6a4d7e10/items/9"]),
            ["/o/[^/]+/items/[^/]+"]
        );
        assert_eq!(of(&["/blob/deadbeef01"]), ["/blob/[^/]+"]);
        assert_eq!(of(&["/v1/headers", "/ip"]), ["/ip", "/v1/headers"]);
        assert_eq!(of(&["/"]), ["/"]);
    }

    #[test]
    fn many_names_in_one_place_are_data() {
        let names = ["/u/ann", "/u/bob", "/u/cid", "/u/dan", "/u/eve"];
        assert_eq!(of(&names), ["/u/[^/]+"]);
        assert_eq!(of(&names[..4]).len(), 4);
    }

    #[test]
    fn queries_and_characters_of_patterns_are_taken_care_of() {
        assert_eq!(of(&["/a?x=1", "/a"]), [r"/a(\?.*)?"]);
        assert_eq!(of(&["/a.b+c"]), [r"/a\.b\+c"]);
        assert_eq!(of(&["/a/../b"]), [r"/a/\.\./b", "/b"]);
    }

    #[test]
    fn methods_stay_with_their_paths() {
        let requests = [("GET", "/a"), ("POST", "/a"), ("GET", "/b")];
        let requests = requests.map(|(method, path)| (method.to_owned(), path.to_owned()));
        let found = patterns(&requests.into());
        assert_eq!(found["/a"].len(), 2);
        assert_eq!(found["/b"].len(), 1);
    }
}
