//! Packets that ask for one behaviour each.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use weir_policy::model::{
    Action, HttpRule, NamespaceScope, Node, ObjectRef, Peer, Peers, Pod, PodSelector, Policy,
    PolicyKind, PolicySpec, Port, PortMatch, Protocol, Rule, Section, Selector, Service,
    ServicePort, World,
};
use weir_redirector::lower::Placement;

use crate::{
    bench::{Bench, LOOPBACK, Result, Way},
    packet::{ACK, Craft, SYN, checksum, pseudo_checksum},
};

const POD: [&str; 2] = ["10.244.0.2", "fd00:10:244::2"];
const BACKEND: [&str; 2] = ["10.244.0.3", "fd00:10:244::3"];
const CLIENT: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const SERVICE: [&str; 2] = ["10.96.0.7", "fd00:10:96::7"];
const EVERY_FAMILY: [usize; 2] = [0, 1];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn rule(peers: Peers, port: Option<u16>, http: Option<Vec<HttpRule>>) -> Rule {
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
fn world(ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) -> World {
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
        }],
        services: vec![Service {
            labels: Default::default(),
            namespace: "x".into(),
            name: "svc".into(),
            addresses: SERVICE.map(ip).into(),
            ports: [Protocol::Tcp, Protocol::Udp]
                .map(|protocol| ServicePort {
                    protocol,
                    port: 8000,
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
                subject: PodSelector {
                    namespaces: NamespaceScope::All,
                    pods: Selector::new([weir_policy::model::Requirement::equals(
                        weir_policy::model::Key::Label("app".into()),
                        "subject",
                    )]),
                },
                ingress: section(ingress),
                egress: section(egress),
            }],
        }],
        ..World::default()
    }
}

fn backend_only() -> Peers {
    Peers::OneOf(vec![Peer::Pods(PodSelector {
        namespaces: NamespaceScope::All,
        pods: Selector::new([weir_policy::model::Requirement::equals(
            weir_policy::model::Key::Label("app".into()),
            "backend",
        )]),
    })])
}

#[test]
fn replies_pass_and_strays_do_not() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    for family in EVERY_FAMILY {
        let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let reply = Craft::new(client, pod, protocol)
                .ports(80, 4000)
                .detail(SYN | ACK);
            assert_eq!(
                bench.run(Way::ToPod, &reply.build()),
                Result::Drop,
                "before: {protocol}"
            );
            let open = Craft::new(pod, client, protocol).ports(4000, 80);
            assert_eq!(bench.run(Way::FromPod, &open.build()), Result::Pass);
            assert_eq!(
                bench.run(Way::ToPod, &reply.build()),
                Result::Pass,
                "after: {protocol}"
            );
            let other = Craft::new(client, pod, protocol)
                .ports(81, 4000)
                .detail(SYN | ACK);
            assert_eq!(
                bench.run(Way::ToPod, &other.build()),
                Result::Drop,
                "other port: {protocol}"
            );
        }
        // The other end of an open connection cannot open one back over it.
        let back = Craft::new(client, pod, Protocol::Tcp).ports(80, 4000);
        assert_eq!(bench.run(Way::ToPod, &back.build()), Result::Drop);
        let ping = Craft::new(pod, client, Protocol::Icmp).ports(9, 9);
        let pong = Craft::new(client, pod, Protocol::Icmp)
            .ports(9, 9)
            .detail(if family == 0 { 0 } else { 129 });
        assert_eq!(bench.run(Way::ToPod, &pong.build()), Result::Drop);
        assert_eq!(bench.run(Way::FromPod, &ping.build()), Result::Pass);
        assert_eq!(bench.run(Way::ToPod, &pong.build()), Result::Pass);
        let ping_back = Craft::new(client, pod, Protocol::Icmp).ports(9, 9);
        assert_eq!(bench.run(Way::ToPod, &ping_back.build()), Result::Drop);
    }
}

