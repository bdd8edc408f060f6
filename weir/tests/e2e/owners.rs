//! One address that two pods have: told, and no rule that allows holds for it, in either direction.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use weir_lab::Topology;

use crate::common::{
    FAMILIES, Family, PATIENCE, SILENT, TestLab, in_both_families, in_both_topologies, listen, tcp,
    weir,
};
use crate::policies::ALLOW_GET_HEADERS;

in_both_topologies!(an_address_of_two_pods_is_told_and_denied_both_ways);

const SLEEP: &str = "deploy/sleep";
const PORT: u16 = 7070;
/// Verdicts of the kernel alone, of each direction, beside the HTTP rule.
const FOR_SLEEP: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: echo-for-sleep }
spec:
  podSelector: { matchLabels: { app: echo } }
  ingress:
    - from: [{ podSelector: { matchLabels: { app: sleep } } }]
    - from: [{ podSelector: { matchLabels: { app: double } } }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: stranger-to-sleep }
spec:
  podSelector: { matchLabels: { app: stranger } }
  policyTypes: [Egress]
  egress:
    - to: [{ podSelector: { matchLabels: { app: sleep } } }]
    - to: [{ podSelector: { matchLabels: { app: double } } }]
"#;

/// Another pod, somewhere else, that says it has these addresses.
fn double(addresses: &[IpAddr]) -> String {
    let each: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "double", "namespace": "default", "labels": {"app": "double"}},
        "spec": {"nodeName": "elsewhere", "containers": [{"name": "c", "image": "x"}]},
        "status": {"phase": "Running", "podIP": addresses[0], "podIPs": each},
    })
    .to_string()
}

fn synced(lab: &TestLab) {
    let synced = lab.ask(&json!({"command": "sync"}));
    assert_eq!(synced["ok"], true, "{synced}");
}

/// From the address, past a verdict of the kernel and an HTTP rule, and to it.
fn judged(lab: &TestLab, family: Family, allowed: bool) {
    let echo = format!("{}:8080/", lab.host("echo", family));
    let httpbin = format!("{}:80/headers", lab.host("deploy/httpbin", family));
    for url in [&echo, &httpbin] {
        match allowed {
            true => drop(lab.allowed(SLEEP, family, &[url])),
            false => lab.dropped(SLEEP, family, &[url]),
        }
    }
    let at = SocketAddr::new(lab.address(SLEEP, family), PORT);
    let limit = if allowed { PATIENCE } else { SILENT };
    let connected = tcp(&lab.netns("stranger"), at, limit);
    assert_eq!(connected.is_ok(), allowed, "to {at}: {connected:?}");
}

fn an_address_of_two_pods_is_told_and_denied_both_ways(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(FOR_SLEEP);
    let own = FAMILIES.map(|family| lab.address(SLEEP, family));
    let _listeners = own.map(|ip| listen(&lab.netns(SLEEP), SocketAddr::new(ip, PORT)));
    in_both_families(|family| judged(&lab, family, true));
    let file = lab.manifests().join("double.yaml");
    fs::write(&file, double(&own)).unwrap();
    synced(&lab);
    let problems = lab.status()["problems"].clone();
    assert_eq!(problems.as_array().map(Vec::len), Some(2), "{problems}");
    for ip in own {
        let told = problems.as_array().into_iter().flatten().any(|problem| {
            let reason = problem["reason"].as_str().unwrap_or_default();
            let all = problem.to_string();
            problem["field"] == "status.podIPs"
                && reason.starts_with(&format!("{ip} is of "))
                && all.contains("default/double")
                && all.contains("default/sleep")
        });
        assert!(told, "{ip}: {problems}");
    }
    let status = weir(&["status", "--lab", &lab.name]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        !status.status.success() && said.contains("2 refused"),
        "{said}"
    );
    in_both_families(|family| judged(&lab, family, false));
    // What neither of the two has is as it was.
    for family in FAMILIES {
        lab.dropped(
            "stranger",
            family,
            &[&format!("{}:8080/", lab.host("echo", family))],
        );
    }
    fs::remove_file(&file).unwrap();
    synced(&lab);
    assert_eq!(lab.status()["problems"], json!([]));
    in_both_families(|family| judged(&lab, family, true));
}
