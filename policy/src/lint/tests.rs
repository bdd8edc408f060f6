//! One policy with each mistake and one without it, and the registry against both.

mod dns;
mod host;
mod isolation;
mod names;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::model::CidrGroup;
use crate::testing::sample::{Sample, cilium_policy, headers_policy, network_policy};

/// Id and field of what is found in a policy, in a world that has it and these pods.
fn found(sample: Sample, value: &Value) -> Vec<(&'static str, String)> {
    findings(sample, value)
        .into_iter()
        .map(|finding| (finding.id, finding.field))
        .collect()
}

fn findings(mut sample: Sample, value: &Value) -> Vec<Finding> {
    let kind = objects::kind_of(value).expect("a policy");
    if let Ok(parsed) = objects::parse(kind, value) {
        sample.world.policies.push(parsed.policy);
    }
    let groups = [("vpn".to_owned(), CidrGroup::default())];
    sample.world.cidr_groups = groups.into();
    let pods = sample.world.pods.iter();
    let pod_addresses = pods.flat_map(|pod| pod.addresses.clone()).collect();
    let services = sample.world.services.iter();
    let service_addresses = services.flat_map(|of| of.addresses.clone()).collect();
    lint(&Input {
        world: sample.world,
        policies: vec![value],
        pod_addresses,
        service_addresses,
    })
}

