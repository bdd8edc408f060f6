//! Names that are never learnt, keys that nothing has, and ports and addresses of services.

use super::*;
use crate::model::{Protocol, Service, ServicePort};

/// What is said by one lint: why, and the fix.
fn said(sample: Sample, value: &Value, id: &str) -> Vec<String> {
    let found = findings(sample, value).into_iter();
    found
        .filter(|finding| finding.id == id)
        .map(|finding| format!("{} | {}", finding.why, finding.fix))
        .collect()
}

#[test]
fn a_name_is_learnt_from_dns_rules_for_it_and_from_nothing_else() {
    let rules = |name: Value| names(json!({"rules": {"dns": [name]}}));
    for learnt in [
        json!({"matchName": "api.example.com"}),
        json!({"matchPattern": "*"}),
        json!({"matchPattern": "a*.example.com"}),
    ] {
        let value = rules(learnt);
        assert_eq!(said(Sample::workshop(), &value, "W022"), [""; 0], "{value}");
    }
    let [other] = &said(
        Sample::workshop(),
        &rules(json!({"matchName": "b.test"})),
        "W022",
    )[..] else {
        panic!("one finding");
    };
    assert!(
        other.contains("for other names, such as `b.test`"),
        "{other}"
    );
    let [unread] = &said(Sample::workshop(), &names(json!({})), "W022")[..] else {
        panic!("one finding");
    };
    assert!(unread.contains("passes unread"), "{unread}");
    // A policy beside it has the DNS rule, for its pods or for others.
    let dns = |app: &str| {
        cilium_policy(
            "dns",
            json!({"endpointSelector": {"matchLabels": {"app": app}}, "egress": [
                {"toPorts": [{"ports": [{"port": "53"}], "rules": {"dns": [{"matchPattern": "*"}]}}]}]}),
        )
    };
    let beside = Sample::workshop().policy(&dns("sleep"));
    assert_eq!(said(beside, &names(json!({})), "W022"), [""; 0]);
    let beside = Sample::workshop().policy(&dns("httpbin"));
    assert_eq!(said(beside, &names(json!({})), "W022").len(), 1);
}

#[test]
fn names_of_the_cluster_are_never_learnt() {
    let mut value = names(json!({"rules": {"dns": [{"matchPattern": "*"}]}}));
    value["spec"]["egress"][0]["toFQDNs"] =
        json!([{"matchName": "httpbin.default.svc.cluster.local"}]);
    let [local] = &said(Sample::workshop(), &value, "W022")[..] else {
        panic!("one finding");
    };
    assert!(local.contains("outside of the cluster only"), "{local}");
    assert!(local.contains("`toServices`"), "{local}");
}

#[test]
fn the_port_of_the_api_server_is_its_own() {
    let behind = |port: u16| {
        let mut sample = Sample::workshop();
        sample.world.services.push(Service {
            namespace: "default".into(),
            name: "kubernetes".into(),
            ports: vec![ServicePort {
                name: String::new(),
                protocol: Protocol::Tcp,
                port: 443,
                node_port: None,
                backends: vec![("172.18.0.2".parse().expect("an address"), port)],
            }],
            ..Service::default()
        });
        sample
    };
    let value = apiserver(json!([{"port": "443", "protocol": "TCP"}]));
    let [found] = &said(behind(8443), &value, "W023")[..] else {
        panic!("one finding");
    };
    assert!(
        found.ends_with("the API server listens on 8443 | write 8443"),
        "{found}"
    );
    assert_eq!(said(behind(443), &value, "W023"), [""; 0]);
    let right = apiserver(json!([{"port": "8443", "protocol": "TCP"}]));
    assert_eq!(said(behind(8443), &right, "W023"), [""; 0]);
}

#[test]
fn a_service_is_told_by_its_address_and_by_its_range() {
    let to = |cidr: &str| egress(json!([{"to": [{"ipBlock": {"cidr": cidr}}]}]));
    for (cidr, why) in [
        ("10.96.0.7/32", "is the address of service default/httpbin"),
        ("10.96.0.0/12", "has the address of service default/httpbin"),
    ] {
        let [found] = &said(Sample::workshop(), &to(cidr), "W024")[..] else {
            panic!("one finding");
        };
        assert!(found.contains(why), "{found}");
    }
    for other in ["10.0.0.0/8", "0.0.0.0/0", "10.97.0.0/16"] {
        assert_eq!(
            said(Sample::workshop(), &to(other), "W024"),
            [""; 0],
            "{other}"
        );
    }
}

#[test]
fn the_nearest_right_key_of_a_namespace_is_said() {
    let namespace =
        |key: &str| ingress(json!([{"namespaceSelector": {"matchLabels": {key: "sleep"}}}]));
    let pods = |key: &str| ingress(json!([{"podSelector": {"matchLabels": {key: "sleep"}}}]));
    let cilium = |key: &str| {
        cilium_policy(
            "p",
            json!({"endpointSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [
                {"fromEndpoints": [{"matchLabels": {key: "sleep"}}]}]}),
        )
    };
    let name = "kubernetes.io/metadata.name";
    for (value, right) in [
        (namespace("kubernetes.io/metadata.names"), name.to_owned()),
        (namespace("kubernetes.io/name"), name.to_owned()),
        (namespace("io.kubernetes.pod.namespace"), name.to_owned()),
        (
            pods(name),
            format!("namespaceSelector: {{matchLabels: {{{name}: NAME}}}}"),
        ),
        (cilium(name), "io.kubernetes.pod.namespace".to_owned()),
        (
            cilium("io.kubernetes.pod.namespaces"),
            "io.kubernetes.pod.namespace".to_owned(),
        ),
        (
            cilium("io.kubernetes.pod.namespace.labels.team"),
            "io.cilium.k8s.namespace.labels.team".to_owned(),
        ),
        (
            cilium("io.cilium.k8s.namespace.labels.kubernetes.io/name"),
            format!("io.cilium.k8s.namespace.labels.{name}"),
        ),
    ] {
        let [found] = &findings(Sample::workshop(), &value)[..] else {
            panic!("one finding: {value}");
        };
        let expected = ("W025", format!("write `{right}`"));
        assert_eq!((found.id, found.fix.clone()), expected, "{value}");
    }
    for right in [
        namespace(name),
        cilium("io.kubernetes.pod.namespace"),
        cilium("io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name"),
    ] {
        assert_eq!(found(Sample::workshop(), &right), [], "{right}");
    }
    // What somebody has is no mistake.
    let labelled = Sample::workshop().namespace("sleep", "kubernetes.io/name=sleep");
    assert_eq!(found(labelled, &namespace("kubernetes.io/name")), []);
    // Where a value is a namespace's name the fix has it.
    let [finding] = &findings(Sample::workshop(), &namespace("name"))[..] else {
        panic!("one finding");
    };
    assert!(
        finding
            .fix
            .ends_with("`kubernetes.io/metadata.name: sleep`"),
        "{finding:?}"
    );
}
