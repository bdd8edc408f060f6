//! What records hold: packets sent again, resets, drops that no policy asked for, DNS answers.

use std::net::SocketAddr;

use serde_json::Value;
use weir_lab::Topology;

use super::{SLEEP, flow_log, metrics, observe, said, seen, total};
use crate::common::{Family, Http, TestLab, wait_for};
use crate::policies::{ALLOW_GET_HEADERS, DENY_INGRESS};

/// Flows as JSON with Weir's own part.
fn flows(lab: &TestLab, words: &[&str]) -> Vec<Value> {
    let text = observe(lab, &[&["--all", "--why", "-o", "jsonpb"], words].concat());
    let flow = |line| serde_json::from_str::<Value>(line).expect("JSON")["flow"].clone();
    text.lines().map(flow).collect()
}

/// A SYN that the client's side lets pass and the server's side drops is sent again: the client's
/// side tells it once.
#[test]
fn a_packet_that_passed_and_comes_again_is_counted() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(DENY_INGRESS);
    lab.dropped(SLEEP, Family::V4, &["httpbin:8000/headers"]);
    let passed = ["--type", "trace:to-stack", "--to-port", "80", "-4"];
    wait_for("a SYN that came again", || {
        let flows = flows(&lab, &passed);
        assert!(flows.len() <= 1, "{flows:#?}");
        flows.first().is_some_and(|flow| {
            assert_eq!(flow["verdict"], "FORWARDED");
            flow["weir"]["repeats"]
                .as_str()
                .is_some_and(|count| count != "0")
        })
    });
    assert!(total(&metrics(&lab), "weir_flow_repeats_total", &[]) >= 2.0);
}

#[test]
fn a_reset_for_the_proxy_is_told() {
    let lab = TestLab::up(Topology::Routed);
    let to = SocketAddr::new(lab.address("deploy/httpbin", Family::V4), 80);
    let mut open = Http::open(&lab.netns(SLEEP), to).expect("a connection");
    assert_eq!(open.request("GET", "/headers").expect("an answer"), 200);
    lab.apply(ALLOW_GET_HEADERS);
    open.request("GET", "/headers")
        .expect_err("it runs past the proxy");
    let words = [
        "--verdict",
        "REDIRECTED",
        "--type",
        "policy-verdict",
        "--to-port",
        "80",
    ];
    wait_for("the reset", || {
        flows(&lab, &words)
            .iter()
            .any(|flow| flow["weir"]["reset"] == true)
    });
    let line = flow_log(&lab)
        .into_iter()
        .find(|line| line.starts_with("RESET "));
    let line = line.expect("a line of the log");
    assert!(
        line.contains(" policy=CiliumNetworkPolicy/default/"),
        "{line}"
    );
}

#[test]
fn a_forged_address_is_told_with_its_reason() {
    let lab = TestLab::up(Topology::Routed);
    let address = ["ip", "address", "add", "203.0.113.77/32", "dev", "lo"];
    said(&lab.exec(SLEEP, &address));
    let forged = ["--interface", "203.0.113.77", "-m", "1", "-s"];
    let url = format!("http://{}/", lab.host("deploy/httpbin", Family::V4));
    // It must know its gateway by now: it may not ask for it in another's name either.
    said(&lab.exec(SLEEP, &["curl", "-m", "5", "-s", &url]));
    let output = lab.exec(SLEEP, &[&["curl"], &forged[..], &[url.as_str()]].concat());
    assert!(!output.status.success());
    let lines = seen(&lab, 1, &["--drop-reason-desc", "INVALID_SOURCE_IP"]);
    assert!(
        lines[0].contains(" Invalid source ip DROPPED (TCP Flags: SYN)"),
        "{lines:?}"
    );
    let flow = flows(&lab, &["--type", "drop"]).remove(0);
    assert_eq!(flow["IP"]["source"], "203.0.113.77");
    assert!(
        flow["ingress_denied_by"].is_null() && flow["egress_denied_by"].is_null(),
        "{flow}"
    );
    let why = flow["weir"]["reason"]
        .as_str()
        .expect("a reason")
        .to_owned();
    assert!(why.contains("not its own (at default/sleep-"), "{why}");
    let line = flow_log(&lab)
        .into_iter()
        .find(|line| line.starts_with("DROP "));
    assert!(line.expect("a line of the log").contains("203.0.113.77"));
}

#[test]
fn queries_are_told_with_their_answers() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(
        "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: dns}, spec: {\
         endpointSelector: {matchLabels: {app: sleep}}, egress: [{toEndpoints: [{matchLabels: {\
         'k8s:io.kubernetes.pod.namespace': kube-system, k8s-app: kube-dns}}], toPorts: [{ports: \
         [{port: '53'}], rules: {dns: [{matchPattern: '*.google.com'}]}}]}]}}",
    );
    said(&lab.exec(SLEEP, &["dig", "+short", "www.google.com", "A"]));
    said(&lab.exec(SLEEP, &["dig", "+tcp", "+short", "www.google.com", "AAAA"]));
    lab.exec(SLEEP, &["dig", "+short", "www.example.com", "A"]);
    let dns = ["--protocol", "dns", "--from-pod", "kube-system/"];
    let lines = seen(&lab, 3, &dns);
    let has = |part: &str| lines.iter().any(|line| line.contains(part));
    for part in [
        " dns-response proxy FORWARDED (DNS Answer \"198.51.100.68\" TTL: ",
        "(Proxy www.google.com. A))",
        "(Proxy www.google.com. AAAA))",
        "(DNS Answer RCode: Query Refused TTL: 0 (Proxy www.example.com. A))",
    ] {
        assert!(has(part), "{part}: {lines:#?}");
    }
    let answers = flows(&lab, &dns);
    let tcp = answers.iter().filter(|flow| !flow["l4"]["TCP"].is_null());
    assert_eq!(tcp.count(), 1, "{answers:#?}");
    let found = answers
        .iter()
        .find(|flow| flow["l7"]["dns"]["qtypes"][0] == "A");
    let found = &found.expect("an answer")["l7"];
    assert_eq!(found["dns"]["ips"][0], "198.51.100.68");
    assert_eq!(found["dns"]["rrtypes"][0], "A");
    assert!(found["latency_ns"].as_str().is_some_and(|ns| ns != "0"));
    let denied = flow_log(&lab)
        .into_iter()
        .find(|line| line.starts_with("DNS_DENY "));
    assert!(denied.expect("a line").contains(" query=www.example.com. "));
}
