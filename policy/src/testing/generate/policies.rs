//! Strategies for policies.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{CIDRS, ICMP_TYPES, NAMESPACES, PORTS};
use crate::{
    model::{
        Action, Entity, HttpRule, Key, L7, NamespaceScope, ObjectRef, Operator, Peer, Peers,
        PodSelector, Policy, PolicyKind, PolicySpec, Port, PortMatch, Protocol, Requirement, Rule,
        Section, Selector, ServiceSelector, Subjects, Tier, WhichServices,
    },
    names::NamePattern,
};

fn selector() -> impl Strategy<Value = Selector> {
    let key = prop_oneof![
        8 => select(vec!["app", "tier"]).prop_map(|key| Key::Label(key.into())),
        1 => Just(Key::Cluster),
        1 => Just(Key::Reserved("health".into())),
    ];
    let requirement = (
        key,
        select(vec![
            Operator::In,
            Operator::NotIn,
            Operator::Exists,
            Operator::DoesNotExist,
        ]),
        vec(select(vec!["a", "b", "c"]), 1..3),
    )
        .prop_map(|(key, operator, values)| Requirement {
            key,
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
        1 => selector().prop_map(Peer::Nodes),
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
        prop::bool::weighted(0.3),
    )
        .prop_map(|(method, path, host, get_body)| HttpRule {
            place: String::new(),
            method: method.map(Into::into),
            path: path.map(Into::into),
            host: host.map(Into::into),
            headers: Vec::new(),
            header_rules: Vec::new(),
            get_body,
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

pub(super) fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let normal = (pods(), section(), section()).prop_map(|(pods, ingress, egress)| PolicySpec {
        tier: Tier::Normal,
        subject: Subjects::Pods(pods),
        ingress,
        egress,
    });
    // What a node says nobody reads.
    let unread = |mut section: Section| {
        section.rules.iter_mut().for_each(|rule| rule.l7 = None);
        section
    };
    let host =
        (selector(), section(), section()).prop_map(move |(nodes, ingress, egress)| PolicySpec {
            tier: Tier::Normal,
            subject: Subjects::Nodes(nodes),
            ingress: unread(ingress),
            egress: unread(egress),
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
        (tier, pods(), section(), section()).prop_map(move |(tier, pods, ingress, egress)| {
            PolicySpec {
                tier,
                subject: Subjects::Pods(pods),
                ingress: in_order(ingress),
                egress: in_order(egress),
            }
        });
    let spec = prop_oneof![6 => normal, 2 => other, 1 => host];
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
