//! The self-check: what the kernel decided on a live flow, derived once more from the snapshot.
//!
//! The kernel decides from map entries; this decides from the rules. A difference means that the
//! maps do not say what the policies say, and is never expected.

use weir_abi::{
    counter,
    event::Event,
    policy::{direction, verdict},
    protocol,
};
use weir_policy::{
    compile::{Slot, Snapshot, Verdict},
    model::PodName,
};

use crate::maps::address;

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Kernel and rules agree.
    Agrees,
    /// They do not; what the rules say.
    Differs(Verdict),
    /// It cannot be said: the event is of another revision, its endpoint is gone, or what rules say
    /// did not count, because the node itself sent the packet, or cannot live without it.
    Unknown,
}

/// Checks one event of a pod's.
pub fn check(event: &Event, snapshot: &Snapshot, pod: &PodName) -> Check {
    let uncounted = matches!(event.reason, counter::PASS_NODE | counter::PASS_GUARDED);
    if event.revision != snapshot.revision as u32 || uncounted {
        return Check::Unknown;
    }
    let Some(endpoint) = snapshot.endpoint(pod) else {
        return Check::Unknown;
    };
    // The packet may be an answer, so which end is the endpoint's is told by the addresses.
    let (source, destination) = (address(event.source), address(event.destination));
    let sent = endpoint.addresses.contains(&source);
    // Link-local on both sides, or to a group: which end is the endpoint's is not told.
    if !sent && !endpoint.addresses.contains(&destination) {
        return Check::Unknown;
    }
    let (peer, own_port, peer_port) = if sent {
        (destination, event.source_port, event.destination_port)
    } else {
        (source, event.destination_port, event.source_port)
    };
    let (Some(set), Some(atoms)) = (
        snapshot.sets.get(&endpoint.set),
        snapshot
            .address(peer)
            .and_then(|entry| snapshot.classes.get(&entry.class)),
    ) else {
        return Check::Unknown;
    };
    let ingress = event.direction == direction::INGRESS;
    let side = if ingress { &set.ingress } else { &set.egress };
    let port = if ingress { own_port } else { peer_port };
    let (slot, judged_port) = match event.protocol {
        protocol::TCP => (Slot::Tcp, port),
        protocol::UDP => (Slot::Udp, port),
        protocol::SCTP => (Slot::Sctp, port),
        protocol::ICMP => (Slot::Icmp, request_type(event)),
        protocol::ICMPV6 => (Slot::Icmpv6, request_type(event)),
        _ => (Slot::Other, 0),
    };
    let wanted = match side.enforced() {
        true => side.decide(atoms, slot, judged_port).verdict,
        false => Verdict::Allow,
    };
    let same = match wanted {
        Verdict::Allow => event.verdict == verdict::ALLOW,
        Verdict::L7 => event.verdict == verdict::REDIRECT,
        Verdict::Deny => event.verdict == verdict::DENY,
        Verdict::Audit => event.verdict == verdict::AUDIT,
        // Flows that began before, or without a proxy, pass by it.
        Verdict::L7Audit => matches!(event.verdict, verdict::ALLOW | verdict::REDIRECT),
    };
    match same {
        true => Check::Agrees,
        false => Check::Differs(wanted),
    }
}

fn request_type(event: &Event) -> u16 {
    u16::from(protocol::request_type(event.protocol, event.detail))
}