#[test]
fn icmp_errors_pass_only_for_tracked_flows() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    for family in EVERY_FAMILY {
        let (pod, client, router) = (
            ip(POD[family]),
            ip(CLIENT[family]),
            ip(["198.51.100.1", "2001:db8:ffff::1"][family]),
        );
        let open = Craft::new(pod, client, Protocol::Udp)
            .ports(5000, 53)
            .build();
        let mut error = Craft::new(router, pod, Protocol::Icmp)
            .ports(0, 0)
            .detail(if family == 0 { 3 } else { 1 });
        error.payload = open[14..].to_vec();
        assert_eq!(
            bench.run(Way::ToPod, &error.build()),
            Result::Drop,
            "not tracked yet"
        );
        assert_eq!(bench.run(Way::FromPod, &open), Result::Pass);
        assert_eq!(
            bench.run(Way::ToPod, &error.build()),
            Result::Pass,
            "tracked"
        );
        error.payload.truncate(20);
        assert_eq!(
            bench.run(Way::ToPod, &error.build()),
            Result::Drop,
            "quotes too little"
        );
    }
}

#[test]
fn neighbour_discovery_is_never_blocked() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), Some(vec![])), 0);
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 2, 0x08, 0x06], &[0; 28]].concat();
    let link_local = ip("fe80::1");
    for way in [Way::ToPod, Way::FromPod] {
        assert_eq!(bench.run(way, &arp), Result::Pass);
        for kind in 133..=137 {
            let nd = Craft::new(link_local, ip(POD[1]), Protocol::Icmp).detail(kind);
            assert_eq!(bench.run(way, &nd.build()), Result::Pass, "type {kind}");
            // From beyond the link its hop limit is not 255 any more.
            let mut far = nd.build();
            far[21] = 64;
            assert_eq!(bench.run(way, &far), Result::Drop, "type {kind} from afar");
        }
    }
    let lldp = [
        &[1, 0x80, 0xc2, 0, 0, 0x0e][..],
        &[2, 0, 0, 0, 0, 2, 0x88, 0xcc],
        &[0; 40],
    ]
    .concat();
    assert_eq!(
        bench.run(Way::ToPod, &lldp),
        Result::Drop,
        "what is not IP cannot be judged"
    );
}

#[test]
fn the_nodes_own_packets_pass_and_are_never_proxied() {
    let mut bench = Bench::new();
    bench.install(
        &world(Some(vec![rule(Peers::Any, Some(80), Some(vec![]))]), None),
        0,
    );
    for family in EVERY_FAMILY {
        let node = ip(["172.18.0.2", "fd00:18::2"][family]);
        let probe = Craft::new(node, ip(POD[family]), Protocol::Tcp)
            .ports(6000, 80)
            .build();
        assert_eq!(bench.run_on(Way::ToPod, &probe, 0).0, Result::Pass);
        let forwarded = Craft::new(node, ip(POD[family]), Protocol::Tcp)
            .ports(6001, 80)
            .build();
        assert_eq!(
            bench.run_on(Way::ToPod, &forwarded, 9).0,
            Result::Redirect,
            "not its own"
        );
    }
}

#[test]
fn headers_that_cannot_be_read_are_dropped() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    let tcp = Craft::new(ip(CLIENT[0]), ip(POD[0]), Protocol::Tcp).build();
    // The kernel runs no shorter frame than one with an IP header.
    for length in 14 + 20..14 + 20 + 14 {
        assert_eq!(
            bench.run(Way::ToPod, &tcp[..length]),
            Result::Drop,
            "{length} bytes"
        );
    }
    let mut short_header = tcp.clone();
    short_header[14] = 0x44;
    assert_eq!(bench.run(Way::ToPod, &short_header), Result::Drop);
    let mut extensions = Craft::new(ip(CLIENT[1]), ip(POD[1]), Protocol::Tcp);
    extensions.extensions = 7;
    assert_eq!(bench.run(Way::ToPod, &extensions.build()), Result::Pass);
    extensions.extensions = 9;
    assert_eq!(
        bench.run(Way::ToPod, &extensions.build()),
        Result::Drop,
        "endless extensions"
    );
    assert!(bench.counter("drop_malformed") > 0);
}

