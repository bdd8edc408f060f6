//! What shows why a connection was judged as it was shows the same: explain and simulate, which are
//! asked, and the record of the kernel's event, in every form in which it is written. (Of requests:
//! `policy/src/reason/tests.rs`.)

use std::{sync::Arc, time::UNIX_EPOCH};

use proptest::prelude::*;
use weir_policy::{
    compile::{Compiler, Local, Snapshot},
    explain::Explainer,
    model::{Policy, World},
    testing::{
        SideFlow,
        generate::{NODE, address as parsed, world_and_flows},
        sample,
    },
    verdict::SideVerdict,
};

use super::*;
use crate::{
    json, log, print, record,
    testing::{mapped, names, policy, syn},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn records_say_what_explain_and_simulate_say((world, flows) in world_and_flows(30)) {
        let world = Arc::new(world);
        let snapshot = Compiler::new().compile(&world, Local::Node(NODE));
        let names = Directory::new(NODE, Arc::clone(&world), Arc::new(snapshot), |_| None);
        let mut reasoner = Reasoner::new(&names);
        let mut simulator = Simulator::new(&world);
        let mut explainer = Explainer::new(&world);
        for flow in flows {
            let Some((asked, mut event)) = event(&world, &names.snapshot, flow) else {
                continue;
            };
            let of_side = |egress: SideVerdict, ingress: SideVerdict| match flow.direction {
                Direction::Ingress => ingress,
                Direction::Egress => egress,
            };
            let told = simulator.judge(&asked).expect("a verdict");
            let told = of_side(told.egress, told.ingress);
            let explained = explainer.explain(&asked).expect("an explanation");
            prop_assert_eq!(&told, &of_side(explained.egress.side, explained.ingress.side));
            if told.reason == Reason::OwnNode.to_string() {
                (event.reason, event.verdict) = (counter::PASS_NODE, verdict::ALLOW);
            }
            let reasons = reasoner.reasons(&event);
            let why = &reasons.why;
            prop_assert_eq!(&why.reason, &told.reason, "{:?}", asked);
            let nearest = told.nearest_miss.map(|miss| miss.text).unwrap_or_default();
            prop_assert_eq!(&why.nearest_miss, &nearest, "{:?}", asked);
            let rules = why.policies.iter().zip(&why.rules);
            let rules = rules.filter(|(_, field)| !field.is_empty());
            let rules: Vec<RuleRef> = rules.map(|(policy, field)| RuleRef::new(policy, field)).collect();
            prop_assert_eq!(&rules, &told.decided_by, "{:?}", asked);
            shown(&event, &names, &reasons)?;
        }
    }

    // Each flow of some pod, and the same with the peers of all others: peers of one class come
    // one after the other, in any order.
    #[test]
    fn no_record_is_about_another_flow(
        (world, flows) in world_and_flows(ASKED),
        order in Just((0..ASKED * ASKED).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let world = Arc::new(world);
        let snapshot = Compiler::new().compile(&world, Local::Node(NODE));
        let names = Directory::new(NODE, Arc::clone(&world), Arc::new(snapshot), |_| None);
        let mut reasoner = Reasoner::new(&names);
        for index in order {
            let (flow, other) = (flows[index / ASKED], flows[index % ASKED]);
            let icmp = matches!(flow.protocol, Protocol::Icmp | Protocol::Icmpv6);
            if icmp && flow.peer.is_ipv6() != other.peer.is_ipv6() {
                continue;
            }
            let asked = SideFlow { peer: other.peer, ..flow };
            let Some((_, event)) = event(&world, &names.snapshot, asked) else {
                continue;
            };
            let alone = Reasoner::new(&names).reasons(&event);
            prop_assert_eq!(reasoner.reasons(&event), alone, "{:?}", asked);
        }
    }
}

/// Flows of a world whose peers are exchanged.
const ASKED: usize = 4;

#[test]
fn peers_of_one_class_are_each_named_by_their_own_address() {
    let names = policy(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
          metadata: {name: office, namespace: default}, \
          spec: {podSelector: {matchLabels: {app: httpbin}}, \
                 ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}}",
    );
    let from = |peer: &str| Event {
        source: mapped(peer),
        class: names.snapshot.address(parsed(peer)).expect("a class").class,
        ..syn(&names, verdict::DENY)
    };
    let peers = ["203.0.113.77", "198.51.100.99", "203.0.113.77"];
    let events = peers.map(from);
    assert_eq!(events[0].class, events[1].class);
    let mut reasoner = Reasoner::new(&names);
    for (peer, event) in peers.iter().zip(&events) {
        let miss = reasoner.reasons(event).why.nearest_miss;
        assert!(miss.contains(peer), "{peer}: {miss}");
    }
}

