//! Flags, and the filters that they come to.

use clap::Parser;
use serde_json::{Value, json};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    filters: FilterArgs,
}

fn lists(words: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let line = Line::try_parse_from([&["x"], words].concat()).unwrap_or_else(|e| panic!("{e}"));
    let shown = |list: &[FlowFilter]| list.iter().map(json::to_value).collect();
    (shown(&line.filters.allow), shown(&line.filters.deny))
}

#[test]
fn a_flag_about_either_end_makes_two_filters() {
    let (allow, deny) = lists(&["--pod", "default/sleep", "--verdict", "DROPPED"]);
    assert_eq!(
        allow,
        [
            json!({"source_pod": ["default/sleep"], "verdict": ["DROPPED"]}),
            json!({"destination_pod": ["default/sleep"], "verdict": ["DROPPED"]}),
        ]
    );
    assert_eq!(deny, [] as [Value; 0]);
    let (allow, _) = lists(&["--from-pod", "sleep", "--to-port", "80,81", "-4"]);
    let one =
        json!({"source_pod": ["sleep"], "destination_port": ["80", "81"], "ip_version": ["IPv4"]});
    assert_eq!(allow, [one]);
}

#[test]
fn not_is_about_the_next_filter_only() {
    let (allow, deny) = lists(&[
        "--not",
        "--to-port",
        "53,80",
        "--protocol",
        "tcp",
        "--not",
        "--from-label",
        "a=b,c",
    ]);
    assert_eq!(allow, [json!({"protocol": ["tcp"]})]);
    let denied = json!({"destination_port": ["53", "80"], "source_label": ["a=b,c"]});
    assert_eq!(deny, [denied]);
}

#[test]
fn a_pod_is_one_of_the_namespace_beside_it() {
    let (allow, _) = lists(&["-n", "sleep", "--pod", "a"]);
    assert_eq!(allow[0], json!({"source_pod": ["sleep/a"]}));
    let (allow, _) = lists(&["-n", "sleep"]);
    assert_eq!(allow[1], json!({"destination_pod": ["sleep/"]}));
}

#[test]
fn every_flag_takes_a_value_of_its_kind() {
    for flag in table::all() {
        let name = format!("--{}", flag.name);
        let sample = match flag.name.rsplit('-').next().unwrap_or_default() {
            "" => "",
            "ip" => "10.0.0.0/8",
            "port" => "80",
            "identity" => "host",
            "flags" => "syn,ack",
            "type" => "trace:to-endpoint",
            "verdict" => "dropped",
            "desc" => "policy_denied",
            "status" => "4+",
            "header" => "a:b",
            "direction" => "ingress",
            "version" => "v6",
            "protocol" => "http",
            "expression" => continue,
            _ => "x",
        };
        let words = match flag.value {
            "" => vec![name.as_str()],
            _ => vec![name.as_str(), sample],
        };
        let (allow, _) = lists(&words);
        assert!(
            allow
                .iter()
                .all(|filter| filter.as_object().is_some_and(|f| !f.is_empty())),
            "{name}"
        );
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for words in [
        ["--from-ip", "x"],
        ["--port", "http"],
        ["--verdict", "MAYBE"],
        ["--type", "trace:nowhere"],
        ["--http-path", "("],
        ["--http-status", "9+"],
        ["--label", "a in b"],
        ["--allowlist", "{\"verdict\":1.5}"],
        ["--denylist", "["],
        ["--cel-expression", "true"],
    ] {
        assert!(
            Line::try_parse_from([&["x"], &words[..]].concat()).is_err(),
            "{words:?}"
        );
    }
}
