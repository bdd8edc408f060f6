//! An agent that strangers want to run out of descriptors, and one without memory.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::json;
use weir_lab::{Part, Topology};

use crate::common::{TestLab, WEIR, in_both_families, in_both_topologies, inside, wait_for};
use crate::policies::*;

in_both_topologies!(
    half_sent_requests_take_nothing_from_enforcement,
    an_agent_that_dies_for_want_of_memory_opens_nothing,
);

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
    let judged = |client: &str| judged(&lab, client);
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

fn judged(lab: &TestLab, client: &str) {
    in_both_families(|family| {
        let httpbin = lab.host("deploy/httpbin", family);
        let url = |path: &str| format!("{httpbin}:80{path}");
        lab.allowed(SLEEP, family, &[&url("/headers")]);
        lab.forbidden(SLEEP, family, &[&url("/ip")]);
        lab.dropped(client, family, &[&url("/headers")]);
    });
}

/// The kernel's memory was taken when the agent started; the agent's own may end.
fn an_agent_that_dies_for_want_of_memory_opens_nothing(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    let endpoints = lab.status()["endpoints"].as_u64().unwrap();
    let agent = lab.lab.pid(Part::Agent).unwrap().expect("an agent");
    let status = fs::read_to_string(format!("/proc/{agent}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = size
        .and_then(|size| size.split_whitespace().next())
        .unwrap();
    let limit = format!("--data={}", kib.parse::<u64>().unwrap() << 10);
    let limited = Command::new("prlimit")
        .args(["--pid", &agent.to_string(), &limit])
        .status();
    assert!(limited.unwrap().success());
    // Questions as long as may be, none of which ends: there is no room for them.
    let socket = format!("/run/weir/weir-lab-{}/agent.sock", lab.name);
    let mut asking = Vec::new();
    wait_for("the end of the agent", || {
        // Where it has ended, nobody reads.
        if let Ok(mut stream) = UnixStream::connect(&socket) {
            stream.write_all(&[b' '; (1 << 20) - 1]).ok();
            asking.push(stream);
        }
        lab.lab.pid(Part::Agent).unwrap().is_none()
    });
    judged(&lab, "stranger");
    let restarted = lab.lab.restart(Part::Agent).unwrap();
    assert_eq!(restarted.endpoints, endpoints);
    judged(&lab, "stranger");
}
