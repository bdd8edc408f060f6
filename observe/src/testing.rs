//! A small world for the tests: the workshop's two pods, and a policy.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use weir_abi::{
    Address,
    event::Event,
    policy::{direction, verdict},
    protocol,
};
use weir_link::proxy::{Application, Disposition, HttpRecord, HttpVersion, L7Record};
use weir_policy::{
    compile::{Compiler, Local},
    model::{Namespace, Node, Pod, PodName, Service, ServicePort, World},
    objects,
};

use crate::names::Directory;

pub const SLEEP: &str = "10.244.1.2";
pub const HTTPBIN: &str = "10.244.1.3";
/// Index of httpbin's endpoint.
pub const INDEX: u16 = 7;

pub fn policy(yaml: &str) -> Arc<Directory> {
    let value: serde_json::Value = serde_yaml_ng::from_str(yaml).expect("YAML");
    let kind = objects::kind_of(&value).expect("a policy");
    let parsed = objects::parse(kind, &value).expect("a good policy");
    let logs = objects::logs(kind, &value);
    let logs = [(parsed.policy.object.to_string(), logs)].into();
    with_logs(vec![parsed.policy], logs)
}

pub fn names(policies: Vec<weir_policy::model::Policy>) -> Arc<Directory> {
    with_logs(policies, Default::default())
}

fn with_logs(
    policies: Vec<weir_policy::model::Policy>,
    logs: BTreeMap<String, Vec<objects::PolicyLog>>,
) -> Arc<Directory> {
    let pod = |name: &str, hash: &str, app: &str, address: &str| Pod {
        namespace: "default".into(),
        name: name.into(),
        labels: [("app", app), ("pod-template-hash", hash)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        service_account: "default".into(),
        addresses: vec![address.parse().expect("an address")],
        node: "node".into(),
        ..Pod::default()
    };
    let world = World {
        namespaces: [("default".to_owned(), Namespace::default())].into(),
        pods: vec![
            pod("httpbin-79-kqb4f", "79", "httpbin", HTTPBIN),
            pod("sleep-6d-7ppbf", "6d", "sleep", SLEEP),
        ],
        nodes: vec![Node {
            name: "node".into(),
            addresses: vec!["192.0.2.1".parse().expect("an address")],
            ..Node::default()
        }],
        services: vec![Service {
            namespace: "default".into(),
            name: "httpbin".into(),
            addresses: vec!["10.96.0.8".parse().expect("an address")],
            ports: vec![ServicePort {
                name: String::new(),
                protocol: weir_policy::model::Protocol::Tcp,
                port: 8000,
                node_port: None,
                backends: vec![(HTTPBIN.parse().expect("an address"), 80)],
            }],
            ..Service::default()
        }],
        names: [(
            PodName::new("default", "sleep"),
            [(
                "example.com".to_owned(),
                ["203.0.113.10".parse().expect("an address")].into(),
            )]
            .into(),
        )]
        .into(),
        policies,
        logs,
        ..World::default()
    };
    let world = Arc::new(world);
    let snapshot = Compiler::new().compile(&world, Local::Node("node"));
    let index = |pod: &PodName| pod.name.starts_with("httpbin").then_some(INDEX);
    Arc::new(Directory::new("node", world, Arc::new(snapshot), index))
}

/// A SYN from sleep to httpbin, judged at httpbin as the policy says.
pub fn syn(names: &Directory, verdict: u8) -> Event {
    let snapshot = &names.snapshot;
    let endpoint = snapshot
        .endpoint(&PodName::new("default", "httpbin-79-kqb4f"))
        .expect("an endpoint");
    let class = snapshot
        .address(SLEEP.parse().expect("an address"))
        .expect("a class");
    Event {
        time: 0,
        source: mapped(SLEEP),
        destination: mapped(HTTPBIN),
        service: mapped("10.96.0.8"),
        source_port: 53352,
        destination_port: 80,
        service_port: 8000,
        endpoint: INDEX,
        policy: match verdict {
            verdict::DENY => 0,
            _ => snapshot.policies.keys().copied().next().unwrap_or_default(),
        },
        set: endpoint.set,
        class: class.class,
        revision: snapshot.revision as u32,
        direction: direction::INGRESS,
        verdict,
        protocol: protocol::TCP,
        detail: 2,
        ..Event::default()
    }
}

pub fn mapped(text: &str) -> Address {
    match text.parse().expect("an address") {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Only pods that no other has may come in: nobody.
pub const DENY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-ingress, namespace: default}
spec: {podSelector: {matchLabels: {app: httpbin}}, policyTypes: [Ingress]}
";

/// Another client may, at the same port.
pub const OTHERS: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: others, namespace: default}
spec:
  podSelector: {matchLabels: {app: httpbin}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: other}}}]
    ports: [{port: 80}]
";

/// sleep may.
pub const ALLOW: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow, namespace: default}
spec:
  podSelector: {matchLabels: {app: httpbin}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: sleep}}}]
    ports: [{port: 80}]
";

/// A request of sleep to httpbin that passed.
pub fn passed(status: Option<u16>) -> L7Record {
    L7Record {
        time_us: 10_000_000,
        endpoint: Some(INDEX),
        direction: weir_policy::model::Direction::Ingress,
        client: format!("{SLEEP}:40000").parse().expect("an address"),
        server: format!("{HTTPBIN}:80").parse().expect("an address"),
        application: Application::Http(HttpRecord {
            method: "GET".into(),
            path: "/headers".into(),
            host: "httpbin:8000".into(),
            version: HttpVersion::Http11,
            headers: Vec::new(),
            status,
            grpc_status: None,
        }),
        verdict: Disposition::Allowed,
        policies: vec!["CiliumNetworkPolicy/default/web".into()],
        nearest: None,
        reason: "allowed".into(),
        latency_us: 2_500,
    }
}
