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
