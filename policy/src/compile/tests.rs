//! The compiled engine against the naive evaluator, and the promises that updates rest on.

mod seen;

use proptest::{prelude::*, strategy::ValueTree};

use super::*;
use crate::{
    http::Request,
    l7::{Judge, L7Table, RequestFlow},
    model::Direction,
    testing::{
        HOST, SideFlow,
        generate::{FRONTS, NODE, address, contested_world, flow, world, world_and_flows},
        naive,
    },
};

fn side(set: &PolicySet, direction: Direction) -> &DirectionSet {
    match direction {
        Direction::Ingress => &set.ingress,
        Direction::Egress => &set.egress,
    }
}

/// The verdict of a policy set of one snapshot on an address as another snapshot classes it.
fn decide(sets: &Snapshot, classes: &Snapshot, world: &World, flow: SideFlow) -> Verdict {
    let endpoint = match flow.pod {
        HOST => match sets.host() {
            Some(host) => host,
            None => return Verdict::Allow,
        },
        pod => (sets.endpoint(&world.pods[pod].id())).expect("an endpoint"),
    };
    let side = side(&sets.sets[&endpoint.set], flow.direction);
    if !side.enforced() {
        return Verdict::Allow;
    }
    let class = classes
        .address(flow.peer)
        .expect("every address has an entry")
        .class;
    let atoms = &classes.classes[&class];
    let decision = side.decide(atoms, Slot::of(flow.protocol), flow.port);
    let segments = side.segments(atoms);
    let segment = segments
        .iter()
        .find(|s| s.slot == Slot::of(flow.protocol) && (s.first..=s.last).contains(&flow.port))
        .expect("segments have no gaps");
    assert_eq!(
        segment.decision, decision,
        "segments and single decisions agree"
    );
    decision.verdict
}

