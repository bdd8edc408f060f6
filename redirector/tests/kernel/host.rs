//! The node's own traffic under host policies.

use std::net::TcpListener;

use weir_policy::{
    compile::{Snapshot, Verdict},
    model::{
        Entity, HostFlow, HostPolicies, ObjectRef, Peer, Peers, Policy, PolicyKind, PolicySpec,
        PortMatch, Protocol, Rule, Section, Selector, Service, ServicePort, Subjects, World,
    },
    testing::{HOST, SideFlow, generate, naive},
};

use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN},
    small::{BACKEND, CLIENT, EVERY_FAMILY, POD, ip, rule, world},
};

const NODE: [&str; 2] = ["172.18.0.2", "fd00:18::2"];
const OTHER_NODE: [&str; 2] = ["172.18.0.3", "fd00:18::3"];
const INDEX: u16 = 9;

/// A world whose node is isolated in the directions that have rules.
fn host_world(ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) -> World {
    let section = |rules: Option<Vec<Rule>>| Section {
        isolates: rules.is_some(),
        rules: rules.unwrap_or_default(),
    };
    let mut world = world(None, None);
    world.nodes.push(weir_policy::model::Node {
        name: "node-b".into(),
        addresses: OTHER_NODE.map(ip).into(),
        ..Default::default()
    });
    world.policies.push(Policy {
        audit: false,
        object: ObjectRef {
            kind: PolicyKind::CiliumClusterwideNetworkPolicy,
            namespace: String::new(),
            name: "host".into(),
        },
        specs: vec![PolicySpec {
            tier: Default::default(),
            subject: Subjects::Nodes(Selector::default()),
            ingress: section(ingress),
            egress: section(egress),
        }],
    });
    world
}

fn install(bench: &mut Bench, world: &World) -> Snapshot {
    let placed = bench.place(world, |of| {
        of.namespace
            .is_empty()
            .then_some(weir_redirector::Placement {
                index: INDEX,
                interface: weir_abi::host::HOST,
            })
    });
    placed.expect("the maps take the world")
}

fn entity(of: Entity) -> Peers {
    Peers::OneOf(vec![Peer::Entity(of)])
}

fn to_node(from: &str, family: usize, port: u16) -> Craft {
    Craft::new(ip(from), ip(NODE[family]), Protocol::Tcp).ports(40_000, port)
}

#[test]
fn without_a_host_policy_nothing_is_judged() {
    let mut bench = Bench::new();
    install(&mut bench, &world(Some(vec![]), Some(vec![])));
    for family in EVERY_FAMILY {
        let packet = to_node(CLIENT[family], family, 22).build();
        assert_eq!(bench.run(Way::ToHost, &packet), Result::Pass);
    }
    assert!(bench.events().is_empty());
}

#[test]
fn the_node_is_reached_as_its_policy_says_and_answers() {
    let mut bench = Bench::new();
    let rules = vec![rule(entity(Entity::World), Some(22), None)];
    install(&mut bench, &host_world(Some(rules), None));
    for family in EVERY_FAMILY {
        for (from, port, wanted) in [
            (CLIENT[family], 22, Result::Pass),
            (CLIENT[family], 23, Result::Drop),
            (BACKEND[family], 22, Result::Drop),
        ] {
            let packet = to_node(from, family, port).build();
            assert_eq!(bench.run(Way::ToHost, &packet), wanted, "{from} {port}");
        }
        let answer = Craft::new(ip(NODE[family]), ip(CLIENT[family]), Protocol::Tcp)
            .ports(22, 40_000)
            .detail(SYN | ACK);
        assert_eq!(bench.run(Way::FromHost, &answer.build()), Result::Pass);
        // What is not the node's is not judged here.
        let through = Craft::new(ip(CLIENT[family]), ip(POD[family]), Protocol::Tcp);
        assert_eq!(bench.run(Way::ToHost, &through.build()), Result::Pass);
    }
    let denied = bench.events().into_iter();
    let denied = denied.filter(|event| event.verdict == weir_abi::policy::verdict::DENY);
    assert_eq!(
        denied.map(|event| event.endpoint).collect::<Vec<_>>(),
        [INDEX; 4]
    );
}

