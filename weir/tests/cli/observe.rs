//! `weir observe`: flags are words, in the order of the command line.

use crate::common::{weir, weir_with};

fn filters(line: &str) -> String {
    let ran = weir(&format!("observe --print-raw-filters {line}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out
}

#[test]
fn flags_are_filters_in_the_order_of_the_line() {
    let line = "--not --to-port 53,80 -n shop --pod cart -l 'a=b,c' -4 --not --to-port 90";
    let end = r#""ip_version":["IPv4"]}"#;
    let expected = [
        format!(r#"allowlist: {{"source_pod":["shop/cart"],"source_label":["a=b,c"],{end}"#),
        format!(
            r#"allowlist: {{"destination_pod":["shop/cart"],"destination_label":["a=b,c"],{end}"#
        ),
        r#"denylist: {"destination_port":["53","80","90"]}"#.to_owned(),
    ];
    let sorted = |line: &str| {
        let (list, filter) = line.split_once(": ").expect("a list");
        let filter: serde_json::Value = serde_json::from_str(filter).expect("JSON");
        (list.to_owned(), filter)
    };
    let shown: Vec<_> = filters(line).lines().map(sorted).collect();
    let expected: Vec<_> = expected.iter().map(|line| sorted(line)).collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_filter_as_json_stands_beside_the_flags() {
    let out = filters(r#"--allowlist '{"uuid":["1"]}' --denylist '{"uuid":["2"]}'"#);
    assert_eq!(
        out,
        "allowlist: {\"uuid\":[\"1\"]}\ndenylist: {\"uuid\":[\"2\"]}\n"
    );
}

#[test]
fn what_means_nothing_is_refused_with_its_flag() {
    for (line, said) in [
        ("--verdict MAYBE", "--verdict MAYBE: is no verdict"),
        ("--not --to-port http", "destination_port"),
        ("--verdict DENIED", "there are FORWARDED, DROPPED, AUDIT, "),
        ("--since yesterday", "\"yesterday\": is neither a time"),
    ] {
        let ran = weir(&format!("observe {line}"));
        assert_ne!(ran.code, 0, "{line}");
        assert!(ran.err.contains(said), "{line}: {}", ran.err);
    }
}

const RECORD: &str = "docs/examples/flows.jsonl";

#[test]
fn what_the_command_line_says_wins_over_the_environment() {
    let server = [("HUBBLE_SERVER", "unix:///nowhere")];
    for (line, said) in [
        ("observe", "no observer answers at unix:///nowhere"),
        ("observe --lab no-such-lab", "no-such-lab"),
        ("observe --name no-such-instance", "no-such-instance"),
        ("observe --server unix:///elsewhere", "unix:///elsewhere"),
        ("suggest", "no observer answers at unix:///nowhere"),
        ("suggest --lab no-such-lab", "no-such-lab"),
        ("ui --lab no-such-lab", "no-such-lab"),
    ] {
        let ran = weir_with(&server, line);
        assert_eq!(ran.code, 1, "{line}: {}", ran.err);
        assert!(ran.err.contains(said), "{line}: {}", ran.err);
    }
    for line in [
        format!("observe --input-file {RECORD} --last 1"),
        format!("suggest --flows {RECORD}"),
    ] {
        let ran = weir_with(&server, &line);
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    }
    let both = weir("observe --lab a --server b");
    assert_eq!(both.code, 2, "{}", both.err);
    let empty = weir_with(&[("HUBBLE_SERVER", "")], "observe --name no-such-instance");
    assert!(empty.err.contains("no-such-instance"), "{}", empty.err);
}

#[test]
fn what_hubbles_client_takes_is_taken() {
    for line in [
        "observe flows",
        "observe -o tab",
        "observe --since 2026-11-29",
        "observe -A",
        r#"observe --allowlist '{"source_pod":["/"]}'"#,
    ] {
        let ran = weir(&format!("{line} --input-file {RECORD}"));
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    }
    let masked = weir(&format!(
        "observe -o json --field-mask verdict,source.pod_name --input-file {RECORD} --last 1"
    ));
    let flow = &masked.json()["flow"];
    let fields: Vec<_> = flow.as_object().expect("a flow").keys().collect();
    assert_eq!(fields, ["source", "verdict"]);
}

#[test]
fn what_hubbles_client_takes_and_weir_has_not_is_refused_by_its_name() {
    for (line, said) in [
        ("--tls-ca-cert-files a,b --server x:1", "is one file"),
        ("--tls-ca-cert-files a", "--server says which"),
        ("--field-mask verdict", "only -o json can show"),
        ("agent-events", "tell of flows only"),
        ("debug-events", "tell of flows only"),
        ("nothing", "is not known"),
    ] {
        let ran = weir(&format!("observe {line}"));
        assert_ne!(ran.code, 0, "{line}");
        assert!(ran.err.contains(said), "{line}: {}", ran.err);
    }
    let mask = weir(&format!(
        "observe -o json --field-mask port --input-file {RECORD}"
    ));
    assert_eq!(mask.code, 1);
    assert!(
        mask.err.contains("a flow has no field \"port\""),
        "{}",
        mask.err
    );
}

#[test]
fn expressions_in_cel_choose_flows() {
    let observe = |expression: &str| {
        let line =
            format!("observe --input-file {RECORD} --all -o json --cel-expression '{expression}'");
        weir(&line)
    };
    let all = observe("true").out.lines().count();
    let dropped = observe("_flow.verdict == Verdict.DROPPED").out;
    let others = observe("_flow.verdict != Verdict.DROPPED")
        .out
        .lines()
        .count();
    let count = dropped.lines().count();
    assert!(
        count > 0 && others > 0 && count + others == all,
        "{count} + {others} of {all}"
    );
    assert!(
        dropped.lines().all(|line| line.contains("DROPPED")),
        "{dropped}"
    );
    let refused = observe("_flow.nothing == 1");
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("Flow has no field"), "{}", refused.err);
}