#[test]
fn fragments_follow_their_first_one() {
    let mut bench = Bench::new();
    bench.install(
        &world(Some(vec![rule(Peers::Any, Some(80), None)]), None),
        0,
    );
    for family in EVERY_FAMILY {
        for (port, expected) in [(80, Result::Pass), (81, Result::Drop)] {
            let id = u32::from(port);
            let mut first =
                Craft::new(ip(CLIENT[family]), ip(POD[family]), Protocol::Tcp).ports(7000, port);
            first.payload = vec![0; 12];
            let mut later = first.clone();
            first.fragment = Some((0, true, id));
            later.fragment = Some((4, false, id));
            let orphan = Craft {
                fragment: Some((4, false, id + 1000)),
                ..later.clone()
            };
            assert_eq!(
                bench.run(Way::ToPod, &orphan.build()),
                Result::Drop,
                "no first one"
            );
            assert_eq!(
                bench.run(Way::ToPod, &first.build()),
                expected,
                "first to {port}"
            );
            assert_eq!(
                bench.run(Way::ToPod, &later.build()),
                expected,
                "later to {port}"
            );
        }
    }
    assert!(bench.counter("drop_fragment") > 0);
}

#[test]
fn a_pod_cannot_use_anothers_address() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        let own = Craft::new(ip(POD[family]), ip(CLIENT[family]), Protocol::Udp);
        assert_eq!(bench.run(Way::FromPod, &own.build()), Result::Pass);
        for other in [BACKEND[family], ["203.0.113.5", "2001:db8::5"][family]] {
            let spoofed = Craft::new(ip(other), ip(CLIENT[family]), Protocol::Udp);
            assert_eq!(
                bench.run(Way::FromPod, &spoofed.build()),
                Result::Drop,
                "{other}"
            );
        }
    }
    assert_eq!(bench.counter("drop_spoofed"), 4);
}

#[test]
fn services_are_judged_by_their_backend_and_translated_back() {
    let mut bench = Bench::new();
    let to_backend = rule(backend_only(), Some(80), None);
    bench.install(&world(None, Some(vec![to_backend])), 0);
    for family in EVERY_FAMILY {
        let (pod, service, backend) = (ip(POD[family]), ip(SERVICE[family]), ip(BACKEND[family]));
        let dial = Craft::new(pod, service, Protocol::Tcp).ports(8001, 8000);
        let (result, out) = bench.run_on(Way::FromPod, &dial.build(), 9);
        assert_eq!(result, Result::Pass);
        let expected = Craft::new(pod, backend, Protocol::Tcp)
            .ports(8001, 80)
            .build();
        assert_eq!(out, expected, "addresses, ports and both checksums");
        let data = dial.clone().detail(ACK);
        let (result, out) = bench.run_on(Way::FromPod, &data.build(), 9);
        assert_eq!(result, Result::Pass);
        assert_eq!(
            out,
            Craft::new(pod, backend, Protocol::Tcp)
                .ports(8001, 80)
                .detail(ACK)
                .build()
        );
        let reply = Craft::new(backend, pod, Protocol::Tcp)
            .ports(80, 8001)
            .detail(SYN | ACK);
        let (result, out) = bench.run_on(Way::ToPod, &reply.build(), 9);
        assert_eq!(result, Result::Pass);
        let expected = Craft::new(service, pod, Protocol::Tcp)
            .ports(8000, 8001)
            .detail(SYN | ACK);
        assert_eq!(out, expected.build(), "the reply comes from the service");
        // UDP is translated too, and denied: the rule is for TCP.
        let udp = Craft::new(pod, service, Protocol::Udp).ports(8001, 8000);
        assert_eq!(bench.run(Way::FromPod, &udp.build()), Result::Drop);
    }
}

