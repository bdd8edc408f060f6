//! What flows carried: each is told at its end, with its packets and bytes, to who asks for ends.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use serde_json::Value;
use weir_lab::Topology;

use crate::common::{
    PATIENCE, TestLab, in_both_families, in_both_topologies, listen, tcp, wait_for, weir,
};
use crate::policies::ALLOW_GET_HEADERS;

in_both_topologies!(a_flow_is_told_at_its_end, the_flows_of_a_pod_end_with_it);

const SLEEP: &str = "deploy/sleep";
const PORT: u16 = 7070;
const SENT: usize = 100_000;

fn observe(lab: &TestLab, words: &[&str]) -> Vec<Value> {
    let ask = [
        "observe", "--lab", &lab.name, "--all", "--why", "-o", "jsonpb",
    ];
    let output = weir(&[&ask, words].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let flows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    flows.map(|answer: Value| answer["flow"].clone()).collect()
}

/// Waits for the ends of flows to a port that both ends have told, and gives them by direction.
fn ends(lab: &TestLab, port: u16, version: &str) -> [Value; 2] {
    let mut told = Vec::new();
    let (port, version) = (port.to_string(), ["--ip-version", version]);
    wait_for(&format!("ends at {port}"), || {
        let asked = ["--type", "ended", "--to-port", &port];
        told = observe(lab, &[&asked[..], &version].concat());
        told.len() >= 2
    });
    assert_eq!(told.len(), 2, "{told:#?}");
    ["INGRESS", "EGRESS"].map(|direction| {
        let at = |flow: &&Value| flow["traffic_direction"] == direction;
        let found = told.iter().find(at);
        found
            .unwrap_or_else(|| panic!("no {direction}: {told:#?}"))
            .clone()
    })
}

fn number(flow: &Value, pointer: &str) -> u64 {
    let value = flow.pointer(pointer);
    let text = value
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer}: {flow:#}"));
    text.parse().unwrap()
}

fn a_flow_is_told_at_its_end(topology: Topology) {
    let lab = TestLab::up(topology);
    in_both_families(|family| {
        let at = SocketAddr::new(lab.address("echo", family), PORT);
        let listener = listen(&lab.netns("echo"), at);
        let mut near = tcp(&lab.netns(SLEEP), at, PATIENCE).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(&[7; SENT]).unwrap();
        far.read_exact(&mut vec![0; SENT]).unwrap();
        far.write_all(b"thank").unwrap();
        near.read_exact(&mut [0; 5]).unwrap();
        drop((near, far));
        let version = if at.is_ipv4() { "v4" } else { "v6" };
        for flow in ends(&lab, PORT, version) {
            let told = |side, what| number(&flow, &format!("/weir/ended/{side}/{what}"));
            let (packets, bytes) = (told("sent", "packets"), told("sent", "bytes"));
            assert!(
                packets >= 4 && bytes > SENT as u64 + 40 * packets.min(4),
                "{flow:#}"
            );
            assert!(bytes < SENT as u64 * 2, "{flow:#}");
            let (packets, bytes) = (told("received", "packets"), told("received", "bytes"));
            assert!(packets >= 3, "{flow:#}");
            assert!(bytes > 40 * packets && bytes < SENT as u64 / 2, "{flow:#}");
            assert!(number(&flow, "/weir/ended/lasted_ns") > 0);
            assert_eq!(flow["weir"]["ended"]["end"], "END_CLOSED");
            assert_eq!(flow["verdict"], "FORWARDED");
            assert_eq!(flow["source"]["namespace"], "default", "{flow:#}");
            let destination = flow["destination"]["pod_name"].as_str();
            assert_eq!(destination, Some("echo"), "{flow:#}");
        }
    });
    let ends = |flow: &Value| flow["event_type"]["type"] == 200;
    assert!(
        !observe(&lab, &[]).iter().any(ends),
        "nobody asked for ends"
    );
    // Through the proxy it is the same flow.
    lab.apply(ALLOW_GET_HEADERS);
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
    });
    for version in ["v4", "v6"] {
        for flow in self::ends(&lab, 80, version) {
            let by = flow["ingress_allowed_by"][0]["name"].as_str();
            let ingress = flow["traffic_direction"] == "INGRESS";
            assert_eq!(by, ingress.then_some("allow-get-headers"), "{flow:#}");
            assert!(
                number(&flow, "/weir/ended/received/bytes") > 300,
                "{flow:#}"
            );
            let service = flow["destination_service"]["name"].as_str();
            assert_eq!(service, (!ingress).then_some("httpbin"), "{flow:#}");
        }
    }
    let words = ["curl", "-sS", "-m", "5", "http://127.0.0.1:9965/metrics"];
    let metrics = String::from_utf8(lab.exec("@node", &words).stdout).unwrap();
    let counted = metrics.lines().find(|line| {
        line.starts_with("weir_flow_bytes_total{")
            && [
                "way=\"sent\"",
                "direction=\"ingress\"",
                "destination_workload=\"echo\"",
            ]
            .iter()
            .all(|label| line.contains(label))
    });
    let counted = counted.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    assert!(
        counted.is_some_and(|bytes| bytes > 2.0 * SENT as f64),
        "{counted:?}"
    );
}

fn the_flows_of_a_pod_end_with_it(topology: Topology) {
    let lab = TestLab::up(topology);
    let at = SocketAddr::new(lab.address("echo", crate::common::Family::V4), PORT);
    let listener = listen(&lab.netns("echo"), at);
    let near = tcp(&lab.netns(SLEEP), at, PATIENCE).unwrap();
    let far = listener.accept().unwrap();
    lab.delete("Pod", "echo");
    wait_for("the end of its flow", || {
        let asked = ["--type", "ended", "--to-port", "7070"];
        let told = observe(
            &lab,
            &[&asked[..], &["--traffic-direction", "ingress"]].concat(),
        );
        assert!(told.len() < 2, "{told:#?}");
        told.first().is_some_and(|flow| {
            assert_eq!(flow["destination"]["pod_name"], "echo", "{flow:#}");
            assert_eq!(flow["weir"]["ended"]["end"], "END_IDLE");
            true
        })
    });
    drop((near, far));
}