#[test]
fn what_the_node_sends_is_judged_and_its_answers_come_back() {
    let mut bench = Bench::new();
    let dns = Rule {
        ports: vec![weir_policy::model::PortMatch {
            protocol: Protocol::Udp,
            port: weir_policy::model::Port::Range(53, 53),
        }],
        ..rule(entity(Entity::World), None, None)
    };
    install(&mut bench, &host_world(Some(vec![]), Some(vec![dns])));
    for family in EVERY_FAMILY {
        let query = |port| {
            let craft = Craft::new(ip(NODE[family]), ip(CLIENT[family]), Protocol::Udp);
            craft.ports(5000, port).build()
        };
        let answer = |port| {
            let craft = Craft::new(ip(CLIENT[family]), ip(NODE[family]), Protocol::Udp);
            craft.ports(port, 5000).build()
        };
        assert_eq!(
            bench.run(Way::ToHost, &answer(53)),
            Result::Drop,
            "not asked"
        );
        assert_eq!(bench.run(Way::FromHost, &query(53)), Result::Pass);
        assert_eq!(bench.run(Way::ToHost, &answer(53)), Result::Pass);
        assert_eq!(bench.run(Way::FromHost, &query(54)), Result::Drop);
        assert_eq!(bench.run(Way::ToHost, &answer(54)), Result::Drop);
    }
}

#[test]
fn what_a_node_cannot_live_without_is_never_cut() {
    let mut bench = Bench::new();
    let mut world = host_world(Some(vec![]), Some(vec![]));
    let api = [OTHER_NODE[0], NODE[0], OTHER_NODE[1], NODE[1]];
    world.services.push(Service {
        namespace: "default".into(),
        name: "kubernetes".into(),
        ports: vec![ServicePort {
            name: String::new(),
            protocol: Protocol::Tcp,
            port: 443,
            node_port: None,
            backends: api.map(|address| (ip(address), 6443)).into(),
        }],
        ..Service::default()
    });
    install(&mut bench, &world);
    let mut passed = 0;
    for family in EVERY_FAMILY {
        let to = |to: &str, protocol, ports: (u16, u16)| {
            let craft = Craft::new(ip(NODE[family]), ip(to), protocol);
            craft.ports(ports.0, ports.1).build()
        };
        let from = |from: &str, protocol, ports: (u16, u16)| {
            let craft = Craft::new(ip(from), ip(NODE[family]), protocol);
            craft.ports(ports.0, ports.1).build()
        };
        let dhcp = [(68, 67), (546, 547)][family];
        for (way, packet, wanted) in [
            (
                Way::FromHost,
                to(OTHER_NODE[family], Protocol::Tcp, (1, 6443)),
                true,
            ),
            (
                Way::FromHost,
                to(OTHER_NODE[family], Protocol::Tcp, (2, 22)),
                false,
            ),
            (
                Way::FromHost,
                to(POD[family], Protocol::Tcp, (3, 8080)),
                true,
            ),
            (
                Way::FromHost,
                to(CLIENT[family], Protocol::Tcp, (4, 8080)),
                false,
            ),
            (Way::FromHost, to(CLIENT[family], Protocol::Udp, dhcp), true),
            (
                Way::FromHost,
                to(CLIENT[family], Protocol::Udp, (1068, dhcp.1)),
                false,
            ),
            (
                Way::ToHost,
                from(CLIENT[family], Protocol::Tcp, (5, 6443)),
                true,
            ),
            (
                Way::ToHost,
                from(CLIENT[family], Protocol::Tcp, (6, 10250)),
                false,
            ),
            (
                Way::ToHost,
                from(OTHER_NODE[family], Protocol::Tcp, (7, 10250)),
                true,
            ),
            (
                Way::ToHost,
                from(BACKEND[family], Protocol::Tcp, (8, 10250)),
                true,
            ),
            (
                Way::ToHost,
                from(BACKEND[family], Protocol::Tcp, (9, 10251)),
                false,
            ),
        ] {
            let got = bench.run(way, &packet) == Result::Pass;
            assert_eq!(got, wanted, "{way:?} {family} {packet:?}");
            passed += u64::from(got);
        }
    }
    assert_eq!(bench.counter("pass_guarded"), passed);
}