#[test]
fn a_policy_by_number_is_the_number_of_the_event() {
    let names = names(["one", "two"].map(of_name).into());
    let mut reasoner = Reasoner::new(&names);
    for (number, name) in &names.snapshot.policies {
        let event = Event {
            class: u32::MAX,
            policy: *number,
            ..syn(&names, verdict::DENY)
        };
        let reason = reasoner.reasons(&event).why.reason;
        assert!(reason.contains(&**name), "{name}: {reason}");
    }
}

fn of_name(name: &str) -> Policy {
    let spec = serde_json::json!({
        "endpointSelector": {},
        "ingressDeny": [{"fromEntities": ["world"]}],
    });
    sample::policy(&sample::cilium_policy(name, spec))
}

/// The reasons stand in every form of the record as they are: in the flow log, in what `observe
/// --why` prints, and in the JSON that the map in the browser reads.
fn shown(event: &Event, names: &Directory, reasons: &Reasons) -> Result<(), TestCaseError> {
    let why = &reasons.why;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    for flow in record::verdicts(event, UNIX_EPOCH, names, reasons) {
        let line = log::line(&flow);
        let reason = format!(" reason={}", quoted(&why.reason));
        prop_assert!(line.contains(&reason), "{}", line);
        let nearest = format!(" nearest={}", quoted(&why.nearest_miss));
        prop_assert_eq!(line.contains(&nearest), !why.nearest_miss.is_empty());
        let told = print::told(&flow);
        prop_assert!(told.starts_with(&why.reason), "{}", told);
        prop_assert!(told.ends_with(&why.nearest_miss), "{}", told);
        let value = json::to_value(&flow);
        let field = |name: &str| value["weir"][name].as_str().unwrap_or_default().to_owned();
        prop_assert_eq!(field("reason"), why.reason.clone());
        prop_assert_eq!(field("nearest_miss"), why.nearest_miss.clone());
    }
    Ok(())
}

/// The flow as it is asked about, and the event that the kernel makes of its first packet; `None`
/// where it makes none, or judges a backend in place of the address.
fn event(world: &World, snapshot: &Snapshot, flow: SideFlow) -> Option<(Flow, Event)> {
    let pod = world.pods.get(flow.pod)?;
    let endpoint = snapshot.endpoint(&pod.id())?;
    let v6 = flow.peer.is_ipv6();
    let own = *pod.addresses.iter().find(|own| own.is_ipv6() == v6)?;
    let (from, to) = match flow.direction {
        Direction::Ingress => (flow.peer, own),
        Direction::Egress => (own, flow.peer),
    };
    let icmp = matches!(flow.protocol, Protocol::Icmp | Protocol::Icmpv6);
    // Who asks about ICMP asks about an echo.
    let echo = u16::from(weir_abi::protocol::ECHO_REQUEST);
    let echo_v6 = u16::from(weir_abi::protocol::ECHO_REQUEST_V6);
    let other = icmp && flow.port != if v6 { echo_v6 } else { echo };
    let itself = pod.addresses.contains(&flow.peer);
    if itself || other || world.service_at(to, flow.protocol, flow.port).is_some() {
        return None;
    }
    let side = snapshot.sets.get(&endpoint.set)?.side(flow.direction);
    let class = snapshot.address(flow.peer)?.class;
    let decision = side.decide(
        snapshot.classes.get(&class)?,
        Slot::of(flow.protocol),
        flow.port,
    );
    let event = Event {
        source: mapped(&from.to_string()),
        destination: mapped(&to.to_string()),
        destination_port: if icmp { 0 } else { flow.port },
        set: endpoint.set,
        class,
        revision: snapshot.revision as u32,
        direction: match flow.direction {
            Direction::Ingress => direction::INGRESS,
            Direction::Egress => direction::EGRESS,
        },
        verdict: match decision.verdict {
            Verdict::Allow => verdict::ALLOW,
            Verdict::L7 => verdict::REDIRECT,
            Verdict::Deny => verdict::DENY,
            Verdict::Audit => verdict::AUDIT,
            Verdict::L7Audit => verdict::AUDIT_REDIRECT,
        },
        protocol: number(flow.protocol),
        // Of TCP its flags: a SYN.
        detail: if icmp { flow.port as u8 } else { 2 },
        ..Event::default()
    };
    let asked = Flow {
        from: from.to_string(),
        to: to.to_string(),
        protocol: flow.protocol,
        port: (!icmp).then_some(flow.port),
        port_name: None,
        http: None,
    };
    Some((asked, event))
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => weir_abi::protocol::TCP,
        Protocol::Udp => weir_abi::protocol::UDP,
        Protocol::Sctp => weir_abi::protocol::SCTP,
        Protocol::Icmp => weir_abi::protocol::ICMP,
        Protocol::Icmpv6 => weir_abi::protocol::ICMPV6,
    }
}
