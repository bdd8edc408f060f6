//! Golden lines: as Hubble's client prints them.

use std::time::{Duration, UNIX_EPOCH};

use weir_abi::policy::verdict;
use weir_link::proxy::{Application, Disposition, HttpRecord, HttpVersion, L7Record};
use weir_policy::model::Direction;

use super::*;
use crate::{
    json,
    record::{requests, verdicts},
    redact::Redaction,
    service::response,
    testing::{ALLOW, DENY, HTTPBIN, OTHERS, SLEEP, policy, syn},
    why::Reasoner,
};

const AT_US: u64 = 1_781_037_510_645_000;

fn at() -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_micros(AT_US)
}

fn flows(yaml: &str, verdict: u8) -> Vec<Flow> {
    let names = policy(yaml);
    let event = syn(&names, verdict);
    let reasons = Reasoner::new(&names).reasons(&event);
    verdicts(&event, at(), &names, &reasons)
}

fn asked(verdict: Disposition, status: u16, path: &str) -> Vec<Flow> {
    let request = L7Record {
        time_us: AT_US,
        endpoint: Some(7),
        direction: Direction::Ingress,
        client: format!("{SLEEP}:53352").parse().expect("an address"),
        server: format!("{HTTPBIN}:80").parse().expect("an address"),
        application: Application::Http(HttpRecord {
            method: "PUT".into(),
            path: path.into(),
            host: "httpbin:8000".into(),
            version: HttpVersion::Http11,
            headers: Vec::new(),
            status: Some(status),
            grpc_status: None,
        }),
        verdict,
        policies: Vec::new(),
        nearest: None,
        reason: "none".into(),
        latency_us: 0,
    };
    requests(&request, &policy(DENY), &Redaction::default())
}

const ENDS: &str = "Jun  9 20:38:30.645: default/sleep-6d-7ppbf:53352 (ID:SLEEP) ARROW default/httpbin-79-kqb4f:80 (ID:HTTPBIN)";

/// The line with the numbers of identities by name: they are hashes.
fn line(style: &Style, flow: &Flow) -> String {
    let mut line = style.compact(flow);
    for end in [&flow.source, &flow.destination].into_iter().flatten() {
        let name = match end.pod_name.starts_with("sleep") {
            true => "SLEEP",
            false => "HTTPBIN",
        };
        line = line.replace(&format!("ID:{}", end.identity), &format!("ID:{name}"));
    }
    line
}

#[test]
fn compact_lines_are_those_of_hubble() {
    let style = Style::default();
    let to = ENDS.replace("ARROW", "->");
    let back = ENDS.replace("ARROW", "<-");
    let denied = flows(DENY, verdict::DENY);
    let put = asked(Disposition::Denied, 403, "/put");
    for (flow, ends, rest) in [
        (
            &denied[0],
            &to,
            "policy-verdict:none INGRESS DENIED (TCP Flags: SYN)",
        ),
        (&denied[1], &to, "Policy denied DROPPED (TCP Flags: SYN)"),
        (
            &flows(ALLOW, verdict::ALLOW)[0],
            &to,
            "policy-verdict:L3-L4 INGRESS ALLOWED (TCP Flags: SYN)",
        ),
        (
            &flows(ALLOW, verdict::REDIRECT)[0],
            &to,
            "policy-verdict:L3-L4 INGRESS ALLOWED (TCP Flags: SYN)",
        ),
        (
            &put[0],
            &to,
            "http-request DROPPED (HTTP/1.1 PUT http://httpbin:8000/put)",
        ),
        (
            &put[1],
            &back,
            "http-response FORWARDED (HTTP/1.1 403 0ms (PUT http://httpbin:8000/put))",
        ),
    ] {
        assert_eq!(line(&style, flow), format!("{ends} {rest}"));
    }
    let mut unknown = denied[1].clone();
    unknown.is_reply = None;
    assert!(style.compact(&unknown).contains(" <> "));
}

#[test]
fn more_is_told_where_it_is_asked_for() {
    let style = Style {
        policies: true,
        node: true,
        why: true,
        ..Style::default()
    };
    let shown = line(&style, &flows(OTHERS, verdict::DENY)[0]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines[0].starts_with("Jun  9 20:38:30.645 [node]: default/sleep"),
        "{shown}"
    );
    let by = "policy-verdict:none INGRESS BY default/others (NetworkPolicy) DENIED";
    assert!(lines[0].contains(by), "{shown}");
    let why = "    default deny of NetworkPolicy/default/others; nearest: ";
    assert!(lines[1].starts_with(why), "{shown}");
    let numeric = Style {
        names: false,
        ..Style::default()
    };
    assert!(
        numeric
            .compact(&flows(DENY, verdict::DENY)[0])
            .contains(" 10.244.1.2:53352 ")
    );
}

#[test]
fn what_a_client_sent_moves_no_cursor() {
    let flow = &asked(Disposition::Denied, 403, "/\u{1b}[2J\r\nx")[0];
    for text in [
        Style::default().compact(flow),
        Style::default().dict(flow),
        Style::default().row(flow).join(""),
    ] {
        let bad = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(bad) && !text.contains("\nx"), "{text:?}");
    }
}

#[test]
fn colours_are_only_around_the_words() {
    let plain = Style::default();
    let coloured = Style {
        colour: true,
        ..Style::default()
    };
    let flow = &flows(DENY, verdict::DENY)[0];
    let line = coloured.compact(flow);
    assert!(line.contains("\u{1b}[31mDENIED\u{1b}[39m"), "{line:?}");
    let ansi = regex::Regex::new("\u{1b}\\[[0-9]+m").expect("a regex");
    assert_eq!(ansi.replace_all(&line, ""), plain.compact(flow));
}

#[test]
fn json_is_that_of_hubble_and_is_read_back() {
    let answer = response(asked(Disposition::Denied, 403, "/put")[1].clone());
    let value = json::to_value(&answer);
    let flow = &value["flow"];
    assert_eq!(flow["time"], "2026-06-09T20:38:30.645Z");
    assert_eq!(flow["verdict"], "FORWARDED");
    assert_eq!(flow["l7"]["http"]["code"], 403);
    assert_eq!(flow["Type"], "L7");
    assert_eq!(flow["is_reply"], true);
    assert_eq!(flow["l4"]["TCP"]["destination_port"], 53352);
    assert_eq!(flow["IP"]["ipVersion"], "IPv4");
    assert_eq!(flow["source"]["pod_name"], "httpbin-79-kqb4f");
    assert_eq!(flow["event_type"], serde_json::json!({"type": 129}));
    assert_eq!(value["node_name"], "node");
    let again = json::read_line(&value.to_string()).expect("a flow");
    assert_eq!(again, answer);
    let alone = json::read_line(&flow.to_string()).expect("a flow");
    assert_eq!(alone, answer);
    // A flow of a newer client, with fields and values that are not known here.
    let newer =
        r#"{"flow":{"verdict":"DROPPED","tunnel":{"vni":1},"Summary":"x"},"node_name":"n"}"#;
    assert!(json::read_line(newer).is_ok());
    for bad in ["", "[]", "{\"flow\":1}", "{\"verdict\":{}}"] {
        assert!(json::read_line(bad).is_err(), "{bad}");
    }
}
