//! What was seen, from end to end: records, `weir observe`, the flow log and metrics say the same
//! as the clients.

mod records;

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use weir_lab::Topology;

use crate::common::{Family, TestLab, WEIR, wait_for, weir};
use crate::policies::{ALLOW_GET_HEADERS, DENY_INGRESS};

const SLEEP: &str = "deploy/sleep";

/// `weir observe` on a lab, which must go well.
fn observe(lab: &TestLab, words: &[&str]) -> String {
    let output = weir(&[&["observe", "--lab", &lab.name, "--color", "never"], words].concat());
    said(&output)
}

fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Waits until some flow is seen, and gives the lines.
fn seen(lab: &TestLab, count: usize, words: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    wait_for(&format!("{count} flows of {words:?}"), || {
        let text = observe(lab, &[&["--all"], words].concat());
        lines = text.lines().map(str::to_owned).collect();
        lines.len() >= count
    });
    assert_eq!(lines.len(), count, "{words:?}: {lines:#?}");
    lines
}

fn metrics(lab: &TestLab) -> String {
    let words = ["curl", "-sS", "-m", "5", "http://127.0.0.1:9965/metrics"];
    said(&lab.exec("@node", &words))
}

/// The sum of the series of a metric whose labels hold all of these.
fn total(text: &str, name: &str, labels: &[&str]) -> f64 {
    let of_metric = |line: &&str| {
        line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
    };
    text.lines()
        .filter(of_metric)
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn flow_log(lab: &TestLab) -> Vec<String> {
    let path = lab.lab.log_path("flows", "default").expect("a path");
    let log = fs::read_to_string(path).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

/// A denied connection: its packets come again, its record does not.
#[test]
fn a_denial_is_seen_once_with_its_reason() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(DENY_INGRESS);
    lab.dropped(SLEEP, Family::V4, &["httpbin:8000/headers"]);
    let verdicts = ["--type", "policy-verdict", "--verdict", "DROPPED", "-4"];
    let line = seen(&lab, 1, &verdicts).remove(0);
    let pattern = " -> default/httpbin-";
    assert!(
        line.contains(": default/sleep-") && line.contains(pattern),
        "{line}"
    );
    assert!(
        line.ends_with(" policy-verdict:none INGRESS DENIED (TCP Flags: SYN)"),
        "{line}"
    );
    let drop = seen(&lab, 1, &["--type", "drop", "-4"]).remove(0);
    assert!(
        drop.ends_with(" Policy denied DROPPED (TCP Flags: SYN)"),
        "{drop}"
    );

    // The SYN was sent again at least once while curl waited.
    wait_for("a repeated packet", || {
        let text = observe(&lab, &[&verdicts[..], &["--why", "-o", "jsonpb"]].concat());
        let flow: Value = serde_json::from_str(text.trim()).expect("one line of JSON");
        let why = &flow["flow"]["weir"];
        assert_eq!(why["default_deny"], true, "{flow}");
        assert_eq!(
            flow["flow"]["ingress_denied_by"][0]["kind"],
            "NetworkPolicy"
        );
        assert_eq!(flow["flow"]["destination_service"]["name"], "httpbin");
        assert_eq!(flow["flow"]["source"]["workloads"][0]["name"], "sleep");
        why["repeats"].as_str().is_some_and(|count| count != "0")
    });
    let why = observe(&lab, &[&verdicts[..], &["--why"]].concat());
    assert!(
        why.contains("default deny of NetworkPolicy/default/"),
        "{why}"
    );

    let log = flow_log(&lab);
    assert_eq!(log.len(), 1, "{log:#?}");
    assert!(log[0].starts_with("DENY time="), "{log:?}");
    assert!(log[0].contains(" policy=NetworkPolicy/default/"), "{log:?}");
    let text = metrics(&lab);
    assert_eq!(
        total(
            &text,
            "hubble_policy_verdicts_total",
            &["action=\"dropped\""]
        ),
        1.0,
        "{text}"
    );
    assert!(
        total(&text, "hubble_drop_total", &["reason=\"POLICY_DENIED\""]) >= 2.0,
        "{text}"
    );
    assert!(
        total(&text, "weir_datapath_packets_total", &["\"drop_policy\""]) >= 2.0,
        "{text}"
    );
    assert_eq!(
        total(&text, "weir_endpoints", &[]) as usize,
        lab.lab.pods().unwrap().len()
    );
}

/// The workshop's requests: every one is seen and counted, with what the client got.
#[test]
fn requests_are_counted_one_by_one() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(ALLOW_GET_HEADERS);
    let rounds = 5;
    for _ in 0..rounds {
        lab.allowed(SLEEP, Family::V4, &["httpbin:8000/headers"]);
        lab.forbidden(SLEEP, Family::V4, &["httpbin:8000/ip"]);
        lab.forbidden(SLEEP, Family::V4, &["-X", "POST", "httpbin:8000/post"]);
    }
    let http = ["--protocol", "http"];
    let denied = seen(
        &lab,
        2 * rounds,
        &[&http[..], &["--verdict", "DROPPED"]].concat(),
    );
    let ip = " http-request DROPPED (HTTP/1.1 GET http://httpbin:8000/ip)";
    assert_eq!(
        denied.iter().filter(|line| line.ends_with(ip)).count(),
        rounds
    );
    let answers = seen(
        &lab,
        2 * rounds,
        &[&http[..], &["--http-status", "403"]].concat(),
    );
    assert!(
        answers.iter().all(|line| line.contains(" <- ")),
        "{answers:#?}"
    );
    seen(
        &lab,
        rounds,
        &["--http-status", "2+", "--from-pod", "default/httpbin"],
    );
    let post = [
        "--http-method",
        "POST",
        "--http-path",
        "^/post$",
        "--not",
        "--http-status",
        "4+",
    ];
    seen(&lab, rounds, &post);
    let why = observe(&lab, &["--last", "1", "--http-path", "/ip", "--why"]);
    assert!(
        why.contains("CiliumNetworkPolicy/default/") && why.contains("fully matched"),
        "{why}"
    );

    let text = metrics(&lab);
    for (method, status, count) in [
        ("GET", "200", rounds),
        ("GET", "403", rounds),
        ("POST", "403", rounds),
    ] {
        let labels = [
            &format!("method=\"{method}\""),
            &format!("status=\"{status}\""),
            "reporter=\"server\"",
            "source_workload=\"sleep\"",
            "destination_workload=\"httpbin\"",
        ];
        let counted = total(
            &text,
            "hubble_http_requests_total",
            &labels.map(|label: &str| label),
        );
        assert_eq!(counted as usize, count, "{method} {status}\n{text}");
    }
    let durations = total(
        &text,
        "hubble_http_request_duration_seconds_count",
        &["method=\"GET\""],
    );
    assert_eq!(durations as usize, rounds, "{text}");
    let denials = ["layer=\"l7\"", "policy=\"CiliumNetworkPolicy/default/"];
    assert_eq!(
        total(&text, "weir_policy_denials_total", &denials) as usize,
        2 * rounds
    );
    assert_eq!(total(&text, "weir_proxy_connected", &[]), 1.0, "{text}");
    let log = flow_log(&lab);
    let word = |line: &&String| line.starts_with("HTTP_DENY ") && line.contains(" status=403 ");
    assert_eq!(log.iter().filter(word).count(), 2 * rounds, "{log:#?}");
}

