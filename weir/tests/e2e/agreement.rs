//! `weir simulate` says what really happens: each flow is judged, and made with curl.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use serde_json::{Value, json};
use weir_lab::Topology;

use crate::common::{FAMILIES, Family, PATIENCE, SILENCE, TestLab, in_both_topologies, scenario};
use crate::policies::{ALLOW_GET_HEADERS, DENY_FROM_SLEEP, EGRESS_GET_HEADERS};
use crate::simulate::{answers, simulate};

in_both_topologies!(simulate_agrees_with_reality);

/// One flow, as `simulate` is asked and as curl makes it.
struct Flow {
    question: String,
    pod: &'static str,
    family: Family,
    words: Vec<String>,
}

/// Pods as targets of flows, their ports, and what is requested of them.
const REQUESTS: [(&str, u16, &str, &str); 4] = [
    ("deploy/httpbin", 80, "GET", "/headers"),
    ("deploy/httpbin", 80, "GET", "/ip"),
    ("deploy/httpbin", 80, "POST", "/post"),
    ("echo", 8080, "GET", "/headers"),
];
const CLIENTS: [&str; 6] = [
    "deploy/sleep",
    "sleep/deploy/sleep",
    "sleep/visitor",
    "stranger",
    "@node",
    "@world",
];

fn simulate_agrees_with_reality(topology: Topology) {
    let lab = TestLab::up(topology);
    let mut flows = Vec::new();
    for family in FAMILIES {
        for client in CLIENTS {
            for (server, port, method, path) in REQUESTS {
                let url = format!("{}:{port}{path}", lab.host(server, family));
                let to = lab.address(server, family).to_string();
                let to = (to.as_str(), port);
                flows.push(flow(&lab, client, family, to, (method, path), &url));
            }
            // A service's address leads to its pods; only pods see the node's services.
            if !client.starts_with('@') {
                let host = lab.service("default/httpbin", family);
                let url = format!("{host}:8000/headers");
                let to = (host.trim_matches(['[', ']']), 8000);
                flows.push(flow(&lab, client, family, to, ("GET", "/headers"), &url));
            }
            // A host outside, which is no pod of anybody's.
            let (host, to) = match family {
                Family::V4 => ("203.0.113.10", "203.0.113.10"),
                Family::V6 => ("[2001:db8::10]", "2001:db8::10"),
            };
            if !client.starts_with('@') {
                flows.push(flow(&lab, client, family, (to, 80), ("GET", "/"), host));
            }
        }
    }
    let mut verdicts = BTreeSet::new();
    verdicts.extend(agree(&lab, &flows, "no policy"));
    let folder = scenario().join("policies");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 9, "{files:?}");
    for file in &files {
        lab.apply(&fs::read_to_string(file).unwrap());
    }
    verdicts.extend(agree(&lab, &flows, "all of them"));
    for file in &files {
        let yaml = fs::read_to_string(file).unwrap();
        lab.delete_all("NetworkPolicy");
        lab.delete_all("CiliumNetworkPolicy");
        lab.apply(&yaml);
        let place = format!("only {}", file.display());
        verdicts.extend(agree(&lab, &flows, &place));
    }
    lab.delete_all("NetworkPolicy");
    for yaml in [EGRESS_GET_HEADERS, ALLOW_GET_HEADERS, DENY_FROM_SLEEP] {
        lab.apply(yaml);
        verdicts.extend(agree(&lab, &flows, yaml));
    }
    assert_eq!(
        verdicts.len(),
        3,
        "not every verdict was seen: {verdicts:?}"
    );
}

fn flow(
    lab: &TestLab,
    client: &'static str,
    family: Family,
    (to, port): (&str, u16),
    (method, path): (&str, &str),
    url: &str,
) -> Flow {
    let from = match (client, family) {
        ("@world", Family::V4) => "172.18.0.1".to_owned(),
        ("@world", Family::V6) => "fd00:18::1".to_owned(),
        ("@node", Family::V4) => "172.18.0.2".to_owned(),
        ("@node", Family::V6) => "fd00:18::2".to_owned(),
        _ => lab.lab.pod(client).unwrap().id().to_string(),
    };
    let question = json!({"from": from, "to": to, "protocol": "TCP", "port": port,
                          "http": {"method": method, "path": path}});
    Flow {
        question: question.to_string(),
        pod: client,
        family,
        words: ["-X", method, url].map(str::to_owned).into(),
    }
}

/// What curl sees of a flow, in the words of `simulate`.
fn verdict(lab: &TestLab, flow: &Flow, judged: &Value) -> &'static str {
    let words: Vec<&str> = flow.words.iter().map(String::as_str).collect();
    // Only silence is waited for briefly: on a busy machine an answer may take its time.
    let patience = PATIENCE.as_secs().to_string();
    let limit = if judged == "deny" { SILENCE } else { &patience };
    let reply = lab.curls(flow.pod, flow.family, limit, &words).remove(0);
    match (reply.exit, reply.status) {
        (0, 200) => "allow",
        (0, 403) => "http-deny",
        (28, 0) => "deny",
        _ => panic!("{} {words:?}: {reply:?}", flow.pod),
    }
}

fn agree(lab: &TestLab, flows: &[Flow], place: &str) -> Vec<&'static str> {
    let lines: Vec<&str> = flows.iter().map(|flow| flow.question.as_str()).collect();
    let judged = answers(&simulate(&lab.manifests(), &lines.join("\n")));
    assert_eq!(judged.len(), flows.len());
    // Beside each other: what is dropped takes its time.
    let seen: Vec<&'static str> = thread::scope(|scope| {
        let threads: Vec<_> = flows
            .iter()
            .zip(&judged)
            .map(|(flow, judged)| scope.spawn(|| verdict(lab, flow, &judged["verdict"])))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let differing: Vec<String> = flows
        .iter()
        .zip(&judged)
        .zip(&seen)
        .filter(|((_, judged), seen)| judged["verdict"] != **seen)
        .map(|((flow, judged), seen)| format!("{}: seen {seen}, judged {judged}", flow.question))
        .collect();
    assert!(differing.is_empty(), "{place}:\n{}", differing.join("\n"));
    seen
}
