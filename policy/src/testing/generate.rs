//! Strategies for worlds and flows. Alphabets are small, so that things meet.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::model::{
    Action, ContainerPort, Direction, Entity, HttpRule, Key, L7, Labels, Namespace, NamespaceScope,
    Node, ObjectRef, Operator, Peer, Peers, Pod, PodSelector, Policy, PolicyKind, PolicySpec, Port,
    PortMatch, Protocol, Requirement, Rule, Section, Selector, Service, ServicePort,
    ServiceSelector, Tier, WhichServices, World,
};
use crate::names::NamePattern;

use super::SideFlow;

/// The node that snapshots are for.
pub const NODE: &str = "node-a";

const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const PORTS: [u16; 9] = [1, 53, 79, 80, 81, 443, 8080, 32768, 65535];
/// Messages that open a flow of their own.
const ICMP_TYPES: [u16; 4] = [8, 13, 128, 139];
const OUTSIDE: [&str; 6] = [
    "192.0.2.1",
    "192.0.2.77",
    "198.51.100.9",
    "2001:db8::1",
    "2001:db8:1::1",
    "10.244.9.9",
];
const CIDRS: [&str; 10] = [
    "0.0.0.0/0",
    "::/0",
    "192.0.2.0/24",
    "192.0.2.64/26",
    "192.0.2.77/32",
    "10.244.0.0/16",
    "10.244.0.2/31",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "fd00:10:244::/64",
];

fn labels() -> impl Strategy<Value = Labels> {
    vec(
        (select(vec!["app", "tier"]), select(vec!["a", "b", "c"])),
        0..3,
    )
    .prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    let requirement = (
        select(vec!["app", "tier"]),
        select(vec![
            Operator::In,
            Operator::NotIn,
            Operator::Exists,
            Operator::DoesNotExist,
        ]),
        vec(select(vec!["a", "b", "c"]), 1..3),
    )
        .prop_map(|(key, operator, values)| Requirement {
            key: Key::Label(key.into()),
            operator,
            values: match operator {
                Operator::In | Operator::NotIn => values.into_iter().map(Into::into).collect(),
                Operator::Exists | Operator::DoesNotExist => Default::default(),
            },
        });
    vec(requirement, 0..3).prop_map(Selector::new)
}

fn scope() -> impl Strategy<Value = NamespaceScope> {
    prop_oneof![
        Just(NamespaceScope::All),
        select(NAMESPACES.to_vec()).prop_map(|name| NamespaceScope::Named(name.into())),
        selector().prop_map(NamespaceScope::Matching),
    ]
}

fn pods() -> impl Strategy<Value = PodSelector> {
    (scope(), selector()).prop_map(|(namespaces, pods)| PodSelector { namespaces, pods })
}

fn peer() -> impl Strategy<Value = Peer> {
    let cidr = (
        select(CIDRS.to_vec()),
        vec(select(CIDRS.to_vec()), 0..2),
        any::<bool>(),
    )
        .prop_filter_map("except is a strict part", |(cidr, except, cluster_too)| {
            let cidr: ipnet::IpNet = cidr.parse().ok()?;
            let except: Vec<ipnet::IpNet> = except
                .into_iter()
                .filter_map(|part| part.parse().ok())
                .collect();
            let strict = except
                .iter()
                .all(|part| cidr.contains(part) && *part != cidr);
            strict.then_some(Peer::Cidr {
                cidr,
                except,
                cluster_too,
            })
        });
    prop_oneof![
        3 => pods().prop_map(Peer::Pods),
        2 => cidr,
        1 => select(vec![
            Entity::All, Entity::World, Entity::WorldIpv4, Entity::WorldIpv6, Entity::Cluster,
            Entity::Host, Entity::RemoteNode, Entity::KubeApiserver,
        ]).prop_map(Peer::Entity),
        1 => service_selector().prop_map(Peer::Service),
        1 => name().prop_map(Peer::Name),
    ]
}

fn name() -> impl Strategy<Value = NamePattern> {
    select(vec!["a.example", "*.example", "**.example", "b.test"])
        .prop_map(|text| NamePattern::new(text).expect("a pattern"))
}

/// What DNS has said, pods' own addresses among it.
fn names() -> impl Strategy<Value = BTreeMap<String, BTreeSet<IpAddr>>> {
    let answer = (
        select(vec!["a.example", "x.a.example", "b.test"]),
        select(vec!["192.0.2.1", "192.0.2.77", "2001:db8::1", "10.244.0.2"]),
    );
    vec(answer, 0..4).prop_map(|answers| {
        let mut names: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for (name, text) in answers {
            names.entry(name.into()).or_default().insert(address(text));
        }
        names
    })
}