/// A client port that is used directly and by a service, one after the other, is one flow in the
/// table: the answer comes from the address that was asked last.
#[test]
fn answers_come_from_the_address_that_was_asked_last() {
    let mut bench = Bench::new();
    bench.install(
        &world(None, Some(vec![rule(backend_only(), None, None)])),
        0,
    );
    for family in EVERY_FAMILY {
        let (pod, service, backend) = (ip(POD[family]), ip(SERVICE[family]), ip(BACKEND[family]));
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let craft = |from, to| Craft::new(from, to, protocol);
            let dial = craft(pod, backend).ports(8011, 80).build();
            assert_eq!(bench.run(Way::FromPod, &dial), Result::Pass);
            for (asked, port) in [(service, 8000), (backend, 80), (service, 8000)] {
                let data = craft(pod, asked).ports(8011, port).detail(ACK).build();
                let (result, out) = bench.run_on(Way::FromPod, &data, 9);
                let expected = craft(pod, backend).ports(8011, 80).detail(ACK).build();
                assert_eq!((result, out), (Result::Pass, expected));
                let reply = craft(backend, pod).ports(80, 8011).detail(ACK).build();
                let (result, out) = bench.run_on(Way::ToPod, &reply, 9);
                let expected = craft(asked, pod).ports(port, 8011).detail(ACK).build();
                assert_eq!(
                    (result, out),
                    (Result::Pass, expected),
                    "{protocol:?} {asked}"
                );
            }
        }
    }
}

#[test]
fn translated_datagrams_keep_right_checksums() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        for port in [1, 53, 8001, 65535] {
            let dial =
                Craft::new(ip(POD[family]), ip(SERVICE[family]), Protocol::Udp).ports(port, 8000);
            let (_, out) = bench.run_on(Way::FromPod, &dial.build(), 9);
            let transport = if family == 0 { 34 } else { 54 };
            let (pod, backend) = (ip(POD[family]), ip(BACKEND[family]));
            assert_eq!(
                pseudo_checksum(pod, backend, 17, &out[transport..]),
                0,
                "port {port}"
            );
            if family == 0 {
                assert_eq!(checksum(&out[14..34], 0), 0, "the IP header");
            }
        }
    }
}

#[test]
fn a_client_keeps_its_backend_where_the_service_wants_affinity() {
    for family in EVERY_FAMILY {
        let mut bench = Bench::new();
        let mut world = world(None, None);
        let backend = |number: u8| {
            let address = ["192.0.2.", "2001:db8::"][family].to_owned() + &number.to_string();
            (ip(&address), 80)
        };
        world.services[0].client_affinity = true;
        let mut port = 2000;
        let mut dial = |bench: &mut Bench| {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..20 {
                port += 1;
                let dial = Craft::new(ip(POD[family]), ip(SERVICE[family]), Protocol::Tcp);
                let (_, out) = bench.run_on(Way::FromPod, &dial.ports(port, 8000).build(), 9);
                let destination = if family == 0 {
                    &out[30..34]
                } else {
                    &out[38..54]
                };
                seen.insert(*destination.last().unwrap());
            }
            assert_eq!(seen.len(), 1, "one backend: {seen:?}");
            seen.pop_first().unwrap()
        };
        world.services[0].ports[0].backends = (1..6).map(backend).collect();
        bench.install(&world, 0);
        let chosen = dial(&mut bench);
        // Others come and go.
        world.services[0].ports[0].backends = (1..9)
            .filter(|number| *number == chosen || number % 2 == 0)
            .map(backend)
            .collect();
        bench.install(&world, 0);
        assert_eq!(dial(&mut bench), chosen);
        // Its own goes.
        world.services[0].ports[0].backends = (1..9)
            .filter(|number| *number != chosen)
            .map(backend)
            .collect();
        bench.install(&world, 0);
        let next = dial(&mut bench);
        assert_ne!(next, chosen);
        assert_eq!(dial(&mut bench), next);
    }
}