#[test]
fn in_audit_mode_nothing_is_denied_and_all_is_told() {
    let mut bench = Bench::new();
    let mut world = host_world(Some(vec![]), None);
    world.host_policies = HostPolicies::Audit;
    install(&mut bench, &world);
    let packet = to_node(CLIENT[0], 0, 22).build();
    assert_eq!(bench.run(Way::ToHost, &packet), Result::Pass);
    assert_eq!(bench.counter("pass_audited"), 1);
    world.host_policies = HostPolicies::Off;
    install(&mut bench, &world);
    bench.events();
    assert_eq!(bench.run(Way::ToHost, &packet), Result::Pass);
    assert!(bench.events().is_empty());
}

/// Who opened a connection that is older than the programs is told by the node's sockets alone.
#[test]
fn in_the_middle_of_a_connection_the_nodes_sockets_are_asked() {
    let mut bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let far = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let far_port = far.local_addr().expect("an address").port();
    let (_near, _) = listener.accept().expect("the connection");
    // Loopback addresses are the node's; from its devices' view nothing comes from there but in
    // this test, so what says to is let through by the private link alone.
    let packet = |from: u16, to: u16, detail| {
        let craft = Craft::new(ip("127.0.0.1"), ip("127.0.0.1"), Protocol::Tcp);
        craft.ports(from, to).detail(detail).build()
    };
    let run = |bench: &mut Bench, from, to, detail| {
        bench.run_on(Way::ToHost, &packet(from, to, detail), 1).0
    };
    let ingress = vec![rule(entity(Entity::Host), Some(port), None)];
    install(&mut bench, &host_world(Some(ingress), Some(vec![])));
    assert_eq!(
        run(&mut bench, far_port, port, ACK),
        Result::Pass,
        "the listener's"
    );
    assert_eq!(run(&mut bench, 9, port, ACK), Result::Drop, "no connection");
    assert_eq!(bench.counter("drop_untracked"), 1);
    assert_eq!(
        run(&mut bench, 9, 9, ACK),
        Result::Pass,
        "nobody's, or another's"
    );
    assert_eq!(bench.counter("pass_met"), 1);
    // The other end of the same connection was opened from there.
    assert_eq!(run(&mut bench, port, far_port, ACK), Result::Drop);
    let egress = vec![rule(entity(Entity::Host), Some(port), None)];
    install(&mut bench, &host_world(Some(vec![]), Some(egress)));
    assert_eq!(run(&mut bench, port, far_port, ACK), Result::Pass);
    assert_eq!(run(&mut bench, far_port, port, ACK), Result::Drop);
}

#[test]
fn ports_that_lead_to_pods_are_theirs() {
    let mut bench = Bench::new();
    let mut world = host_world(Some(vec![]), None);
    world.services[0].ports[0].node_port = Some(30_080);
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let own = listener.local_addr().expect("an address").port();
    let second = TcpListener::bind("0.0.0.0:0").expect("a port");
    let other = second.local_addr().expect("an address").port();
    let mut more = world.services[0].clone();
    more.name = "more".into();
    more.ports[0].node_port = Some(other);
    world.services.push(more);
    world.pods[0].host_ports = vec![(Protocol::Tcp, 8080), (Protocol::Tcp, own)];
    install(&mut bench, &world);
    for (port, wanted) in [
        (30_080, Result::Pass),
        (8080, Result::Pass),
        (30_081, Result::Drop),
        // Who makes a pod or a service does not open what the node serves.
        (own, Result::Drop),
        (other, Result::Drop),
    ] {
        let packet = to_node(CLIENT[0], 0, port).build();
        assert_eq!(bench.run(Way::ToHost, &packet), wanted, "{port}");
    }
}

