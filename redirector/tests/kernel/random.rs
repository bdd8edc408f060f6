//! Thousands of random (policy, packet) pairs: zero differences.

use std::net::IpAddr;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use weir_policy::{
    compile::Verdict,
    model::{Direction, Protocol, World},
    testing::{
        SideFlow,
        generate::{NODE, flow, world},
        naive,
    },
};

use weir_redirector::check::{Check, check};

use crate::{
    bench::{Bench, Result, Way},
    disguise::{Fate, Guise},
    packet::Craft,
};

const WORLDS: usize = 150;
const PACKETS: usize = 110;

#[test]
fn the_kernel_agrees_with_the_naive_evaluator() {
    let mut bench = Bench::new();
    let mut runner = TestRunner::deterministic();
    // Every packet a flow of its own: what one leaves in the tables must not meet the next.
    let mut port = 1024u16;
    // Those of ICMP without an identifier are the same for ever: one of each.
    let mut unnumbered = std::collections::HashSet::new();
    let (mut checked, mut differing) = (0, 0);
    let (mut pairs, mut seen) = (0, [0usize; 3]);
    let mut guises = std::collections::BTreeSet::new();
    for _ in 0..WORLDS {
        let world = world().new_tree(&mut runner).expect("a world").current();
        for pod in 0..world.pods.len() {
            let snapshot = bench.install(&world, pod);
            bench.events();
            let endpoint = &world.pods[pod];
            let own_set = snapshot
                .endpoint(&endpoint.id())
                .and_then(|endpoint| snapshot.sets.get(&endpoint.set));
            let free = own_set.is_none_or(|set| !set.ingress.denies() && !set.egress.denies());
            for _ in 0..PACKETS / world.pods.len() {
                let flow = flow(&world)
                    .new_tree(&mut runner)
                    .expect("a flow")
                    .current();
                let flow = SideFlow { pod, ..flow };
                let Some(own) = own_address(&world, flow) else {
                    continue;
                };
                let numbered = match flow.protocol {
                    Protocol::Icmp => flow.port == 8,
                    Protocol::Icmpv6 => flow.port == 128,
                    Protocol::Tcp | Protocol::Udp | Protocol::Sctp => true,
                };
                if !numbered && !unnumbered.insert((own, flow.peer, flow.port)) {
                    continue;
                }
                port = port.wrapping_add(1).max(1024);
                let trimmings = any::<(u8, u8)>()
                    .new_tree(&mut runner)
                    .expect("bytes")
                    .current();
                let expected = expected(&world, flow);
                let error = SideFlow {
                    protocol: match own {
                        IpAddr::V4(_) => Protocol::Icmp,
                        IpAddr::V6(_) => Protocol::Icmpv6,
                    },
                    port: if own.is_ipv6() { 1 } else { 3 },
                    ..flow
                };
                let fate = Fate {
                    flow: expected,
                    error: self::expected(&world, error),
                    free,
                };
                let (way, packet) = craft(flow, own, port, trimmings);
                let context = || {
                    let name = world.pods[pod].id();
                    format!("{flow:?} of {name} (own address {own}) in {world:#?}")
                };
                // In any guise it has the verdict of its flow, or none.
                let guise = Guise::any()
                    .new_tree(&mut runner)
                    .expect("a guise")
                    .current();
                if guise == Guise::Quoted && !unnumbered.insert((own, flow.peer, error.port)) {
                    continue;
                }
                for (frame, expected) in guise.frames(way, &packet, fate) {
                    let result = bench.run(way, &frame);
                    assert_eq!(result, expected, "{guise:?}: {}", context());
                }
                guises.insert(format!("{guise:?}"));
                let dressed = guise != Guise::Plain;
                if dressed {
                    // Its events are of fragments and of what cannot be read.
                    bench.events();
                    continue;
                }
                // And so does the agent's own check of what the kernel told of it.
                let name = world.pods[pod].id();
                for event in bench.events() {
                    assert_eq!(check(&event, &snapshot, &name), Check::Agrees, "{event:?}");
                    checked += 1;
                    let mut other = event;
                    other.verdict = (event.verdict + 1) % 3;
                    let found = check(&other, &snapshot, &name);
                    assert!(!matches!(found, Check::Unknown), "{event:?}");
                    differing += usize::from(found != Check::Agrees);
                }
                pairs += 1;
                seen[expected as usize] += 1;
            }
        }
    }
    assert!(checked > 5000 && differing > 4000, "{checked} {differing}");
    println!(
        "{pairs} pairs: {} passed, {} dropped, {} to the proxy",
        seen[0], seen[1], seen[2]
    );
    assert!(pairs > 5000, "only {pairs} pairs");
    assert_eq!(guises.len(), Guise::COUNT, "{guises:?}");
    assert!(
        seen.iter().all(|count| *count > 100),
        "too uniform: {seen:?}"
    );
}

fn own_address(world: &World, flow: SideFlow) -> Option<IpAddr> {
    let own = world.pods[flow.pod]
        .addresses
        .iter()
        .find(|address| address.is_ipv6() == flow.peer.is_ipv6())?;
    // A pod's packets to itself never leave it.
    (*own != flow.peer).then_some(*own)
}

fn expected(world: &World, flow: SideFlow) -> Result {
    match naive::judge(world, NODE, flow).0 {
        Verdict::Allow | Verdict::Audit => Result::Pass,
        Verdict::L7 => Result::Redirect,
        // Only flows that begin: a packet without SYN cannot be one.
        Verdict::L7Audit => Result::Redirect,
        Verdict::Deny => Result::Drop,
    }
}

fn craft(flow: SideFlow, own: IpAddr, port: u16, (options, extensions): (u8, u8)) -> (Way, Craft) {
    let (way, source, destination) = match flow.direction {
        Direction::Ingress => (Way::ToPod, flow.peer, own),
        Direction::Egress => (Way::FromPod, own, flow.peer),
    };
    let mut packet = Craft::new(source, destination, flow.protocol);
    packet = match flow.protocol {
        // The echo identifier stands where the ports do.
        Protocol::Icmp | Protocol::Icmpv6 => packet.ports(port, port).detail(flow.port as u8),
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => packet.ports(port, flow.port),
    };
    packet.options = usize::from(options % 11);
    packet.extensions = usize::from(extensions % 4);
    (way, packet)
}