/// An error about a packet to a service quotes what left the node; the pod knows the service only.
#[test]
fn icmp_errors_of_translated_flows_quote_the_service() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let (pod, service, backend) =
                (ip(POD[family]), ip(SERVICE[family]), ip(BACKEND[family]));
            let dial = Craft::new(pod, service, protocol).ports(8010, 8000).build();
            let (_, sent) = bench.run_on(Way::FromPod, &dial, 9);
            let mut error = Craft::new(backend, pod, Protocol::Icmp)
                .ports(0, 0)
                .detail(if family == 0 { 3 } else { 1 });
            error.payload = sent[14..].to_vec();
            let mut error = error.build();
            let (transport, network) = if family == 0 { (34, 20) } else { (54, 40) };
            let sum = |error: &[u8]| match family {
                0 => checksum(&error[transport..], 0),
                _ => pseudo_checksum(backend, pod, 58, &error[transport..]),
            };
            let right = sum(&error).to_be_bytes();
            error[transport + 2..transport + 4].copy_from_slice(&right);
            let (result, out) = bench.run_on(Way::ToPod, &error, 9);
            assert_eq!(result, Result::Pass);
            assert_eq!(sum(&out), 0, "{protocol}: checksum of the error");
            let quote = &out[transport + 8..];
            let header = quote.len() - (dial.len() - 14);
            assert_eq!(header, 0, "{protocol}: nothing else changes");
            // Addresses and ports as the pod sent them, and a right IP header.
            assert_eq!(quote[..network], dial[14..14 + network], "{protocol}");
            assert_eq!(
                quote[network..network + 4],
                dial[14 + network..18 + network]
            );
        }
    }
}

#[test]
fn a_new_revision_rejudges_tracked_flows() {
    let mut bench = Bench::new();
    let open = world(None, None);
    bench.install(&open, 0);
    let (pod, client) = (ip(POD[0]), ip(CLIENT[0]));
    let syn = Craft::new(client, pod, Protocol::Tcp).ports(9000, 80);
    let data = syn.clone().detail(ACK).build();
    let reply = Craft::new(pod, client, Protocol::Tcp)
        .ports(80, 9000)
        .detail(ACK)
        .build();
    assert_eq!(bench.run(Way::ToPod, &syn.build()), Result::Pass);
    assert_eq!(bench.run(Way::ToPod, &data), Result::Pass);
    // What now needs the proxy goes there, in both directions, and meets no socket.
    let http = rule(Peers::Any, Some(80), Some(vec![]));
    bench.install(&world(Some(vec![http]), None), 0);
    assert_eq!(bench.run(Way::ToPod, &data), Result::Redirect);
    assert_eq!(bench.run(Way::FromPod, &reply), Result::Redirect);
    // What is denied now is cut at once, for good, and in both directions.
    bench.install(&world(Some(vec![]), None), 0);
    for _ in 0..2 {
        assert_eq!(bench.run(Way::FromPod, &reply), Result::Drop);
        assert_eq!(bench.run(Way::ToPod, &data), Result::Drop);
    }
    bench.install(&open, 0);
    assert_eq!(
        bench.run(Way::ToPod, &data),
        Result::Redirect,
        "no way back"
    );
    assert!(bench.counter("rejudged") >= 2);
}

#[test]
fn a_denied_flow_stays_denied_until_it_is_opened_anew() {
    for family in EVERY_FAMILY {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let mut bench = Bench::new();
            bench.install(&world(None, None), 0);
            let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
            let opening = Craft::new(client, pod, protocol).ports(9000, 80);
            let data = opening.clone().detail(ACK).build();
            let reply = Craft::new(pod, client, protocol).ports(80, 9000);
            let reply = reply.detail(ACK).build();
            assert_eq!(bench.run(Way::ToPod, &opening.build()), Result::Pass);
            bench.install(&world(Some(vec![]), None), 0);
            assert_eq!(bench.run(Way::ToPod, &data), Result::Drop);
            for _ in 0..2 {
                assert_eq!(bench.run(Way::FromPod, &reply), Result::Drop, "{protocol}");
                assert_eq!(bench.run(Way::ToPod, &data), Result::Drop, "{protocol}");
            }
            bench.install(&world(None, None), 0);
            assert_eq!(bench.run(Way::FromPod, &reply), Result::Pass, "{protocol}");
            assert_eq!(bench.run(Way::ToPod, &data), Result::Pass, "{protocol}");
        }
    }
}