#[test]
fn nobody_speaks_for_the_node() {
    let mut bench = Bench::new();
    install(&mut bench, &host_world(Some(vec![]), None));
    for family in EVERY_FAMILY {
        // Sent on to somebody else it would make way for an answer to the node.
        for to in [NODE[family], CLIENT[family], POD[family]] {
            let forged = Craft::new(ip(NODE[family]), ip(to), Protocol::Udp).ports(53, 53);
            assert_eq!(
                bench.run(Way::ToHost, &forged.build()),
                Result::Drop,
                "{to}"
            );
        }
    }
    assert_eq!(bench.counter("drop_spoofed"), 6);
    let to_group = Craft::new(ip(NODE[1]), ip("ff02::1"), Protocol::Udp).ports(53, 53);
    assert_eq!(bench.run(Way::ToHost, &to_group.build()), Result::Drop);
    assert_eq!(bench.counter("drop_spoofed"), 7);
}

/// Who floods what the node serves leaves it room for what it opens itself.
#[test]
fn what_others_open_uses_up_nothing_of_the_nodes() {
    let mut bench = Bench::new();
    bench.share = 64;
    let ports = Some(7053);
    let udp = |rule: Rule| Rule {
        ports: rule
            .ports
            .into_iter()
            .map(|port| PortMatch {
                protocol: Protocol::Udp,
                ..port
            })
            .collect(),
        ..rule
    };
    let ingress = vec![udp(rule(entity(Entity::World), ports, None))];
    let egress = vec![rule(entity(Entity::World), Some(80), None)];
    install(&mut bench, &host_world(Some(ingress), Some(egress)));
    for port in 1..=500 {
        let asks = Craft::new(ip(CLIENT[0]), ip(NODE[0]), Protocol::Udp).ports(port, 7053);
        assert_eq!(
            bench.run(Way::ToHost, &asks.build()),
            Result::Pass,
            "{port}"
        );
        let answers = Craft::new(ip(NODE[0]), ip(CLIENT[0]), Protocol::Udp).ports(7053, port);
        bench.run(Way::FromHost, &answers.build());
    }
    for port in 1..=60 {
        let opens = Craft::new(ip(NODE[0]), ip(CLIENT[0]), Protocol::Tcp).ports(1000 + port, 80);
        assert_eq!(
            bench.run(Way::FromHost, &opens.build()),
            Result::Pass,
            "{port}"
        );
    }
    assert_eq!(bench.counter("drop_table_full"), 0);
}

#[test]
fn every_way_to_say_the_node_is_the_node() {
    let mut bench = Bench::new();
    install(&mut bench, &host_world(Some(vec![]), None));
    for (from, to) in [
        ("0.0.0.0", "0.0.0.0"),
        (CLIENT[0], "255.255.255.255"),
        (CLIENT[0], "224.0.0.1"),
        (CLIENT[1], "ff02::1"),
        ("fe80::9", "fe80::1"),
    ] {
        let packet = Craft::new(ip(from), ip(to), Protocol::Udp).ports(9, 9999);
        assert_eq!(
            bench.run(Way::ToHost, &packet.build()),
            Result::Drop,
            "{to}"
        );
    }
    // IPv4 in the addresses of IPv6 has the keys of IPv4, and is nobody's packet.
    let mut mapped = Craft::new(ip(CLIENT[1]), ip(NODE[1]), Protocol::Udp)
        .ports(9, 9999)
        .build();
    let v4 = |last: [u8; 4]| weir_abi::mapped(last);
    for (own, to) in [
        ([172, 18, 0, 2], [192, 0, 2, 1]),
        ([192, 0, 2, 1], [172, 18, 0, 2]),
    ] {
        mapped[14 + 8..14 + 24].copy_from_slice(&v4(own));
        mapped[14 + 24..14 + 40].copy_from_slice(&v4(to));
        for way in [Way::ToHost, Way::FromHost] {
            let got = bench.run(way, &mapped);
            let theirs = way == Way::ToHost && to == [192, 0, 2, 1];
            assert!(theirs || got == Result::Drop, "{way:?} {own:?} {got:?}");
        }
    }
}

