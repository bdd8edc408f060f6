//! What is looked into and passes all the same.

use serde_json::{Value, json};

use super::*;
use crate::{
    l7::NameUse,
    model::Visibility,
    testing::sample::{Sample, cilium_policy},
    verdict::{Flow, Outcome, SideVerdict, Simulator},
};

/// A policy on the server that denies nothing by default.
fn looking(rules: Value, ports: Value) -> Value {
    cilium_policy(
        "look",
        json!({
            "endpointSelector": {"matchLabels": {"app": "httpbin"}},
            "enableDefaultDeny": {"ingress": false},
            "ingress": [{"toPorts": [{"ports": ports, "rules": rules}]}],
        }),
    )
}

fn http() -> Value {
    looking(
        json!({"http": [{"path": "/seen"}]}),
        json!([{"port": "80", "protocol": "TCP"}]),
    )
}

fn table(sample: &Sample) -> L7Table {
    let snapshot = Compiler::new().compile(&sample.world, everywhere());
    L7Table::new(&snapshot, |pod| (pod.name == "httpbin-0").then_some(1))
}

fn to_server(port: u16) -> RequestFlow {
    RequestFlow {
        endpoint: 1,
        direction: Direction::Ingress,
        peer: "10.244.0.1".parse().unwrap(),
        protocol: Protocol::Tcp,
        port,
    }
}

fn from_server(protocol: Protocol, port: u16) -> RequestFlow {
    RequestFlow {
        direction: Direction::Egress,
        protocol,
        ..to_server(port)
    }
}

fn get(path: &str) -> Request<'_> {
    Request {
        method: "GET",
        path: Some(path),
        host: None,
        headers: &[],
        body: false,
    }
}

fn ingress(sample: &Sample, http: &str) -> SideVerdict {
    let flow = json!({"from": "default/sleep-0", "to": "default/httpbin-0", "protocol": "TCP",
        "port": 80, "http": {"path": http}});
    let flow: Flow = serde_json::from_value(flow).unwrap();
    Simulator::new(&sample.world).judge(&flow).unwrap().ingress
}

#[test]
fn http_rules_without_default_deny_look_and_deny_nothing() {
    let sample = Sample::workshop().policy(&http());
    let table = table(&sample);
    let speaks = table.speaks(to_server(80));
    assert!(
        speaks.http && speaks.anything && speaks.watched,
        "{speaks:?}"
    );
    for path in ["/seen", "/other"] {
        let verdict = table.judge(to_server(80), &get(path));
        assert!(verdict.allowed && !verdict.audit, "{path}: {verdict:?}");
        assert_eq!(verdict.policies, ["CiliumNetworkPolicy/default/look"]);
        assert_eq!(ingress(&sample, path).reason, verdict.reason);
        assert_eq!(ingress(&sample, path).verdict, Outcome::Allow);
    }
    let reason = table.judge(to_server(80), &get("/seen")).reason;
    assert!(
        reason.contains("looked into by CiliumNetworkPolicy/default/look"),
        "{reason}"
    );
    // Another port is not looked into.
    assert!(
        table
            .judge(to_server(81), &get("/seen"))
            .policies
            .is_empty()
    );
}

#[test]
fn what_another_policy_isolates_is_allowed_by_what_looks_and_nothing_more() {
    let closed = cilium_policy(
        "closed",
        json!({
        "endpointSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [{}]}),
    );
    let sample = Sample::workshop().policy(&http()).policy(&closed);
    assert_eq!(ingress(&sample, "/seen").verdict, Outcome::Allow);
    assert_eq!(ingress(&sample, "/other").verdict, Outcome::HttpDeny);
}

#[test]
fn an_annotation_looks_and_opens_nothing() {
    let mut sample = Sample::workshop();
    sample.world.pods[1].visibility = Some(Visibility {
        http: true,
        dns: true,
    });
    let open = table(&sample);
    assert!(open.judge(to_server(8080), &get("/x")).allowed);
    let verdict = open.judge(to_server(8080), &get("/x"));
    assert!(
        verdict.reason.contains("weir.dev/visibility"),
        "{}",
        verdict.reason
    );
    assert_eq!(verdict.policies, [""; 0]);
    let query = from_server(Protocol::Udp, 53);
    assert!(open.speaks(query).dns);
    assert!(
        open.judge_name(query, NameUse::Dns, Some("a.example"))
            .allowed
    );
    // Whoever may annotate a pod must not choose whose answers open addresses.
    assert!(!open.teaches(query, "a.example"));
    let closed = cilium_policy(
        "closed",
        json!({
        "endpointSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [{}], "egress": [{}]}),
    );
    let sample = sample.policy(&closed);
    assert_eq!(ingress(&sample, "/x").verdict, Outcome::Deny);
    let shut = table(&sample);
    assert!(!shut.judge(to_server(80), &get("/x")).allowed);
    assert!(
        !shut
            .judge_name(query, NameUse::Dns, Some("a.example"))
            .allowed
    );
}

#[test]
fn a_pod_overrides_its_namespace() {
    let mut sample = Sample::workshop();
    let of_namespace = sample.world.namespaces.get_mut("default").unwrap();
    of_namespace.visibility.http = true;
    assert!(table(&sample).speaks(to_server(80)).watched);
    let snapshot = |sample: &Sample| Compiler::new().compile(&sample.world, everywhere());
    assert!(
        snapshot(&sample)
            .sets
            .values()
            .all(|set| set.ingress.enforced() == (set.ingress.rules.len() == 1))
    );
    sample.world.pods[1].visibility = Some(Visibility::default());
    let quiet = snapshot(&sample);
    let own = quiet.endpoint(&sample.world.pods[1].id()).unwrap().set;
    assert!(!quiet.sets[&own].ingress.enforced());
}

#[test]
fn dns_rules_without_default_deny_teach_what_they_see() {
    let policy = cilium_policy(
        "look",
        json!({
        "endpointSelector": {"matchLabels": {"app": "httpbin"}},
        "enableDefaultDeny": {"egress": false},
        "egress": [{"toPorts": [{"ports": [{"port": "53", "protocol": "ANY"}],
            "rules": {"dns": [{"matchPattern": "*"}]}}]}]}),
    );
    let table = table(&Sample::workshop().policy(&policy));
    let query = from_server(Protocol::Udp, 53);
    assert!(table.speaks(query).dns && table.teaches(query, "a.example"));
    // A TCP connection that is no DNS would not pass, so none is looked into.
    assert!(!table.speaks(from_server(Protocol::Tcp, 53)).dns);
}
