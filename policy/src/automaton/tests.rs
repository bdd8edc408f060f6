use proptest::prelude::*;

use super::*;
use crate::http::{Request, matcher::Matcher, normalise::readings};

fn rule(method: Option<&str>, path: Option<&str>) -> HttpRule {
    HttpRule {
        method: method.map(Into::into),
        path: path.map(Into::into),
        ..HttpRule::default()
    }
}

fn accepts(table: &Table, method: &str, path: &str) -> bool {
    let line = format!("{method} {path} HTTP/1.1\r\n");
    let accepted = table.accepts(line.as_bytes());
    accepted == Some(method.len() + path.len() + 2)
}

#[test]
fn what_a_rule_allows_is_accepted() {
    let rules = [
        rule(Some("GET"), Some("/public/.*")),
        rule(Some("POST|PUT"), Some("^/items/[0-9]+$")),
        rule(None, Some("/any")),
        rule(Some("PATCH"), None),
    ];
    let table = table(&rules).expect("simple");
    for (method, path) in [
        ("GET", "/public/"),
        ("GET", "/public/a/b?c=%2f//..;\\"),
        ("POST", "/items/12"),
        ("PUT", "/items/0"),
        ("HEAD", "/any"),
        ("PATCH", "/whatever/there?is"),
    ] {
        assert!(accepts(&table, method, path), "{method} {path}");
    }
    for (method, path) in [
        ("GET", "/public"),
        ("get", "/public/"),
        ("POST", "/items/"),
        ("POST", "/items/1x"),
        ("GETS", "/public/"),
        ("", "/any"),
        ("CONNECT", "/any"),
        ("AVERYLONGMETHODTHATNOBODYKNOWS", "/any"),
    ] {
        assert!(!accepts(&table, method, path), "{method} {path}");
    }
}

#[test]
fn what_servers_read_in_two_ways_is_not_accepted() {
    let table = table(&[rule(None, None)]).expect("simple");
    assert!(accepts(&table, "GET", "/a.b/c"));
    for path in [
        "/%41",
        "//",
        "/a//b",
        "/.",
        "/../a",
        "/.a",
        "/a;b",
        "/a\\b",
        "/a#b",
        "/a\u{e9}",
        "a",
        "*",
        "http://a/",
        "",
        "/\t",
        "/a\x7f",
    ] {
        assert!(!accepts(&table, "GET", path), "{path}");
    }
}

#[test]
fn rules_that_look_further_have_none() {
    let host = HttpRule {
        host: Some("a".into()),
        ..HttpRule::default()
    };
    assert_eq!(table(&[host]).err(), Some(NoAutomaton::LooksFurther));
    let many: Vec<HttpRule> = (0..MOST_RULES + 1)
        .map(|number| rule(None, Some(&format!("/{number}"))))
        .collect();
    assert_eq!(table(&many).err(), Some(NoAutomaton::TooComplex));
    let wide = rule(None, Some("/(a|b)*a(a|b){18}"));
    assert_eq!(table(&[wide]).err(), Some(NoAutomaton::TooComplex));
}

#[test]
fn no_rule_accepts_nothing() {
    let table = table(&[]).expect("simple");
    assert!(!accepts(&table, "GET", "/"));
}

#[test]
fn places_count_from_where_the_table_stands() {
    let table = table(&[rule(Some("GET"), Some("/[a-c]x"))]).expect("simple");
    let (here, there) = (table.at(0), table.at(640));
    assert_eq!(here.len(), table.len());
    assert_eq!(here[..64], there[..64]);
    assert_eq!(here[64] + 640, there[64]);
    assert_eq!(here[LENGTH_WORD] as usize, here.len());
    assert_eq!(here[LENGTH_WORD], there[LENGTH_WORD]);
    let accepting = |words: &[u32]| words.iter().filter(|word| **word == ACCEPT).count();
    assert_eq!(accepting(&here), accepting(&there));
}

const METHODS: [&str; 8] = [
    "GET", "POST", "GET|POST", "P.*", "(?i)get", ".*", "[A-F]+", "GE?T",
];
const PATHS: [&str; 12] = [
    "/",
    "/a",
    "/a/.*",
    "^/a/b$",
    "/[^/]+/b",
    "/a(/b)?",
    ".*b",
    "/a|/b",
    "/\\w+",
    "/a\\?x=.*",
    "(?i)/A",
    "/a\\b.*",
];

fn pattern(all: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::weighted(0.8, proptest::sample::select(all))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What is accepted the matcher allows, in the only reading it has; what the matcher allows of
    /// plain lines is accepted.
    #[test]
    fn it_says_what_the_matcher_says(
        rules in proptest::collection::vec((pattern(&METHODS), pattern(&PATHS)), 0..5),
        method in "GET|POST|PUT|GETS|G|CONNECT|[A-G]{1,3}|get",
        path in "/?(/|a|b|ab|a/b|\\?x=|[.;%\\\\#é]|/\\.){0,6}",
    ) {
        let rules: Vec<HttpRule> = rules.iter().map(|(method, path)| rule(*method, *path)).collect();
        let table = table(&rules).expect("simple");
        let matcher = Matcher::new(rules).expect("compiles");
        let request = Request {
            method: &method,
            path: Some(&path),
            host: Some("a"),
            headers: &[],
            body: false,
        };
        let allowed = matcher.first_match(&request).is_some();
        let accepted = accepts(&table, &method, &path);
        if accepted {
            prop_assert!(allowed, "{method} {path}");
            prop_assert_eq!(readings(&path), Vec::<String>::new());
        }
        let path_is_plain = path.starts_with('/')
            && path.is_ascii()
            && !path.contains('#')
            && !path.split('?').next().unwrap_or_default().contains(['%', '\\', ';'])
            && !path.split('?').next().unwrap_or_default().contains("//")
            && !path.split('?').next().unwrap_or_default().contains("/.");
        let plain = path_is_plain && method != "CONNECT" && method.bytes().all(|b| b.is_ascii_uppercase());
        if plain {
            prop_assert_eq!(accepted, allowed, "{} {}", method, path);
        }
    }
}
