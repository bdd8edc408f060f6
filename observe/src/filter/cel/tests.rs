use serde_json::{Value as Json, json};

use super::super::Filters;
use crate::{api::flow::Flow, json};

fn flow() -> Flow {
    let told = json!({
        "verdict": "DROPPED",
        "drop_reason_desc": "POLICY_DENIED",
        "is_reply": false,
        "node_name": "node-a",
        "source": {"namespace": "default", "pod_name": "sleep", "identity": 300, "labels": ["k8s:app=sleep", "k8s:tier=web"]},
        "l4": {"TCP": {"destination_port": 8080}},
        "l7": {"type": "REQUEST", "http": {"method": "GET", "url": "http://httpbin/ip"}},
    });
    json::from_value(told).expect("a flow")
}

fn filters(expressions: Json) -> Result<Filters, String> {
    let filter = json!({"experimental": {"cel_expression": expressions}});
    let filter = json::from_value(filter).expect("a filter");
    Filters::new(&[filter], &[]).map_err(|error| error.to_string())
}

#[test]
fn conditions_on_a_flow() {
    for (holds, text) in [
        (true, "true"),
        (true, "_flow.verdict == Verdict.DROPPED"),
        (
            true,
            "_flow.verdict == flow.Verdict.DROPPED && _flow.verdict == 2",
        ),
        (false, "_flow.verdict in [Verdict.FORWARDED, Verdict.AUDIT]"),
        (true, "_flow.drop_reason_desc == DropReason.POLICY_DENIED"),
        (
            true,
            "_flow.source.namespace == 'default' && _flow.source.pod_name.startsWith('sl')",
        ),
        (true, "_flow.source.identity > 256u"),
        (
            true,
            "_flow.source.labels.exists(label, label == 'k8s:app=sleep')",
        ),
        (
            false,
            "_flow.source.labels.all(label, label.contains('app'))",
        ),
        (
            true,
            "size(_flow.source.labels) == 2 && _flow.source.labels[1].endsWith('web')",
        ),
        (true, "_flow.l4.TCP.destination_port in [80u, 8080u]"),
        (true, "_flow.l7.http.url.matches('^http://[a-z]+/ip$')"),
        (true, "matches(_flow.node_name, 'node-[ab]')"),
        // What is not set has its default, and is not there.
        (
            true,
            "_flow.destination.pod_name == '' && _flow.l4.UDP.source_port == 0u",
        ),
        (
            true,
            "has(_flow.l7.http) && !has(_flow.l7.dns) && !has(_flow.destination)",
        ),
        (true, "_flow.is_reply == false && has(_flow.is_reply)"),
        (true, "!(_flow.l7.dns.query == 'example.com.')"),
        // What fails does not match, and neither does its opposite.
        (false, "_flow.destination.labels[0] == 'x'"),
        (false, "_flow.destination.labels[0] != 'x'"),
    ] {
        let filters = filters(json!([text])).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(filters.pass(&flow()), holds, "{text}");
    }
}

#[test]
fn one_of_several_must_hold_beside_the_other_fields() {
    let pass = |told: Json| {
        let filter = json::from_value(told).expect("a filter");
        Filters::new(&[filter], &[])
            .expect("it means something")
            .pass(&flow())
    };
    let one = |texts: Json| json!({"experimental": {"cel_expression": texts}});
    assert!(pass(one(json!(["false", "_flow.verdict == 2"]))));
    assert!(!pass(one(json!(["false", "_flow.verdict == 1"]))));
    let mut both = one(json!(["true"]));
    both["source_pod"] = json!(["default/other"]);
    assert!(!pass(both));
}

#[test]
fn what_is_no_condition_is_refused_with_its_reason() {
    let deep = format!("size({}{}) == 1", "[".repeat(500), "]".repeat(500));
    let chain = format!("true{}", " && (1 + 1 == 2)".repeat(10));
    assert!(filters(json!([chain])).is_ok());
    let sum = format!("{} == 1", vec!["1"; 400].join("+"));
    let long = format!("_flow.node_name == '{}'", "x".repeat(3000));
    let nested = "[1, 2].all(x, [1, 2].all(y, x == y))";
    for (text, reason) in [
        ("_flow.verdict ==", "ERROR"),
        ("_flow.nothing == 1", "Flow has no field \"nothing\""),
        (
            "_flow.source.nothing == ''",
            "Endpoint has no field \"nothing\"",
        ),
        ("has(_flow.nothing)", "no field"),
        (
            "flows.verdict == 1",
            "there is no \"flows\"; the flow is _flow",
        ),
        ("_flow.verdict == Verdict.NOTHING", "NOTHING"),
        ("_flow.verdict", "is no condition but int"),
        ("_flow.node_name + 1 == 'x'", "add"),
        ("nothing(_flow)", "nothing"),
        ("Flow{verdict: 1} == _flow", "messages cannot be made"),
        (
            nested,
            "a loop (all, exists, map, filter) inside another one",
        ),
        (&sum, "nested deeper than 64"),
        (&deep, "recursion limit"),
        (&long, "more than 2048"),
    ] {
        let error = filters(json!([text])).expect_err(text);
        assert!(error.contains("experimental.cel_expression"), "{error}");
        assert!(error.contains(reason), "{text:.60}: {error}");
    }
    let many = filters(json!(vec!["true"; 17])).expect_err("too many");
    assert!(many.contains("more than 16 expressions"), "{many}");
}

#[test]
fn patterns_are_bounded() {
    for text in [
        "_flow.node_name.matches('(')",
        "_flow.node_name.matches('(a{1000}){1000}')",
    ] {
        let error = filters(json!([text])).expect_err(text);
        assert!(error.contains("no pattern, or too large"), "{error}");
    }
    // Patterns that are made of flows are not kept without end.
    let filters = filters(json!(["_flow.node_name.matches(_flow.node_name)"])).expect("a filter");
    for number in 0..100 {
        let named = Flow {
            node_name: format!("node-{number}"),
            ..flow()
        };
        assert!(filters.pass(&named), "{number}");
    }
}

#[test]
fn nothing_that_is_long_or_deep_takes_the_stack() {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let all = thread.spawn(|| {
        for part in [
            "(",
            "[",
            "{",
            "!",
            "-",
            "a?b:",
            "f(",
            "a[",
            "[1].all(x,",
            "1+",
            "a.b||",
            "(a?[{f(",
        ] {
            let text = part.repeat(2048 / part.len());
            assert!(filters(json!([text])).is_err(), "{part}");
        }
        for (part, glue) in [("true", "||"), ("1", "+"), ("1", "<"), ("_flow", ".")] {
            let text = vec![part; 2000 / (part.len() + glue.len())].join(glue);
            let told = filters(json!([text])).map(|filters| filters.pass(&flow()));
            assert!(told.is_err() || told == Ok(true), "{part}{glue}: {told:?}");
        }
    });
    all.expect("a thread").join().expect("no panic");
}
