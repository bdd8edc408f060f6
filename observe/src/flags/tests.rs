//! Words, and the filters that they come to.

use serde_json::{Value, json};

use super::*;

fn lists(words: &[(&str, &str)]) -> (Vec<Value>, Vec<Value>) {
    let lists = read(words.iter().copied()).unwrap_or_else(|error| panic!("{error}"));
    let shown = |list: &[FlowFilter]| list.iter().map(json::to_value).collect();
    (shown(&lists.allow), shown(&lists.deny))
}

#[test]
fn a_flag_about_either_end_makes_two_filters() {
    let (allow, deny) = lists(&[("pod", "default/sleep"), ("verdict", "DROPPED,audit")]);
    let verdict = json!(["DROPPED", "AUDIT"]);
    assert_eq!(
        allow,
        [
            json!({"source_pod": ["default/sleep"], "verdict": verdict}),
            json!({"destination_pod": ["default/sleep"], "verdict": verdict}),
        ]
    );
    assert_eq!(deny, [] as [Value; 0]);
    let (allow, _) = lists(&[("from-pod", "sleep"), ("to-port", "80,81"), ("ipv4", "")]);
    let one =
        json!({"source_pod": ["sleep"], "destination_port": ["80", "81"], "ip_version": ["IPv4"]});
    assert_eq!(allow, [one]);
}

#[test]
fn not_is_about_the_next_filter_only() {
    let (allow, deny) = lists(&[
        ("not", "true"),
        ("to-port", "53,80"),
        ("to-port", "81"),
        ("protocol", "tcp"),
        ("not", ""),
        ("from-label", "a=b,c"),
    ]);
    assert_eq!(
        allow,
        [json!({"destination_port": ["81"], "protocol": ["tcp"]})]
    );
    let denied = json!({"destination_port": ["53", "80"], "source_label": ["a=b,c"]});
    assert_eq!(deny, [denied]);
}

#[test]
fn a_pod_is_one_of_the_namespace_beside_it() {
    let (allow, _) = lists(&[("pod", "a,b/c"), ("namespace", "sleep")]);
    assert_eq!(allow[0], json!({"source_pod": ["sleep/a", "b/c"]}));
    let (allow, _) = lists(&[("namespace", "sleep")]);
    assert_eq!(allow[1], json!({"destination_pod": ["sleep/"]}));
}

#[test]
fn a_filter_as_json_stands_beside_the_others() {
    let (allow, deny) = lists(&[
        ("allowlist", r#"{"http_status_code":["4+"]}"#),
        ("denylist", r#"{"uuid":["1"]}"#),
        ("to-pod", "a"),
    ]);
    let expected = [
        json!({"destination_pod": ["a"]}),
        json!({"http_status_code": ["4+"]}),
    ];
    assert_eq!(allow, expected);
    assert_eq!(deny, [json!({"uuid": ["1"]})]);
}

#[test]
fn every_flag_takes_a_value_of_its_kind() {
    for flag in all() {
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
        let value = if flag.value.is_empty() { "" } else { sample };
        let (allow, _) = lists(&[(flag.name, value)]);
        assert!(
            allow
                .iter()
                .all(|filter| filter.as_object().is_some_and(|f| !f.is_empty())),
            "{}",
            flag.name
        );
    }
}

#[test]
fn words_that_mean_nothing_are_refused_by_their_names() {
    for (name, value, said) in [
        ("from-ip", "x", "source_ip"),
        ("port", "http", "source_port"),
        (
            "verdict",
            "DENIED",
            "verdict DENIED: is no verdict; there are FORWARDED, DROPPED, AUDIT, ",
        ),
        ("type", "http", "there are policy-verdict, drop, l7, "),
        ("verdicts", "DROPPED", "verdicts DROPPED: is not known"),
        ("type", "trace:nowhere", "no such subtype"),
        ("http-path", "(", "http_path"),
        ("http-status", "9+", "http_status_code"),
        ("label", "a in b", "source_label"),
        ("encrypted", "no", "takes no value"),
        ("not", "no", "takes no value"),
        ("allowlist", "{\"verdict\":1.5}", "allowlist"),
        ("denylist", "[", "denylist [: EOF"),
        ("cel-expression", "1", "is no condition but int"),
    ] {
        let error = read([(name, value)]).expect_err(name).to_string();
        assert!(error.contains(said), "{name} {value}: {error}");
    }
}

#[test]
fn kinds_of_workloads_have_kubectls_short_words() {
    for (given, kind) in [
        ("deploy/web", "Deployment"),
        ("sts/web", "StatefulSet"),
        ("Deployment/web", "Deployment"),
        ("web", ""),
    ] {
        let lists = read([("to-workload", given)]).expect(given);
        let workload = &lists.allow[0].destination_workload[0];
        assert_eq!(
            (workload.kind.as_str(), workload.name.as_str()),
            (kind, "web")
        );
    }
}
