//! The programs at a pod's veth: whose packet it is, which flow it belongs to, and what becomes of
//! it: [`tracked`] where the flow is known, [`fresh`] where it is not.

mod fresh;
mod refuse;
pub mod related;
mod tracked;

pub use refuse::Refusal;

use aya_ebpf::{bindings::TC_ACT_SHOT, helpers::generated::bpf_redirect, programs::TcContext};
use weir_abi::{
    conntrack::{Connection, ConnectionKey},
    counter, mark,
    policy::{
        Endpoint,
        direction::{EGRESS, INGRESS},
    },
    protocol,
};

use crate::{
    maps::{CONFIG, ENDPOINTS, Scratch, scratch},
    neighbour,
    packet::{self, Kind, Packet, Part},
    service::{self, Translated},
    tell::{self, drop, fail, pass},
    tracking, words,
};

/// Judges one packet at a pod's veth; `FROM_POD` says which way it goes.
#[inline(always)]
pub fn handle<const FROM_POD: bool>(ctx: &TcContext) -> i32 {
    // SAFETY: the context is valid for the run of the program.
    let (interface, skb_mark) = unsafe { ((*ctx.skb.skb).ifindex, (*ctx.skb.skb).mark) };
    // SAFETY: entries are plain integers.
    let Some(found) = (unsafe { ENDPOINTS.get(interface) }) else {
        return drop(counter::DROP_NO_ENDPOINT);
    };
    if FROM_POD && skb_mark == mark::INJECTED {
        ctx.set_mark(0);
        return pass(counter::PASS_INJECTED);
    }
    if !FROM_POD && skb_mark == mark::HAIRPIN {
        ctx.set_mark(0);
        return pass(counter::PASS_ITSELF);
    }
    if !FROM_POD && skb_mark == mark::REFUSAL {
        return refuse::arrive(ctx);
    }
    let Some(scratch) = scratch() else {
        return drop(counter::DROP_MALFORMED);
    };
    let Scratch {
        endpoint,
        packet,
        datagram,
        header,
        ..
    } = &mut *scratch;
    // The agent may put another entry in its place while this runs.
    words::copy(endpoint, found);
    let seen = if FROM_POD { EGRESS } else { INGRESS };
    match packet::parse(ctx, endpoint.index, packet, datagram, header) {
        Kind::Flow => {}
        Kind::Arp => return neighbour::arp::<FROM_POD>(ctx, endpoint, packet),
        Kind::Icmpv6 => {
            if let Some(verdict) = neighbour::icmpv6::<FROM_POD>(ctx, endpoint, packet) {
                return verdict;
            }
        }
        Kind::NotIp => return fail(packet, endpoint.index, seen, counter::DROP_NOT_IP),
        Kind::Malformed => return fail(packet, endpoint.index, seen, counter::DROP_MALFORMED),
        Kind::Fragment => return fail(packet, endpoint.index, seen, counter::DROP_FRAGMENT),
    }
    // Before anything is looked up: what an entry allows it allows its own ends only.
    if FROM_POD && neighbour::anothers(endpoint, &packet.source) {
        return fail(packet, endpoint.index, EGRESS, counter::DROP_SPOOFED);
    }
    if !FROM_POD && !reaches(endpoint, packet) {
        return drop(counter::DROP_NOT_OWN);
    }
    // As they came: translation writes others into the packet, and later fragments have these.
    let ports = packet.ports();
    let now = tell::now();
    let verdict = flow::<FROM_POD>(ctx, scratch, interface, now);
    if verdict == TC_ACT_SHOT {
        return verdict;
    }
    // Nothing is stored of a packet that has not passed.
    let Scratch {
        endpoint,
        packet,
        datagram,
        ..
    } = scratch;
    if FROM_POD && packet.chosen != 0 && !service::remember(packet, endpoint.index, now) {
        return fail(packet, endpoint.index, EGRESS, counter::DROP_TABLE_FULL);
    }
    if packet.part == Part::First {
        packet::remember_fragment(datagram, &ports, now);
    }
    verdict
}

/// Whether a packet towards a pod is for it: a bridge floods what it has not learnt. Its link-local
/// addresses are not known.
#[inline(always)]
fn reaches(endpoint: &Endpoint, packet: &Packet) -> bool {
    endpoint.owns(&packet.destination)
        || packet::is_group(&packet.destination, packet.v6)
        || packet.v6 && packet::is_link_local(&packet.destination)
}

