use super::*;
use crate::objects::pattern;
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
        host: Some("httpbin:8000"),
        headers: &[],
        body: false,
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
    let (index, misses) = miss;
    let told: Vec<String> = misses.iter().map(ToString::to_string).collect();
    assert_eq!(index, 1);
    assert_eq!(
        told,
        [
            "path: `/headers?x=1` is not fully matched by `/headers` (the path includes the query string: `/headers(\\?.*)?`)"
        ]
    );
}

#[test]
fn rules_that_begin_alike_are_told_apart() {
    let routes = (0..400).map(|n| rule(None, Some(&format!("/api/[^/]+/res{n}"))));
    let others = (0..400).map(|n| rule(None, Some(&format!("/api/[^/]*/odd{n}(\\?.*)?"))));
    let matcher = Matcher::new(routes.chain(others)).expect("compiles");
    for (path, expected) in [
        ("/api/a/res399", Some(399)),
        ("/api/a/res0", Some(0)),
        ("/api//res1", None),
        ("/api/res1", None),
        ("/api/a/b/res1", None),
        ("/api/a/odd399", Some(799)),
        ("/api//odd7?x", Some(407)),
        ("/api/a/odd7/", None),
        ("/api/a/odd400", None),
    ] {
        assert_eq!(
            matcher.first_match(&request("GET", path)),
            expected,
            "{path}"
        );
    }
    assert!(matcher.nearest_miss(&request("GET", "/api/a/b")).is_some());
}

#[test]
fn texts_that_empty_the_cache_again_and_again_are_matched_all_the_same() {
    // Each text needs states that no text before it needed.
    let rules = (0..40).map(|n| rule(None, Some(&format!("/.*a.{{{}}}b{n}", 10 + n % 5))));
    let matcher = Matcher::new(rules).expect("compiles");
    let mut number = 1_u64;
    for _ in 0..40 {
        let mut path = String::from("/");
        for _ in 0..200 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            path.push(if number >> 63 == 0 { 'a' } else { 'c' });
        }
        assert_eq!(matcher.first_match(&request("GET", &path)), None);
        path.push_str("a0123456789b0");
        assert_eq!(matcher.first_match(&request("GET", &path)), Some(0));
    }
}

proptest! {
    /// The index agrees with trying rule after rule.
    #[test]
    fn the_index_agrees_with_one_rule_after_the_other(
        rules in prop::collection::vec(
            (prop::option::of(prop::sample::select(vec!["GET", "POST", "G.T", "GET|PUT"])),
             prop::option::of(prop::sample::select(vec![
                "/", "/a", "/a/.*", "/a.*", ".*", "/a/[0-9]+", "/(a|b)/c", "/a\\?x=.*", "(?i)/A", "a",
                "/ab?", "/ab*(/.*)?", "/a{1,2}", "/a+", "/a$", "/b|/a", "/[^/]+", "/[^/]+/[0-9]+",
                "/a/[^/]+", "/[a-z]+/[^/]+", "/[^/]+/c", "/a/[^/?]+", "/[^/]*", "/a/\\d+", "/\\w+",
                "/a\\?x=1", "/[^/]+/", "\\/a", "/a\\.*",
             ])),
             prop::option::of(prop::sample::select(vec!["h", "i", "h|i", "[a-z]"]))), 0..16),
        method in prop::sample::select(vec!["GET", "POST", "PUT", "GxT"]),
        path in "/{1,2}(a|b|A|é)?(/{1,2}[0-9c]{0,2})?(\\?x=1|/|\\n)?",
        host in prop::option::of(prop::sample::select(vec!["h", "i", "x"])),
    ) {
        let rules: Vec<_> = rules
            .into_iter()
            .map(|(method, path, host)| HttpRule {
                host: host.map(Into::into),
                ..rule(method, path)
            })
            .collect();
        let sent = Request { host, ..request(method, &path) };
        let fits = |pattern: &Option<String>, value: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| {
                let regex = pattern::compile(pattern).expect("compiles");
                value.is_some_and(|value| regex.is_match(value))
            })
        };
        let naive = rules.iter().position(|rule| {
            fits(&rule.method, Some(method)) && fits(&rule.path, Some(&path)) && fits(&rule.host, host)
        });
        let matcher = Matcher::new(rules).expect("compiles");
        prop_assert_eq!(matcher.first_match(&sent), naive);
        let lacking = |index: &usize| matcher.misses(*index, &sent).len();
        let nearest = (0..matcher.rules.len()).min_by_key(lacking);
        prop_assert_eq!(matcher.nearest_miss(&sent).map(|(index, _)| index), nearest);
    }
}
