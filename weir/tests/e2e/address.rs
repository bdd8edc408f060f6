//! The server sees the client's own address and port, with and without the proxy between them.

use weir_lab::Topology;

use crate::common::{FAMILIES, Family, TestLab, in_both_topologies};
use crate::policies::{ALLOW_SLEEP, EGRESS_GET_HEADERS};

in_both_topologies!(plain, ingress_rules, egress_rules, rules_on_both_sides);

/// GET /ip allowed by an HTTP rule of the server.
const INGRESS_IP: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ingress-ip }
spec:
  endpointSelector: { matchLabels: { app: httpbin } }
  ingress:
  - fromEndpoints: [{ matchLabels: { app: sleep } }]
    toPorts:
    - ports: [{ port: "80", protocol: TCP }]
      rules: { http: [{ method: GET, path: /ip }] }
"#;

fn plain(topology: Topology) {
    let lab = TestLab::up(topology);
    check(&lab);
    lab.apply(ALLOW_SLEEP);
    check(&lab);
}

fn ingress_rules(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(INGRESS_IP);
    check(&lab);
    proves_a_proxy(&lab);
}

fn egress_rules(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(EGRESS_GET_HEADERS);
    check(&lab);
    proves_a_proxy(&lab);
}

fn rules_on_both_sides(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(INGRESS_IP);
    lab.apply(EGRESS_GET_HEADERS);
    check(&lab);
    proves_a_proxy(&lab);
}

/// By the pod's address and by the service's.
fn check(lab: &TestLab) {
    for family in FAMILIES {
        let pod = lab.host("deploy/httpbin", family);
        let service = lab.service("default/httpbin", family);
        for url in [
            format!("{pod}:80/ip"),
            format!("{service}:8000/ip"),
            "httpbin:8000/ip".into(),
        ] {
            sees_client(lab, family, &url);
        }
    }
}

fn sees_client(lab: &TestLab, family: Family, url: &str) {
    let reply = lab.allowed("deploy/sleep", family, &[url]);
    let own = lab.address("deploy/sleep", family);
    let body: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(body["origin"], own.to_string(), "{url}");
    let client = std::net::SocketAddr::new(own, reply.local_port).to_string();
    let log = lab.access_log("deploy/httpbin");
    let line = log.iter().rev().find(|line| line.contains("GET /ip"));
    let line = line.expect("the request in the server's log");
    assert!(
        line.starts_with(&format!("{client} ")),
        "{url}: client {client}, log: {line}"
    );
}

fn proves_a_proxy(lab: &TestLab) {
    for family in FAMILIES {
        lab.forbidden("deploy/sleep", family, &["httpbin:8000/get"]);
    }
}
