//! What is only looked into: it passes, whatever it is, and records say what it was.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use serde_json::json;
use weir_lab::Topology;

use crate::common::{PATIENCE, TestLab, in_both_families, in_both_topologies, listen, tcp, weir};

in_both_topologies!(by_policy, by_annotation);

const SLEEP: &str = "deploy/sleep";

/// Waits until a record holds all of these words, and none says that something was denied.
fn recorded(lab: &TestLab, words: &[&str]) {
    crate::common::wait_for(&format!("a record of {words:?}"), || {
        let output = weir(&["observe", "--lab", &lab.name, "--color", "never", "--all"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let denied = |line: &&str| line.contains("DROPPED") || line.contains("DENIED");
        assert_eq!(text.lines().find(denied), None);
        text.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    });
}

/// Connections on which the server speaks first, or which carry no HTTP, pass byte for byte.
fn other_protocols_pass(lab: &TestLab, port: u16) {
    in_both_families(|family| {
        let at = SocketAddr::new(lab.address("echo", family), port);
        let listener = listen(&lab.netns("echo"), at);
        let mut near = tcp(&lab.netns(SLEEP), at, PATIENCE).unwrap();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut far, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), lab.address(SLEEP, family));
        let mut read = [0; 5];
        far.write_all(b"220 x").unwrap();
        near.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"220 x");
        near.write_all(b"\x01\x02\x03\r\n").unwrap();
        far.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"\x01\x02\x03\r\n");
    });
}

/// Rules under `enableDefaultDeny: false`: requests and queries that they do not name pass, too.
fn by_policy(topology: Topology) {
    let lab = TestLab::up(topology);
    let look = |name: &str, app: &str, rest: &str| {
        format!(
            "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: {name}}}, \
             spec: {{endpointSelector: {{matchLabels: {{app: {app}}}}}, \
             enableDefaultDeny: {{ingress: false, egress: false}}, {rest}}}}}"
        )
    };
    lab.apply(&look(
        "look-http",
        "httpbin",
        "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]}]",
    ));
    lab.apply(&look(
        "look-dns",
        "sleep",
        "egress: [{toPorts: [{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchName: other.test}]}}]}]",
    ));
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &["httpbin:8000/ip"]);
    });
    recorded(&lab, &["default/httpbin", "http-request FORWARDED", "/ip"]);
    recorded(&lab, &["default/sleep", "dns-request", "httpbin"]);
    let tcp = lab.exec(SLEEP, &["dig", "+tcp", "+short", "www.google.com"]);
    assert_eq!(String::from_utf8_lossy(&tcp.stdout), "198.51.100.68\n");
}

/// The annotation does the same without a policy, for a namespace or for a pod, and opens nothing.
fn by_annotation(topology: Topology) {
    let lab = TestLab::up(topology);
    let annotate = |value: Option<&str>| {
        let patch = json!({"metadata": {"annotations": {"weir.dev/visibility": value}}});
        lab.lab.patch("Namespace", "", "default", &patch).unwrap();
    };
    annotate(Some("http,dns"));
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &["httpbin:8000/user-agent"]);
    });
    recorded(
        &lab,
        &["default/httpbin", "http-request FORWARDED", "/user-agent"],
    );
    recorded(&lab, &["default/sleep", "dns-request", "httpbin"]);
    other_protocols_pass(&lab, 7070);
    lab.apply(crate::policies::DENY_INGRESS);
    in_both_families(|family| {
        let pod = lab.host("deploy/httpbin", family);
        lab.dropped(
            "sleep/deploy/sleep",
            family,
            &[&format!("{pod}/user-agent")],
        );
    });
    lab.delete_all("NetworkPolicy");
    annotate(None);
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
    });
    let output = weir(&["observe", "--lab", &lab.name, "--color", "never", "--all"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        !text.contains("/headers"),
        "it is looked into still: {text}"
    );
}