fn everywhere() -> Local<'static> {
    Local::Everywhere { node: NODE }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// 100,000 flows a run: 1,000 worlds of 100 flows.
    #[test]
    fn the_engine_agrees_with_the_naive_evaluator((world, flows) in world_and_flows(100)) {
        let snapshot = Compiler::new().compile(&world, everywhere());
        for flow in flows {
            let (expected, _) = naive::judge(&world, NODE, flow);
            prop_assert_eq!(decide(&snapshot, &snapshot, &world, flow), expected, "{:?}", flow);
        }
    }

    /// The same of the node itself, where some policy selects it.
    #[test]
    fn the_engine_agrees_about_the_node((world, flows) in world_and_flows(100)) {
        let snapshot = Compiler::new().compile(&world, everywhere());
        for flow in flows {
            let flow = SideFlow { pod: HOST, ..flow };
            let (expected, _) = naive::judge(&world, NODE, flow);
            prop_assert_eq!(decide(&snapshot, &snapshot, &world, flow), expected, "{:?}", flow);
        }
    }

    /// A flow goes by the service, and by no other, that its address and port are of.
    #[test]
    fn services_lead_where_the_naive_evaluator_says(world in world()) {
        let others = ["172.18.0.2", "fd00:18::3", "169.254.1.1", "127.0.0.1", "10.244.0.2", "192.0.2.1"];
        for text in FRONTS.iter().chain(&others) {
            let address = address(text);
            for port in [80, 81, 30080, 30081] {
                let found = world.service_at(address, Protocol::Tcp, port);
                let found = found.map(|(_, port)| port.backends_of(address.is_ipv6()).collect());
                let expected = naive::backends(&world, address, port);
                prop_assert_eq!(found.unwrap_or_else(Vec::new), expected, "{}:{}", text, port);
                prop_assert!(world.service_at(address, Protocol::Udp, port).is_none());
            }
        }
    }

    /// An address of two owners is granted nothing of either.
    #[test]
    fn the_engine_agrees_about_addresses_with_more_than_one_owner(
        world in contested_world(),
        seed in any::<prop::sample::Index>(),
    ) {
        let snapshot = Compiler::new().compile(&world, everywhere());
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..40 + seed.index(9) {
            let flow = flow(&world).new_tree(&mut runner).expect("a flow").current();
            let (expected, _) = naive::judge(&world, NODE, flow);
            prop_assert_eq!(decide(&snapshot, &snapshot, &world, flow), expected, "{:?}", flow);
        }
    }

    /// What the proxy decides is what the rules say, request by request.
    #[test]
    fn the_proxys_table_agrees_with_the_naive_evaluator(
        (world, flows) in world_and_flows(60),
        method in prop::sample::select(vec!["GET", "POST", "HEAD"]),
        path in prop::sample::select(vec!["/", "/a", "/a/1", "/a/b", "/b?x=1", "/a/1?x=1"]),
        host in prop::sample::select(vec![Some("h"), Some("h:80"), Some("other"), None]),
        body in any::<bool>(),
    ) {
        let snapshot = Compiler::new().compile(&world, everywhere());
        let index = |name: &str| name.strip_prefix("pod-").and_then(|n| n.parse::<u16>().ok()).map(|n| n + 1);
        let table = L7Table::new(&snapshot, |pod| index(&pod.name));
        let sent: L7Table = serde_json::from_str(&serde_json::to_string(&table).expect("serialises"))
            .expect("the table survives its way");
        for flow in flows.into_iter().filter(|flow| flow.protocol == Protocol::Tcp) {
            let (verdict, rules) = naive::judge(&world, NODE, flow);
            let expected = match verdict {
                Verdict::Allow | Verdict::Audit | Verdict::L7Audit => true,
                Verdict::Deny => false,
                Verdict::L7 => naive::request_allowed(&rules, method, path, host, body),
            };
            let request = Request { method, path: Some(path), host, headers: &[], body };
            let on = RequestFlow {
                endpoint: flow.pod as u16 + 1,
                direction: flow.direction,
                peer: flow.peer,
                protocol: flow.protocol,
                port: flow.port,
            };
            let judged = sent.judge(on, &request);
            prop_assert_eq!(judged.allowed, expected, "{:?}: {}", flow, judged.reason);
            let audited = verdict == Verdict::L7Audit
                && !naive::request_allowed(&rules, method, path, host, body);
            prop_assert_eq!(judged.audit, audited, "{:?}: {}", flow, judged.reason);
        }
    }

    /// Ids never change their meaning, and while a change is under way every policy set, old or
    /// new, judges every class, old or new, as its own policies say.
    #[test]
    fn a_change_is_correct_at_every_step(
        (before, after) in (world(), world()),
        seed in any::<prop::sample::Index>(),
    ) {
        // Pods, nodes, namespaces and services stay, the policies change.
        let after = World {
            cluster: before.cluster.clone(),
            pods: before.pods.clone(),
            namespaces: before.namespaces.clone(),
            services: before.services.clone(),
            names: before.names.clone(),
            nodes: before.nodes.clone(),
            pod_ranges: before.pod_ranges.clone(),
            ..after
        };
        let mut compiler = Compiler::new();
        let old = compiler.compile(&before, everywhere());
        let new = compiler.compile(&after, everywhere());
        for (id, set) in &new.sets {
            if let Some(earlier) = old.sets.get(id) {
                for (class, atoms) in &new.classes {
                    for direction in Direction::BOTH {
                        prop_assert_eq!(
                            side(earlier, direction).segments(atoms),
                            side(set, direction).segments(atoms),
                            "set {} on class {}", id, class
                        );
                    }
                }
            }
        }
        for (id, atoms) in &new.classes {
            if let Some(earlier) = old.classes.get(id) {
                prop_assert_eq!(earlier, atoms, "class {}", id);
            }
        }
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..20 + seed.index(5) {
            let flow = flow(&before).new_tree(&mut runner).expect("a flow").current();
            let (expected, _) = naive::judge(&before, NODE, flow);
            prop_assert_eq!(decide(&old, &new, &before, flow), expected, "old set: {:?}", flow);
            let (expected, _) = naive::judge(&after, NODE, flow);
            prop_assert_eq!(decide(&new, &new, &after, flow), expected, "{:?}", flow);
        }
    }
}

#[test]
fn an_address_of_two_owners_is_told_and_allows_nothing() {
    let pod = |name: &str, address: &str| Pod {
        namespace: "x".into(),
        name: name.into(),
        addresses: vec![address.parse().expect("an address")],
        ..Pod::default()
    };
    let world = World {
        pods: vec![
            pod("a", "10.244.0.2"),
            pod("b", "10.244.0.2"),
            pod("c", "172.18.0.2"),
            pod("d", "10.96.0.1"),
            pod("e", "10.244.0.3"),
        ],
        nodes: vec![crate::model::Node {
            name: "n".into(),
            addresses: vec!["172.18.0.2".parse().expect("an address")],
            ..Default::default()
        }],
        services: vec![crate::model::Service {
            addresses: vec!["10.96.0.1".parse().expect("an address")],
            ..Default::default()
        }],
        ..World::default()
    };
    let snapshot = Compiler::new().compile(&world, everywhere());
    let owners: Vec<_> = snapshot
        .contested
        .values()
        .map(|all| all.join(" "))
        .collect();
    assert_eq!(
        owners,
        ["a service Pod/x/d", "Pod/x/a Pod/x/b", "a node Pod/x/c"]
    );
    for (prefix, entry) in &snapshot.addresses {
        let contested = snapshot.contested.contains_key(&prefix.addr());
        let first = snapshot.classes[&entry.class].first();
        assert_eq!(first == Some(&CONTESTED), contested, "{prefix}");
    }
}