fn ingress(from: Value) -> Value {
    network_policy(
        "p",
        json!({"podSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [{"from": from}]}),
    )
}

fn ports(port: Value) -> Value {
    network_policy(
        "p",
        json!({"podSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [{"ports": [port]}]}),
    )
}

fn egress(to: Value) -> Value {
    network_policy(
        "p",
        json!({"podSelector": {"matchLabels": {"app": "sleep"}}, "policyTypes": ["Egress"], "egress": to}),
    )
}

fn typed(types: Value, ingress: Value, egress: Value) -> Value {
    network_policy(
        "p",
        json!({"podSelector": {}, "policyTypes": types, "ingress": ingress, "egress": egress}),
    )
}

/// (id, field, a policy that has the mistake, one that has not)
fn cases() -> Vec<(&'static str, &'static str, Value, Value)> {
    let dns = json!({"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]});
    let to_httpbin = json!({"to": [{"podSelector": {"matchLabels": {"app": "httpbin"}}}]});
    let visitor = json!({"podSelector": {"matchLabels": {"app": "visitor"}}});
    let with_namespace = json!({
        "podSelector": {"matchLabels": {"app": "visitor"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "sleep"}},
    });
    let sleep_pods = json!({"podSelector": {"matchLabels": {"app": "sleep"}}});
    let get = |path: &str| headers_policy(json!([{"method": "GET|HEAD", "path": path}]));
    let cilium = |rule: Value| {
        cilium_policy(
            "p",
            json!({"endpointSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [rule]}),
        )
    };
    let bodies = |text: &str| {
        let mut value = get("/_search");
        value["metadata"]["annotations"] = json!({"weir.dev/get-body": text});
        value
    };
    let annotated = |text: &str| {
        let mut value = ingress(json!([sleep_pods]));
        value["metadata"]["annotations"] = json!({"weir.dev/lint-ignore": text});
        value
    };
    let shadow = |port: &str| {
        let rules = json!({"http": [{"path": "/a.*"}]});
        let peers = json!([{"matchLabels": {"app": "sleep"}}]);
        cilium_policy(
            "p",
            json!({"endpointSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [
                {"fromEndpoints": peers, "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}], "rules": rules}]},
                {"fromEndpoints": peers, "toPorts": [{"ports": [{"port": port, "protocol": "TCP"}]}]},
            ]}),
        )
    };
    vec![
        (
            "W001",
            "spec.ingress[0].from[0].ipBlock.cidr",
            ingress(json!([{"ipBlock": {"cidr": "x"}}])),
            ingress(json!([sleep_pods])),
        ),
        (
            "W002",
            "spec.ingress[0].from[0]",
            ingress(json!([visitor])),
            ingress(json!([with_namespace])),
        ),
        (
            "W003",
            "spec.ingress[0].from[0]",
            ingress(json!([{"podSelector": {"matchLabels": {"app": "slep"}}}])),
            ingress(json!([sleep_pods])),
        ),
        (
            "W003",
            "spec.podSelector",
            network_policy("p", json!({"podSelector": {"matchLabels": {"app": "web"}}})),
            network_policy(
                "p",
                json!({"podSelector": {"matchLabels": {"app": "sleep"}}}),
            ),
        ),
        (
            "W004",
            "spec.ingress[0].from[0].namespaceSelector",
            ingress(json!([{"namespaceSelector": {"matchLabels": {"name": "sleep"}}}])),
            ingress(
                json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "sleep"}}}]),
            ),
        ),
        (
            "W005",
            "spec.ingress[0].from[1]",
            ingress(json!([{"namespaceSelector": {}}, sleep_pods])),
            ingress(
                json!([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "sleep"}}}]),
            ),
        ),
        (
            "W006",
            "spec.ingress[0].from[0]",
            ingress(json!([{"ipBlock": {"cidr": "10.244.0.0/16"}}])),
            ingress(json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}])),
        ),
        (
            "W006",
            "spec.ingress[0].fromCIDR[0]",
            cilium(json!({"fromCIDR": ["10.0.0.0/8"]})),
            cilium(json!({"fromCIDR": ["0.0.0.0/0"]})),
        ),
        (
            "W007",
            "spec.ingress[0].ports[0].port",
            ports(json!({"port": 8000})),
            ports(json!({"port": 80})),
        ),
        (
            "W008",
            "spec.ingress[0].ports[0].port",
            ports(json!({"port": 8080})),
            ports(json!({"port": 80, "endPort": 90})),
        ),
        (
            "W008",
            "spec.ingress[0].toPorts[0].ports[0].port",
            cilium(json!({"toPorts": [{"ports": [{"port": "443"}]}]})),
            cilium(json!({"toPorts": [{"ports": [{"port": "80"}]}]})),
        ),
        (
            "W009",
            "spec.egress",
            egress(json!([to_httpbin])),
            egress(json!([to_httpbin, dns])),
        ),
        (
            "W009",
            "spec.egress",
            egress(json!([{"ports": [{"port": 443}]}])),
            egress(
                json!([{"ports": [{"port": 443}]}, {"ports": [{"port": 53, "protocol": "UDP"}]}]),
            ),
        ),
        (
            "W010",
            "spec.egress",
            typed(json!(["Ingress"]), json!([]), json!([dns])),
            typed(json!(["Egress"]), json!([]), json!([dns])),
        ),
        (
            "W010",
            "spec.egress",
            typed(json!([]), json!([{}]), json!([])),
            typed(json!(["Ingress", "Egress"]), json!([]), json!([])),
        ),
        (
            "W011",
            "spec.policyTypes",
            typed(json!(["Ingress", "Egress"]), json!([{}]), json!([])),
            typed(json!(["Ingress"]), json!([{}]), json!([])),
        ),
        (
            "W012",
            "spec.ingress[0].from",
            ingress(json!([])),
            ingress(json!([sleep_pods])),
        ),
        (
            "W012",
            "spec.ingress[0].fromEndpoints",
            cilium(json!({"fromEndpoints": []})),
            cilium(json!({"fromEndpoints": [{}]})),
        ),
        (
            "W013",
            "spec.ingress[0].toPorts[0].rules.http",
            shadow("80"),
            shadow("81"),
        ),
        (
            "W014",
            "spec.ingress[0].toPorts[0].rules.http[0].path",
            get("/api/*"),
            get("/api/.*"),
        ),
        (
            "W014",
            "spec.ingress[0].toPorts[0].rules.http[0].path",
            get("/api/"),
            get("/"),
        ),
        (
            "W014",
            "spec.ingress[0].toPorts[0].rules.http[0].path",
            get("api"),
            get(".*api"),
        ),
        (
            "W015",
            "spec.ingress[0].toPorts[0].rules.http[0].path",
            get("/headers"),
            get(r"/headers(\?.*)?"),
        ),
        (
            "W016",
            "spec.ingress[0].toPorts[0].rules.http[0].method",
            headers_policy(json!([{"method": "GET", "path": "/a"}])),
            headers_policy(
                json!([{"method": "GET", "path": "/a"}, {"method": "HEAD", "path": "/a"}]),
            ),
        ),
        (
            "W017",
            "metadata.annotations[weir.dev/lint-ignore]",
            annotated("W999"),
            annotated("W001, cross-namespace"),
        ),
        (
            "W018",
            "spec.ingress[0].toPorts[0].rules.http[0].method",
            headers_policy(json!([{"method": "get|head", "path": "/a"}])),
            headers_policy(json!([{"method": "GET|HEAD", "path": "/a"}])),
        ),
        (
            "W019",
            "metadata.annotations[weir.dev/get-body]",
            bodies("allow"),
            bodies("refuse"),
        ),
        (
            "W020",
            "spec.egressDeny",
            deny(json!({})),
            deny(json!({"egress": false})),
        ),
        (
            "W021",
            "spec.ingress[0].from[0]",
            ingress(json!([{"podSelector": {"matchLabels": {"app": "agent"}}}])),
            ingress(json!([sleep_pods])),
        ),
        (
            "W022",
            "spec.egress[0].toFQDNs[0]",
            names(json!({})),
            names(json!({"rules": {"dns": [{"matchPattern": "*.example.com"}]}})),
        ),
        (
            "W023",
            "spec.egress[0].toPorts[0].ports[0].port",
            apiserver(json!([{"port": "443", "protocol": "TCP"}])),
            apiserver(json!([{"port": "443"}, {"port": "6443"}])),
        ),
        (
            "W024",
            "spec.egress[0].to[0]",
            egress(json!([{"to": [{"ipBlock": {"cidr": "10.96.0.7/32"}}]}])),
            egress(json!([{"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}]}])),
        ),
        (
            "W025",
            "spec.ingress[0].from[0]",
            ingress(
                json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.nmae": "sleep"}}}]),
            ),
            ingress(
                json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "sleep"}}}]),
            ),
        ),
        (
            "W026",
            "spec.ingress[0].fromCIDRSet[0]",
            group("vnp"),
            group("vpn"),
        ),
        (
            "W027",
            "spec.ingress",
            host_policy(json!({"nodeSelector": {}, "ingress": [{}]})),
            host_policy(json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["cluster"]}]})),
        ),
        (
            "W028",
            "spec.ingress",
            host_policy(json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["world"]}]})),
            host_policy(json!({"nodeSelector": {}, "ingress": [{"fromNodes": [{}]}]})),
        ),
        (
            "W029",
            "spec.ingress[0].toPorts[0].rules.http[0].path",
            headers_policy(json!([{"method": "POST", "path": "/echo.Echo.Unary"}])),
            headers_policy(json!([{"method": "POST", "path": "/echo.Echo/Unary"}])),
        ),
    ]
}

