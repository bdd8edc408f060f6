//! An agent that strangers want to run out of descriptors.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use serde_json::json;
use weir_lab::Topology;

use crate::common::{TestLab, WEIR, in_both_families, in_both_topologies, inside, wait_for};
use crate::policies::*;

in_both_topologies!(half_sent_requests_take_nothing_from_enforcement);

const SLEEP: &str = "deploy/sleep";
/// The fewest descriptors that an agent starts with, and many times as many clients.
const DESCRIPTORS: &str = "256";
const CLIENTS: usize = 1500;
const NEWCOMER: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: newcomer, namespace: default, labels: { app: newcomer } }
spec:
  containers:
    - { name: c, image: curlimages/curl }
"#;

fn half_sent_requests_take_nothing_from_enforcement(topology: Topology) {
    weir_gate::descriptors::raise().unwrap();
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    let restarted = Command::new("sh")
        .args([
            "-c",
            "ulimit -n \"$1\"; exec \"$0\" lab restart --name \"$2\" agent",
        ])
        .args([WEIR, DESCRIPTORS, &lab.name])
        .output()
        .unwrap();
    assert!(restarted.status.success(), "{restarted:?}");
    wait_for("a proxy with a policy", || {
        lab.status()["proxy"]["revision"].is_u64()
    });
    let endpoints = lab.status()["endpoints"].as_u64().unwrap();
    let metrics = SocketAddr::from(([127, 0, 0, 1], 9965));
    let clients: Vec<TcpStream> = inside(&lab.netns("@node"), || {
        let half = |_| {
            let mut stream = TcpStream::connect(metrics).expect("a connection");
            // Who was not let in hears of it.
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHos").ok();
            stream
        };
        (0..CLIENTS).map(half).collect()
    });
    let judged = |client: &str| {
        in_both_families(|family| {
            let httpbin = lab.host("deploy/httpbin", family);
            let url = |path: &str| format!("{httpbin}:80{path}");
            lab.allowed(SLEEP, family, &[&url("/headers")]);
            lab.forbidden(SLEEP, family, &[&url("/ip")]);
            lab.dropped(client, family, &[&url("/headers")]);
        });
    };
    // Every reading looks at every interface.
    let synced = lab.ask(&json!({"command": "sync"}));
    assert_eq!(synced["endpoints"], endpoints, "{synced}");
    judged("stranger");
    // A pod that starts meanwhile is under policy, and those that are there stay.
    lab.apply(NEWCOMER);
    judged("newcomer");
    let status = lab.status();
    assert_eq!(status["endpoints"], endpoints + 1, "{status}");
    assert_eq!(status["unmanaged"], json!([]));
    drop(clients);
    let refused = || {
        let words = ["curl", "-sS", "-m", "5", "http://127.0.0.1:9965/metrics"];
        let said = lab.exec("@node", &words).stdout;
        let text = String::from_utf8_lossy(&said).into_owned();
        let line = text.lines().find(|line| {
            line.starts_with("weir_server_connections_refused_total")
                && line.contains("server=\"metrics\"")
                && line.contains("reason=\"peer\"")
        })?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    wait_for("the refused ones in the metrics", || {
        refused().is_some_and(|count| count > 1000.0)
    });
}