#[test]
fn what_a_socket_of_the_node_sends_is_the_nodes() {
    let mut bench = Bench::new();
    install(&mut bench, &host_world(None, Some(vec![])));
    for family in EVERY_FAMILY {
        let foreign = ["203.0.113.7", "2001:db8:77::7"][family];
        let packet = Craft::new(ip(foreign), ip(CLIENT[family]), Protocol::Udp).ports(9, 9999);
        assert_eq!(
            bench.run(Way::FromHost, &packet.build()),
            Result::Drop,
            "{foreign}"
        );
        // By a pod's address, too; but on fragments a pod's socket may still be there.
        let mut pods =
            Craft::new(ip(POD[family]), ip(CLIENT[family]), Protocol::Udp).ports(9, 9999);
        assert_eq!(bench.run(Way::FromHost, &pods.build()), Result::Drop);
        pods.payload = vec![0; 1200];
        pods.fragment = Some((0, true, 9));
        assert_eq!(bench.run(Way::FromHost, &pods.build()), Result::Pass);
        let own = Craft::new(ip(NODE[family]), ip(CLIENT[family]), Protocol::Udp).ports(9, 9999);
        for mark in [weir_abi::mark::HAIRPIN, weir_abi::mark::REFUSAL] {
            let got = bench.run_marked(Way::FromHost, &own.build(), mark).0;
            assert_eq!(got, Result::Drop, "{mark:x}");
        }
        let mut tagged = own.build();
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x00]);
        assert_eq!(
            bench.run(Way::FromHost, &tagged),
            Result::Drop,
            "a tag in the frame"
        );
    }
}

/// Random worlds and flows of the node: what the naive evaluator says, but for what is never cut.
#[test]
fn the_kernel_agrees_about_the_node() {
    use proptest::strategy::{Strategy as _, ValueTree as _};

    let mut bench = Bench::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut port, mut seen) = (1024u16, [0usize; 2]);
    for _ in 0..250 {
        let world = generate::world()
            .new_tree(&mut runner)
            .expect("a world")
            .current();
        if install(&mut bench, &world).host().is_none() {
            continue;
        }
        for _ in 0..100 {
            let flow = generate::flow(&world)
                .new_tree(&mut runner)
                .expect("a flow")
                .current();
            let flow = SideFlow { pod: HOST, ..flow };
            let own = ip(NODE[usize::from(flow.peer.is_ipv6())]);
            if !matches!(
                flow.protocol,
                Protocol::Tcp | Protocol::Udp | Protocol::Sctp
            ) || world.place(flow.peer, generate::NODE)
                == (weir_policy::model::Place::Node { local: true })
            {
                continue;
            }
            // The bench takes every pod for one of this node.
            let mut pods = world.pods.iter();
            let elsewhere = |pod: &weir_policy::model::Pod| pod.node != generate::NODE;
            if pods.any(|pod| elsewhere(pod) && pod.addresses.contains(&flow.peer)) {
                continue;
            }
            port = port.wrapping_add(1).max(1024);
            let ingress = flow.direction == weir_policy::model::Direction::Ingress;
            let packet = match ingress {
                true => Craft::new(flow.peer, own, flow.protocol).ports(port, flow.port),
                false => Craft::new(own, flow.peer, flow.protocol).ports(port, flow.port),
            };
            let never_cut = world.never_cut(
                generate::NODE,
                HostFlow {
                    direction: flow.direction,
                    own,
                    peer: flow.peer,
                    protocol: flow.protocol,
                    port: flow.port,
                },
            );
            let (verdict, _) = naive::judge(&world, generate::NODE, flow);
            let passes = verdict != Verdict::Deny || never_cut.is_some();
            let way = if ingress { Way::ToHost } else { Way::FromHost };
            let got = bench.run(way, &packet.build()) == Result::Pass;
            assert_eq!(got, passes, "{flow:?} {verdict:?} {never_cut:?}");
            seen[usize::from(passes)] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 500), "{seen:?}");
}
