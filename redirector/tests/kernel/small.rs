//! A small world: two pods and a service, and the rules that a test is about.

use std::net::IpAddr;

use weir_policy::model::{
    Action, HttpRule, NamespaceScope, Node, ObjectRef, Peer, Peers, Pod, PodSelector, Policy,
    PolicyKind, PolicySpec, Port, PortMatch, Protocol, Rule, Section, Selector, Service,
    ServicePort, Subjects, World,
};

pub const POD: [&str; 2] = ["10.244.0.2", "fd00:10:244::2"];
pub const BACKEND: [&str; 2] = ["10.244.0.3", "fd00:10:244::3"];
pub const CLIENT: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
pub const SERVICE: [&str; 2] = ["10.96.0.7", "fd00:10:96::7"];
pub const EVERY_FAMILY: [usize; 2] = [0, 1];

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub fn rule(peers: Peers, port: Option<u16>, http: Option<Vec<HttpRule>>) -> Rule {
    Rule {
        place: "rule".into(),
        action: Action::Allow,
        peers,
        ports: port
            .map(|port| PortMatch {
                protocol: Protocol::Tcp,
                port: Port::Range(port, port),
            })
            .into_iter()
            .collect(),
        l7: http.map(weir_policy::model::L7::Http),
    }
}

/// Two pods; the first is isolated in the directions that have rules.
pub fn world(ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) -> World {
    let section = |rules: Option<Vec<Rule>>| Section {
        isolates: rules.is_some(),
        rules: rules.unwrap_or_default(),
    };
    let pod = |name: &str, addresses: [&str; 2]| Pod {
        namespace: "x".into(),
        name: name.into(),
        labels: [("app".to_owned(), name.to_owned())].into(),
        addresses: addresses.map(ip).into(),
        node: "node-a".into(),
        ..Pod::default()
    };
    World {
        pods: vec![pod("subject", POD), pod("backend", BACKEND)],
        nodes: vec![Node {
            name: "node-a".into(),
            addresses: vec![ip("172.18.0.2"), ip("fd00:18::2")],
            ..Node::default()
        }],
        services: vec![Service {
            labels: Default::default(),
            namespace: "x".into(),
            name: "svc".into(),
            addresses: SERVICE.map(ip).into(),
            external: Vec::new(),
            ports: [Protocol::Tcp, Protocol::Udp]
                .map(|protocol| ServicePort {
                    name: String::new(),
                    protocol,
                    port: 8000,
                    node_port: None,
                    backends: BACKEND.map(|backend| (ip(backend), 80)).into(),
                })
                .into(),
            client_affinity: false,
        }],
        policies: vec![Policy {
            audit: false,
            object: ObjectRef {
                kind: PolicyKind::NetworkPolicy,
                namespace: "x".into(),
                name: "p".into(),
            },
            specs: vec![PolicySpec {
                tier: Default::default(),
                subject: Subjects::Pods(PodSelector {
                    namespaces: NamespaceScope::All,
                    pods: Selector::new([weir_policy::model::Requirement::equals(
                        weir_policy::model::Key::Label("app".into()),
                        "subject",
                    )]),
                }),
                ingress: section(ingress),
                egress: section(egress),
            }],
        }],
        ..World::default()
    }
}

pub fn backend_only() -> Peers {
    Peers::OneOf(vec![Peer::Pods(PodSelector {
        namespaces: NamespaceScope::All,
        pods: Selector::new([weir_policy::model::Requirement::equals(
            weir_policy::model::Key::Label("app".into()),
            "backend",
        )]),
    })])
}