fn host_policy(spec: Value) -> Value {
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": {"name": "host"},
        "spec": spec,
    })
}

/// A policy that names a CIDR group.
fn group(name: &str) -> Value {
    cilium_policy(
        "p",
        json!({"endpointSelector": {"matchLabels": {"app": "httpbin"}},
            "ingress": [{"fromCIDRSet": [{"cidrGroupRef": name}]}]}),
    )
}

/// `api.example.com`, with DNS that is allowed so.
fn names(mut dns: Value) -> Value {
    dns["ports"] = json!([{"port": "53", "protocol": "ANY"}]);
    cilium_policy(
        "p",
        json!({"endpointSelector": {"matchLabels": {"app": "sleep"}}, "egress": [
            {"toFQDNs": [{"matchName": "api.example.com"}]},
            {"toEndpoints": [{"matchLabels": {
                "k8s-app": "kube-dns", "io.kubernetes.pod.namespace": "kube-system"}}],
             "toPorts": [dns]},
        ]}),
    )
}

fn apiserver(ports: Value) -> Value {
    cilium_policy(
        "p",
        json!({"endpointSelector": {"matchLabels": {"app": "sleep"}}, "egress": [
            {"toEntities": ["kube-apiserver"], "toPorts": [{"ports": ports}]}]}),
    )
}

