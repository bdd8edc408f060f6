//! Strategies for worlds and flows. Alphabets are small, so that things meet.

mod policies;

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::model::{
    Answers, ContainerPort, Direction, Labels, Namespace, Node, Pod, PodName, Protocol, Service,
    ServicePort, Visibility, World,
};

use super::SideFlow;

/// The node that snapshots are for.
pub const NODE: &str = "node-a";

/// Virtual and external addresses of services: two may claim one.
pub const FRONTS: [&str; 4] = ["10.96.0.1", "10.96.0.2", "203.0.113.5", "fd00:10:96::1"];
/// Node ports, likewise.
pub const NODE_PORTS: [Option<u16>; 3] = [None, Some(30080), Some(30081)];
const NAMESPACES: [&str; 3] = ["x", "y", "z"];
/// Values that labels have, too: selectors then ask for them.
const CLUSTERS: [&str; 2] = ["a", "z"];
const PORTS: [u16; 9] = [1, 53, 79, 80, 81, 443, 8080, 32768, 65535];
/// Messages that open a flow of their own.
const ICMP_TYPES: [u16; 4] = [8, 13, 128, 139];
/// Peers that are no pods: outside, and what nodes have besides what their objects tell, and what
/// nobody is known to have.
const OTHERS: [&str; 16] = [
    "192.0.2.1",
    "192.0.2.77",
    "198.51.100.9",
    "2001:db8::1",
    "2001:db8:1::1",
    "10.244.9.9",
    "fd00:10:244:9::9",
    "127.0.0.1",
    "255.255.255.255",
    "169.254.1.1",
    "169.254.169.254",
    "10.244.0.1",
    "10.77.1.1",
    "fe80::1",
    "fe80::2",
    "fe80::77",
];
/// Addresses that a node's agent reads; those of the other node are known in part.
const OWN: [&str; 3] = ["169.254.1.1", "10.244.0.1", "fe80::1"];
const OTHERS_OWN: [&str; 2] = ["169.254.1.1", "fe80::2"];
const CIDRS: [&str; 16] = [
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
    "10.244.9.0/24",
    "10.77.1.0/24",
    "127.0.0.0/16",
    "169.254.0.0/16",
    "fe80::/64",
    "fe80::77/128",
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

/// What a namespace wants to be seen; mostly nothing.
fn visibility() -> impl Strategy<Value = Visibility> {
    (prop::bool::weighted(0.15), prop::bool::weighted(0.15))
        .prop_map(|(http, dns)| Visibility { http, dns })
}

/// What DNS has said to pods, pods' own addresses among it.
fn names() -> impl Strategy<Value = Answers> {
    let answer = (
        0..6usize,
        select(vec![
            "a.example",
            "x.a.example",
            "b.test",
            r"b\046a.example",
        ]),
        select(vec![
            "192.0.2.1",
            "192.0.2.77",
            "2001:db8::1",
            "10.244.0.2",
            "10.244.9.9",
            "fe80::1",
        ]),
    );
    vec(answer, 0..8).prop_map(|answers| {
        let mut names = Answers::new();
        for (pod, name, text) in answers {
            // The pods' namespaces are found out later.
            let of_pod = names
                .entry(PodName::new("", format!("pod-{pod}")))
                .or_default();
            let of_name: &mut BTreeSet<IpAddr> = of_pod.entry(name.into()).or_default();
            of_name.insert(address(text));
        }
        names
    })
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
        "10.244.9.9",
        "fe80::77",
    ]);
    let service = (
        select(NAMESPACES.to_vec()),
        labels(),
        vec((backend.clone(), select(PORTS.to_vec())), 0..3),
        select(FRONTS.to_vec()),
        (
            vec(select(FRONTS.to_vec()), 0..2),
            select(NODE_PORTS.to_vec()),
        ),
    );
    (vec(service, 0..3), vec(backend, 0..2)).prop_map(|(services, apiserver)| {
        let apiserver: Vec<_> = apiserver.into_iter().map(|text| (text, 6443)).collect();
        services
            .into_iter()
            .enumerate()
            .map(|(index, (namespace, labels, backends, front, others))| {
                let name = format!("s{index}");
                (namespace, name, labels, backends, Some(front), others)
            })
            .chain([(
                "default",
                "kubernetes".to_owned(),
                Labels::default(),
                apiserver,
                None,
                (Vec::new(), None),
            )])
            .map(
                |(namespace, name, labels, backends, front, others)| Service {
                    namespace: namespace.into(),
                    name,
                    labels,
                    addresses: front.into_iter().map(address).collect(),
                    external: others.0.into_iter().map(address).collect(),
                    ports: vec![ServicePort {
                        name: String::new(),
                        protocol: Protocol::Tcp,
                        port: 80,
                        node_port: others.1,
                        backends: backends
                            .into_iter()
                            .map(|(text, port)| (address(text), port))
                            .collect(),
                    }],
                    ..Service::default()
                },
            )
            .collect()
    })
}