fn service_selector() -> impl Strategy<Value = ServiceSelector> {
    let which = prop_oneof![
        select(vec!["s0", "s1", "nobody"]).prop_map(|name| WhichServices::Named(name.into())),
        selector().prop_map(WhichServices::Matching),
    ];
    (
        option::of(select(NAMESPACES.to_vec()).prop_map(Into::into)),
        which,
    )
        .prop_map(|(namespace, which)| ServiceSelector { namespace, which })
}

/// Two services and the API server's, with backends among pods, nodes and the outside.
fn services() -> impl Strategy<Value = Vec<Service>> {
    let backend = select(vec![
        "10.244.0.2",
        "10.244.0.3",
        "fd00:10:244::2",
        "192.0.2.77",
        "2001:db8::1",
        "172.18.0.3",
    ]);
    let service = (
        select(NAMESPACES.to_vec()),
        labels(),
        vec((backend.clone(), select(PORTS.to_vec())), 0..3),
    );
    (vec(service, 0..3), vec(backend, 0..2)).prop_map(|(services, apiserver)| {
        let apiserver: Vec<_> = apiserver.into_iter().map(|text| (text, 6443)).collect();
        services
            .into_iter()
            .enumerate()
            .map(|(index, (namespace, labels, backends))| {
                (namespace, format!("s{index}"), labels, backends)
            })
            .chain([(
                "default",
                "kubernetes".to_owned(),
                Labels::default(),
                apiserver,
            )])
            .map(|(namespace, name, labels, backends)| Service {
                namespace: namespace.into(),
                name,
                labels,
                ports: vec![ServicePort {
                    protocol: Protocol::Tcp,
                    port: 80,
                    backends: backends
                        .into_iter()
                        .map(|(text, port)| (address(text), port))
                        .collect(),
                }],
                ..Service::default()
            })
            .collect()
    })
}

fn port_match() -> impl Strategy<Value = PortMatch> {
    let port = prop_oneof![
        1 => Just(Port::All),
        3 => select(PORTS.to_vec()).prop_map(|port| Port::Range(port, port)),
        2 => (select(PORTS.to_vec()), select(PORTS.to_vec()))
            .prop_map(|(a, b)| Port::Range(a.min(b), a.max(b))),
        2 => select(vec!["http", "dns", "nobody"]).prop_map(|name| Port::Named(name.into())),
    ];
    let with_ports = (
        select(vec![
            Protocol::Tcp,
            Protocol::Tcp,
            Protocol::Udp,
            Protocol::Sctp,
        ]),
        port,
    )
        .prop_map(|(protocol, port)| PortMatch { protocol, port });
    let with_types = (
        select(vec![Protocol::Icmp, Protocol::Icmpv6]),
        select(ICMP_TYPES.to_vec()),
    )
        .prop_map(|(protocol, kind)| PortMatch {
            protocol,
            port: Port::Range(kind, kind),
        });
    prop_oneof![8 => with_ports, 1 => with_types]
}

fn http_rule() -> impl Strategy<Value = HttpRule> {
    (
        option::of(select(vec!["GET", "POST", "GET|HEAD"])),
        option::of(select(vec!["/", "/a", "/a/.*", "/a/[0-9]+", ".*\\?x=1"])),
        option::of(select(vec!["h", "h(:[0-9]+)?"])),
    )
        .prop_map(|(method, path, host)| HttpRule {
            place: String::new(),
            method: method.map(Into::into),
            path: path.map(Into::into),
            host: host.map(Into::into),
            headers: Vec::new(),
            header_rules: Vec::new(),
        })
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        prop_oneof![1 => Just(Peers::Any), 4 => vec(peer(), 0..3).prop_map(Peers::OneOf)],
        vec(port_match(), 0..3),
        prop_oneof![
            5 => Just((Action::Allow, None)),
            2 => vec(http_rule(), 0..3).prop_map(|rules| (Action::Allow, Some(L7::Http(rules)))),
            1 => name().prop_map(|name| (Action::Allow, Some(L7::Tls(vec![name])))),
            1 => name().prop_map(|name| (Action::Allow, Some(L7::Dns(vec![name])))),
            1 => Just((Action::Deny, None)),
        ],
    )
        .prop_map(|(peers, mut ports, (action, l7))| {
            if matches!(l7, Some(L7::Http(_) | L7::Tls(_))) {
                ports
                    .iter_mut()
                    .for_each(|port| port.protocol = Protocol::Tcp);
            }
            Rule {
                place: "rule".into(),
                action,
                peers,
                ports,
                l7,
            }
        })
}