/// A follower sees what happens while it follows, and a record tells the same later.
#[test]
fn flows_are_followed_and_recorded() {
    let lab = TestLab::up(Topology::Routed);
    let words = [
        "observe",
        "--lab",
        &lab.name,
        "-f",
        "-o",
        "jsonpb",
        "--to-port",
        "80",
        "-4",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flows.jsonl");
    let file = fs::File::create(&path).expect("a file");
    let mut follower = Command::new(WEIR)
        .args(words)
        .stdout(Stdio::from(file))
        .spawn()
        .expect("a follower");
    let lines = || {
        fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .count()
    };
    // The follower may not be there at the first request.
    wait_for("a followed flow", || {
        lab.allowed(SLEEP, Family::V4, &["httpbin:8000/headers"]);
        lines() > 0
    });
    follower
        .kill()
        .and_then(|()| follower.wait())
        .expect("the follower");
    let record = path.to_str().expect("UTF-8");
    let shown = said(&weir(&[
        "observe",
        "--input-file",
        record,
        "--last",
        "1",
        "--from-pod",
        "default/sleep",
    ]));
    assert!(
        shown.contains(": default/sleep-") && shown.contains("TCP Flags: SYN"),
        "{shown}"
    );
    let none = said(&weir(&[
        "observe",
        "--input-file",
        record,
        "--verdict",
        "DROPPED",
    ]));
    assert_eq!(none, "");
    let first: Value =
        serde_json::from_str(fs::read_to_string(&path).unwrap().lines().next().unwrap()).unwrap();
    assert!(
        first["flow"]["weir"].is_null(),
        "Hubble's client would refuse it: {first}"
    );
    // What was recorded is what suggest and diff read.
    let suggested = said(&weir(&["suggest", "--flows", record]));
    assert!(suggested.contains("kind: "), "{suggested}");
}

#[test]
fn what_cannot_be_observed_is_said_in_one_message() {
    let output = weir(&["observe", "--name", "nobody-is-here"]);
    let said = crate::common::one_message(&output);
    assert!(said.contains("nobody-is-here/hubble.sock"), "{said}");
    let output = weir(&["observe", "--from-ip", "x"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("source_ip") || said.contains("--from-ip"),
        "{said}"
    );
}