fn deny(default: Value) -> Value {
    cilium_policy(
        "p",
        json!({"endpointSelector": {"matchLabels": {"app": "sleep"}}, "enableDefaultDeny": default,
               "egressDeny": [{"toEntities": ["world"]}]}),
    )
}

/// The workshop with a host-network pod `default/agent-0`.
fn workshop() -> Sample {
    let mut sample = Sample::workshop().pod("default/agent-0", "app=agent", &[]);
    let last = sample.world.pods.last_mut().expect("a pod");
    last.host_network = true;
    sample
}

#[test]
fn each_lint_finds_its_mistake_and_nothing_where_there_is_none() {
    for (id, field, wrong, right) in cases() {
        let of = |value: &Value| {
            let mut all = found(workshop(), value);
            all.retain(|(other, _)| *other == id);
            all
        };
        assert_eq!(of(&wrong), [(id, field.to_owned())], "{wrong}");
        assert_eq!(of(&right), [], "{right}");
    }
}

#[test]
fn each_lint_of_the_registry_has_its_cases_and_a_word_in_the_docs() {
    let cases: BTreeSet<&str> = cases().iter().map(|(id, ..)| *id).collect();
    let registry: BTreeSet<&str> = LINTS.iter().map(|lint| lint.id).collect();
    assert_eq!(cases, registry);
    let page = include_str!("../../../docs/lints.md");
    let rows: Vec<String> = page
        .lines()
        .filter(|line| line.starts_with("| W"))
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()[1..5].join("|"))
        .collect();
    let expected: Vec<String> = LINTS
        .iter()
        .map(|lint| {
            format!(
                "{}|{}|{}|{}",
                lint.id, lint.name, lint.severity, lint.summary
            )
        })
        .collect();
    assert_eq!(rows, expected, "docs/lints.md lists the registry");
}

#[test]
fn the_policy_itself_may_ask_for_silence() {
    let mut value = ports(json!({"port": 8000}));
    assert_eq!(found(Sample::workshop(), &value).len(), 1);
    for text in ["W007", "W001,service-port", "w007 W002"] {
        value["metadata"]["annotations"] = json!({"weir.dev/lint-ignore": text});
        assert_eq!(found(Sample::workshop(), &value), [], "{text}");
    }
}

#[test]
fn what_the_manifests_do_not_have_is_not_held_against_a_policy() {
    let kube_dns = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    });
    let policy = egress(json!([{"to": [kube_dns]}]));
    let sample = Sample::default().pod("default/sleep-0", "app=sleep", &[]);
    assert_eq!(found(sample, &policy), []);
    let alone = ingress(json!([{"podSelector": {"matchLabels": {"app": "web"}}}]));
    assert_eq!(found(Sample::default(), &alone), []);
}

#[test]
fn the_fix_names_what_is_there() {
    let [finding] = &findings(Sample::workshop(), &ports(json!({"port": 8000})))[..] else {
        panic!("one finding");
    };
    assert_eq!(finding.fix, "write 80");
    assert_eq!(
        finding.why,
        "8000 is the port of service default/httpbin; policies mean the pod's own, 80"
    );
    let other = ingress(json!([{"podSelector": {"matchLabels": {"app": "visitor"}}}]));
    let [finding] = &findings(Sample::workshop(), &other)[..] else {
        panic!("one finding");
    };
    assert!(
        finding.fix.contains("kubernetes.io/metadata.name: sleep"),
        "{finding:?}"
    );
}

#[test]
fn calls_of_grpc_are_posts_without_a_query() {
    let found = |rule: Value| found(workshop(), &headers_policy(json!([rule])));
    let place = "spec.ingress[0].toPorts[0].rules.http[0]";
    let get = found(json!({"method": "GET|HEAD", "path": "/echo.Echo/Unary"}));
    assert_eq!(get, [("W029", format!("{place}.method"))]);
    let query = found(json!({"method": "POST", "path": "/echo.Echo/Unary\\?x=1"}));
    assert_eq!(query, [("W029", format!("{place}.path"))]);
    // Nor is one told to let a query pass.
    assert_eq!(
        found(json!({"method": "POST", "path": "/echo.Echo/Unary"})),
        []
    );
    assert_eq!(found(json!({"path": "/echo.Echo/Unary"})), []);
}