/// Connections that are older than the programs, or whose entry was evicted.
#[test]
fn a_connection_met_in_the_middle_is_judged_by_its_ports() {
    for family in EVERY_FAMILY {
        let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
        let from_pod = |local, remote, flags| {
            let craft = Craft::new(pod, client, Protocol::Tcp);
            craft.ports(local, remote).detail(flags).build()
        };
        let to_pod = |local, remote, flags| {
            let craft = Craft::new(client, pod, Protocol::Tcp);
            craft.ports(remote, local).detail(flags).build()
        };
        // No ingress, free egress: a server's answer is no flow of its own, a client's data is.
        let mut bench = Bench::new();
        bench.install(&world(Some(vec![]), None), 0);
        let mut run = |way, packet: &[u8]| bench.run(way, packet);
        assert_eq!(run(Way::FromPod, &from_pod(80, 40000, ACK)), Result::Drop);
        assert_eq!(run(Way::ToPod, &to_pod(80, 40000, ACK)), Result::Drop);
        assert_eq!(
            run(Way::FromPod, &from_pod(80, 40000, SYN | ACK)),
            Result::Drop
        );
        assert_eq!(run(Way::ToPod, &to_pod(40001, 80, ACK)), Result::Pass);
        assert_eq!(run(Way::FromPod, &from_pod(40001, 80, ACK)), Result::Pass);
        assert_eq!(run(Way::FromPod, &from_pod(80, 81, ACK)), Result::Pass);
        assert_eq!(run(Way::ToPod, &to_pod(83, 82, ACK)), Result::Drop);
        // Where no policy selects the pod, nothing is held against it.
        bench.install(&world(None, None), 0);
        let accept = from_pod(80, 40002, SYN | ACK);
        assert_eq!(bench.run(Way::FromPod, &accept), Result::Pass);
        bench.install(&world(Some(vec![]), None), 0);
        assert_eq!(bench.run(Way::FromPod, &accept), Result::Drop);
    }
}

/// More pods than the node's maps have room for: the change is refused with the map's name, and
/// what had no room is never open.
#[test]
fn a_full_map_opens_nothing() {
    let mut bench = Bench::new();
    let closed = world(Some(vec![]), Some(vec![]));
    bench.install(&closed, 0);
    let from_backend = Craft::new(ip(BACKEND[0]), ip(POD[0]), Protocol::Tcp)
        .ports(9000, 80)
        .build();
    assert_eq!(bench.run(Way::ToPod, &from_backend), Result::Drop);
    let mut crowded = closed.clone();
    for number in 0..5000u32 {
        let mut pod = closed.pods[0].clone();
        pod.name = format!("crowd-{number}");
        pod.addresses = vec![Ipv4Addr::from_bits(0x0a80_0000 + number).into()];
        crowded.pods.push(pod);
    }
    let places: BTreeMap<&str, u16> = crowded
        .pods
        .iter()
        .zip(2..)
        .map(|(pod, place)| (pod.name.as_str(), place))
        .collect();
    let place = |_: &str, name: &str| {
        Some(Placement {
            index: *places.get(name)?,
            interface: match name {
                "subject" => LOOPBACK,
                _ => u32::from(*places.get(name)?),
            },
        })
    };
    let refused = bench
        .place(&crowded, place)
        .expect_err("no room")
        .to_string();
    assert!(
        refused.contains("INTERFACES") || refused.contains("ENDPOINTS"),
        "{refused}"
    );
    // Judged as before, and the next change that fits is taken.
    assert_eq!(bench.run(Way::ToPod, &from_backend), Result::Drop);
    bench.install(
        &world(Some(vec![rule(backend_only(), Some(80), None)]), None),
        0,
    );
    assert_eq!(bench.run(Way::ToPod, &from_backend), Result::Pass);
}

#[test]
fn an_interface_without_an_endpoint_passes_nothing() {
    let mut bench = Bench::new();
    let packet = Craft::new(ip(CLIENT[0]), ip(POD[0]), Protocol::Tcp).build();
    assert_eq!(bench.run(Way::ToPod, &packet), Result::Drop);
    assert_eq!(bench.counter("drop_no_endpoint"), 1);
}