/// Two nodes, and whether somebody tells the ranges of pods.
fn nodes() -> impl Strategy<Value = (Vec<Node>, BTreeSet<IpNet>)> {
    let prefix = |text: &str| text.parse().expect("the alphabets hold prefixes");
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, labels()).prop_map(move |((read, local_route, told, option), labels)| {
        let node = |name: &str, addresses: [&str; 2], more: &[&str]| Node {
            name: name.into(),
            labels: labels.clone(),
            addresses: addresses
                .iter()
                .chain(more.iter().filter(|_| read))
                .map(|text| address(text))
                .collect(),
            prefixes: Vec::new(),
            pod_ranges: match told {
                true => vec![prefix("10.244.0.0/16"), prefix("fd00:10:244::/48")],
                false => Vec::new(),
            },
        };
        let mut own = node(NODE, ["172.18.0.2", "fd00:18::2"], &OWN);
        if local_route {
            own.prefixes.push(prefix("10.77.0.0/16"));
        }
        let other = node("node-b", ["172.18.0.3", "fd00:18::3"], &OTHERS_OWN);
        let ranges = option.then(|| prefix("10.244.8.0/21"));
        (vec![own, other], ranges.into_iter().collect())
    })
}

/// Worlds of up to six pods on one of two nodes and up to four policies.
pub fn world() -> impl Strategy<Value = World> {
    let pod = (
        select(NAMESPACES.to_vec()),
        labels(),
        vec(select(PORTS.to_vec()), 0..3),
        any::<bool>(),
        option::weighted(0.2, visibility()),
    );
    let cluster = select(CLUSTERS.to_vec());
    let objects = (vec(pod, 1..7), vec((labels(), visibility()), 3), services());
    (cluster, objects, names(), nodes(), policies::policies()).prop_map(
        |(cluster, (pods, namespaces, services), names, (nodes, pod_ranges), policies)| World {
            cluster: cluster.parse().expect("a name"),
            names: (names.into_iter())
                .filter_map(|(pod, answers)| {
                    let index: usize = pod.name.strip_prefix("pod-")?.parse().ok()?;
                    Some((PodName::new(pods.get(index)?.0, pod.name), answers))
                })
                .collect(),
            namespaces: NAMESPACES
                .iter()
                .zip(namespaces)
                .map(|(name, (labels, visibility))| {
                    ((*name).to_owned(), Namespace { labels, visibility })
                })
                .collect(),
            pods: pods
                .into_iter()
                .enumerate()
                .map(
                    |(index, (namespace, labels, ports, here, visibility))| Pod {
                        visibility,
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
                    },
                )
                .collect(),
            nodes,
            services,
            policies,
            pod_ranges,
            ..World::default()
        },
    )
}

/// The same, where pods have addresses of other pods, of nodes and of services.
pub fn contested_world() -> impl Strategy<Value = World> {
    let taken = select(vec!["10.244.0.2", "fd00:10:244::3", "172.18.0.3"]);
    (
        world(),
        vec((0..6usize, taken.clone()), 1..4),
        option::of(taken),
    )
        .prop_map(|(mut world, claims, of_service)| {
            for (pod, text) in claims {
                if let Some(pod) = world.pods.get_mut(pod) {
                    pod.addresses.push(address(text));
                }
            }
            if let (Some(text), Some(service)) = (of_service, world.services.first_mut()) {
                service.addresses.push(address(text));
            }
            world
        })
}

/// Flows of a world's pods with pods, nodes and the outside.
pub fn flow(world: &World) -> impl Strategy<Value = SideFlow> + use<> {
    let mut peers: Vec<IpAddr> = OTHERS.iter().map(|text| address(text)).collect();
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
pub fn address(text: &str) -> IpAddr {
    text.parse().expect("the alphabets hold addresses")
}