/// Judges a packet by its flow.
#[inline(always)]
fn flow<const FROM_POD: bool>(
    ctx: &TcContext,
    scratch: &mut Scratch,
    interface: u32,
    now: u64,
) -> i32 {
    if scratch.packet.is_error() && related::related::<FROM_POD>(ctx, scratch, now) {
        return pass(counter::PASS_RELATED);
    }
    let Scratch {
        endpoint,
        packet,
        key,
        connection: entry,
        ..
    } = scratch;
    *key = packet.key(endpoint.index, FROM_POD);
    let connection = match find::<FROM_POD>(ctx, packet, key, now) {
        Found::Flow(connection) => connection,
        Found::Itself => return send_back(ctx, interface),
        Found::Untranslated => {
            return fail(packet, endpoint.index, EGRESS, counter::DROP_TRANSLATION);
        }
    };
    // Read before anything is judged: a change in between makes the next packet judge anew.
    let Some(config) = CONFIG.get(0) else {
        return drop(counter::DROP_NO_LINK);
    };
    // SAFETY: the entry lives as long as the map; the agent may write it meanwhile.
    let revision = unsafe { core::ptr::read_volatile(&raw const config.revision) };
    match connection {
        Some(connection) => {
            tracked::tracked::<FROM_POD>(ctx, endpoint, packet, key, connection, revision, now)
        }
        None => fresh::fresh::<FROM_POD>(ctx, endpoint, packet, key, entry, revision, now),
    }
}

/// What is known of a packet's flow.
enum Found {
    Flow(Option<&'static mut Connection>),
    /// A pod's packet to itself, translated.
    Itself,
    /// A service's address that could not be translated.
    Untranslated,
}

/// Finds the flow of a packet; one that goes to a service is translated first, and `key` with it.
/// What opens a flow is judged anew.
#[inline(always)]
fn find<const FROM_POD: bool>(
    ctx: &TcContext,
    packet: &mut Packet,
    key: &mut ConnectionKey,
    now: u64,
) -> Found {
    let opens = packet.opens();
    if !FROM_POD {
        return Found::Flow(if opens {
            None
        } else {
            tracking::find(key, now)
        });
    }
    match service::from_itself(ctx, packet, key, now) {
        Translated::Itself => return Found::Itself,
        Translated::Failed => return Found::Untranslated,
        Translated::No | Translated::Yes => {}
    }
    if !opens && let Some(connection) = tracking::find(key, now) {
        return Found::Flow(Some(connection));
    }
    match service::forward(ctx, packet, key, now) {
        Translated::No => return Found::Flow(None),
        Translated::Itself => return Found::Itself,
        Translated::Failed => return Found::Untranslated,
        Translated::Yes => {}
    }
    key.remote = packet.destination;
    key.remote_port = packet.destination_port;
    Found::Flow(if opens {
        None
    } else {
        tracking::find(key, now)
    })
}

/// Sends a packet of a pod to itself back by its own veth. A pod may always reach itself.
#[inline(always)]
fn send_back(ctx: &TcContext, interface: u32) -> i32 {
    let Ok(frame) = ctx.load::<[u8; 12]>(0) else {
        return drop(counter::DROP_MALFORMED);
    };
    let mut swapped = [0u8; 12];
    swapped[..6].copy_from_slice(&frame[6..]);
    swapped[6..].copy_from_slice(&frame[..6]);
    if ctx.store(0, &swapped, 0).is_err() {
        return drop(counter::DROP_MALFORMED);
    }
    ctx.set_mark(mark::HAIRPIN);
    // SAFETY: no preconditions; what the helper cannot do it reports by dropping.
    unsafe { bpf_redirect(interface, 0) as i32 }
}

/// What rules compare with their ports: the port of the side that did not open the flow, or the
/// message type.
#[inline(always)]
pub fn judged_port(key: &ConnectionKey, direction: u8) -> u16 {
    if key.protocol == protocol::ICMP || key.protocol == protocol::ICMPV6 {
        key.kind as u16
    } else if direction == INGRESS {
        key.local_port
    } else {
        key.remote_port
    }
}
