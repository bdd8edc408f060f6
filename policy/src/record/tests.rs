//! Lines as Hubble writes them.

use serde_json::json;

use super::*;
use crate::testing::sample::Sample;

fn line(more: serde_json::Value) -> String {
    let mut flow = json!({
        "verdict": "FORWARDED",
        "IP": {"source": "10.0.0.1", "destination": "10.0.0.2"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": 80, "flags": {"SYN": true}}},
        "source": {"namespace": "default", "pod_name": "sleep-7c9-abcde",
                   "labels": ["k8s:app=sleep", "k8s:io.kubernetes.pod.namespace=default",
                              "k8s:io.cilium.k8s.policy.serviceaccount=sleep"]},
        "destination": {"namespace": "default", "pod_name": "httpbin-0", "labels": ["k8s:app=httpbin"]},
        "is_reply": false,
        "Type": "L3_L4",
    });
    for (key, value) in more.as_object().expect("a map") {
        flow[key] = value.clone();
    }
    json!({"flow": flow, "node_name": "kind", "time": "2026-06-09T20:38:30Z"}).to_string()
}

#[test]
fn a_flow_is_read_with_ends_and_port() {
    let flow = read(&line(json!({}))).expect("JSON").expect("a flow");
    assert_eq!(
        flow.from.labels,
        Labels::from([("app".into(), "sleep".into())])
    );
    assert_eq!(
        (flow.protocol, flow.port, flow.passed),
        (Protocol::Tcp, 80, true)
    );
    assert_eq!(flow.to.name(), "default/httpbin-0");
    let denied = read(&line(json!({"verdict": "DROPPED"}))).expect("JSON");
    assert!(denied.is_some_and(|flow| !flow.passed));
    let icmp = read(&line(json!({"l4": {"ICMPv4": {"type": 8}}}))).expect("JSON");
    assert!(icmp.is_some_and(|flow| flow.protocol == Protocol::Icmp));
}

#[test]
fn nodes_and_the_api_server_are_read_by_label_and_by_number() {
    let entities = |source: serde_json::Value| {
        let flow = read(&line(json!({"source": source}))).expect("JSON");
        flow.expect("a flow").from.entities
    };
    let apiserver = json!({"identity": 16_777_217,
        "labels": ["reserved:kube-apiserver", "reserved:remote-node"]});
    assert_eq!(
        entities(apiserver),
        [Entity::RemoteNode, Entity::KubeApiserver].into()
    );
    assert_eq!(entities(json!({"ID": 1})), [Entity::Host].into());
    assert_eq!(
        entities(json!({"identity": 6})),
        [Entity::RemoteNode].into()
    );
    assert_eq!(entities(json!({"labels": ["reserved:world"]})), [].into());
}

#[test]
fn a_request_is_read_from_its_url() {
    let l7 = json!({"l7": {"type": "REQUEST", "http": {
        "method": "POST", "url": "http://httpbin:8000/post?x=1",
        "headers": [{"key": "X-A", "value": "b"}]}}, "Type": "L7"});
    let http = read(&line(l7))
        .expect("JSON")
        .expect("a flow")
        .http
        .expect("a request");
    assert_eq!(
        (http.method.as_str(), http.path.as_str()),
        ("POST", "/post?x=1")
    );
    assert_eq!(http.host.as_deref(), Some("httpbin:8000"));
    assert_eq!(http.headers["x-a"], "b");
}

#[test]
fn what_opens_nothing_is_passed_over() {
    for more in [
        json!({"is_reply": true}),
        json!({"is_reply": null, "l4": {"TCP": {"destination_port": 40000, "flags": {"SYN": true, "ACK": true}}}}),
        json!({"l7": {"type": "RESPONSE"}}),
        json!({"Type": "SOCK"}),
        json!({"l4": {}}),
    ] {
        assert_eq!(read(&line(more.clone())), Ok(None), "{more}");
    }
    assert_eq!(read(r#"{"lost_events":{}}"#), Ok(None));
    assert!(read("nonsense").is_err());
    assert!(read("[]").is_err());
}

#[test]
fn pods_are_found_again_by_name_or_labels() {
    let sample = Sample::workshop();
    let placer = Placer::new(&sample.world);
    let flow = read(&line(json!({}))).expect("JSON").expect("a flow");
    let found = placer.flow(&flow).expect("both ends are there");
    assert_eq!(
        (found.from.as_str(), found.to.as_str()),
        ("default/sleep-0", "default/httpbin-0")
    );
    let mut gone = flow.clone();
    gone.from.labels = Labels::from([("app".into(), "other".into())]);
    assert_eq!(placer.flow(&gone), None);
    let outside = Seen {
        address: "192.0.2.1".into(),
        ..Seen::default()
    };
    assert!(matches!(placer.place(&outside), Placed::Address(_)));
}