fn section() -> impl Strategy<Value = Section> {
    (prop::bool::weighted(0.7), vec(rule(), 0..4))
        .prop_map(|(isolates, rules)| Section { isolates, rules })
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let normal = (pods(), section(), section()).prop_map(|(subject, ingress, egress)| PolicySpec {
        tier: Tier::Normal,
        subject,
        ingress,
        egress,
    });
    // A rule of the other tiers isolates nothing and is about nothing that the proxy reads.
    let in_order = |mut section: Section| {
        section.isolates = false;
        for (number, rule) in section.rules.iter_mut().enumerate() {
            if rule.l7.take().is_some() && number % 2 == 0 {
                rule.action = Action::Pass;
            }
        }
        section
    };
    let tier = prop_oneof![
        (0..3u16).prop_map(Tier::Admin),
        (0..3u16).prop_map(Tier::Baseline)
    ];
    let other =
        (tier, pods(), section(), section()).prop_map(move |(tier, subject, ingress, egress)| {
            PolicySpec {
                tier,
                subject,
                ingress: in_order(ingress),
                egress: in_order(egress),
            }
        });
    let spec = prop_oneof![3 => normal, 1 => other];
    let audit = prop::bool::weighted(0.15);
    vec((audit, vec(spec, 1..3)), 0..5).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(index, (audit, specs))| Policy {
                audit,
                object: ObjectRef {
                    kind: PolicyKind::CiliumClusterwideNetworkPolicy,
                    namespace: String::new(),
                    name: format!("p{index}"),
                },
                specs,
            })
            .collect()
    })
}

/// Worlds of up to six pods on one of two nodes and up to four policies.
pub fn world() -> impl Strategy<Value = World> {
    let pod = (
        select(NAMESPACES.to_vec()),
        labels(),
        vec(select(PORTS.to_vec()), 0..3),
        any::<bool>(),
    );
    let objects = (vec(pod, 1..7), vec(labels(), 3), services());
    (objects, names(), policies()).prop_map(|((pods, namespaces, services), names, policies)| {
        World {
            namespaces: NAMESPACES
                .iter()
                .zip(namespaces)
                .map(|(name, labels)| ((*name).to_owned(), Namespace { labels }))
                .collect(),
            pods: pods
                .into_iter()
                .enumerate()
                .map(|(index, (namespace, labels, ports, here))| Pod {
                    namespace: namespace.into(),
                    name: format!("pod-{index}"),
                    labels,
                    service_account: "default".into(),
                    addresses: vec![
                        address(&format!("10.244.0.{}", index + 2)),
                        address(&format!("fd00:10:244::{}", index + 2)),
                    ],
                    node: if here { NODE.into() } else { "node-b".into() },
                    ports: ports
                        .into_iter()
                        .zip([("http", Protocol::Tcp), ("dns", Protocol::Udp)])
                        .map(|(port, (name, protocol))| ContainerPort {
                            name: name.into(),
                            protocol,
                            port,
                        })
                        .collect(),
                    ..Pod::default()
                })
                .collect(),
            nodes: vec![
                Node {
                    name: NODE.into(),
                    addresses: vec![address("172.18.0.2"), address("fd00:18::2")],
                },
                Node {
                    name: "node-b".into(),
                    addresses: vec![address("172.18.0.3"), address("fd00:18::3")],
                },
            ],
            services,
            names,
            policies,
        }
    })
}

/// Flows of a world's pods with pods, nodes and the outside.
pub fn flow(world: &World) -> impl Strategy<Value = SideFlow> + use<> {
    let mut peers: Vec<IpAddr> = OUTSIDE.iter().map(|text| address(text)).collect();
    peers.extend(
        world
            .pods
            .iter()
            .flat_map(|pod| pod.addresses.iter().copied()),
    );
    peers.extend(
        world
            .nodes
            .iter()
            .flat_map(|node| node.addresses.iter().copied()),
    );
    let ports: Vec<u16> = PORTS
        .iter()
        .flat_map(|p| [p.saturating_sub(1).max(1), *p, p.saturating_add(1)])
        .collect();
    (
        0..world.pods.len(),
        select(Direction::BOTH.to_vec()),
        select(peers),
        select(vec![
            Protocol::Tcp,
            Protocol::Tcp,
            Protocol::Udp,
            Protocol::Sctp,
            Protocol::Icmp,
        ]),
        select(ports),
        select(ICMP_TYPES.to_vec()),
    )
        .prop_map(|(pod, direction, peer, protocol, port, kind)| SideFlow {
            pod,
            direction,
            peer,
            protocol: match protocol {
                Protocol::Icmp if peer.is_ipv6() => Protocol::Icmpv6,
                other => other,
            },
            port: if protocol == Protocol::Icmp {
                kind
            } else {
                port
            },
        })
}

/// A world with flows of it.
pub fn world_and_flows(flows: usize) -> impl Strategy<Value = (World, Vec<SideFlow>)> {
    world().prop_flat_map(move |world| {
        let flows = vec(flow(&world), flows);
        (Just(world), flows)
    })
}

/// An address of the alphabets.
fn address(text: &str) -> IpAddr {
    text.parse().expect("the alphabets hold addresses")
}
