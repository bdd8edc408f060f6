//! The programs at the node's devices: flows of the node itself, judged by host policies.
//!
//! They see what other programs and netfilter have not translated yet on the way in, and what both
//! have translated on the way out: what comes to an address of the node may be another's, and what
//! leaves with one, too. So what is not the node's passes: by its address ([`whose`]), by its port,
//! or because no socket of the node has it ([`socket`]).

mod fresh;
mod guard;
mod socket;
mod whose;

use aya_ebpf::{bindings::TC_ACT_SHOT, programs::TcContext};
use weir_abi::{
    conntrack::{Connection, ConnectionKey, DENIED, FORWARDED, OPENING},
    counter,
    host::{HOST, REACHED, SENT_ON, port},
    mark,
    policy::{
        Endpoint,
        direction::{EGRESS, INGRESS},
        verdict,
    },
    protocol,
};

use crate::{
    ended,
    maps::{CONFIG, ENDPOINTS, Scratch, scratch},
    packet::{self, Kind, Packet, Part},
    pod::related,
    share,
    tell::{self, PASS, Told, drop, fail, pass},
    tracking, words,
};

/// Judges one packet at a device of the node; `FROM_HOST` says which way it goes.
#[inline(always)]
pub fn handle<const FROM_HOST: bool>(ctx: &TcContext) -> i32 {
    // SAFETY: the context is valid for the run of the program.
    let skb_mark = unsafe { (*ctx.skb.skb).mark };
    let made_here = FROM_HOST && whose::is_made_here(ctx);
    // Whoever may set a mark on the node must not pass by it.
    if FROM_HOST && !made_here && (skb_mark == mark::HAIRPIN || skb_mark == mark::REFUSAL) {
        return PASS;
    }
    // SAFETY: entries are plain integers.
    let Some(found) = (unsafe { ENDPOINTS.get(HOST) }) else {
        return PASS;
    };
    // Of another network: the device of that one has it next. A tag of VLAN 0 is none.
    let tag = packet::tag(ctx);
    if tag.is_some_and(|vlan| vlan != 0) {
        return PASS;
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
    words::copy(endpoint, found);
    let kind = packet::parse_untagged(ctx, endpoint.index, packet, datagram, header);
    if kind == Kind::NotIp && (tag.is_some() || made_here && packet::is_tagged(ctx)) {
        // The stack would strip both tags at once and not ask again. Nor does it write a tag into a
        // frame: who does means to pass by.
        return drop(counter::DROP_NOT_IP);
    }
    // Neighbour discovery is never cut.
    let discovery = kind == Kind::Icmpv6 && whose::is_on_link(packet);
    if kind == Kind::NotIp || kind == Kind::Arp || discovery {
        return PASS;
    }
    let seen = if FROM_HOST { EGRESS } else { INGRESS };
    if !FROM_HOST && whose::is_forged(ctx, packet) {
        // Wherever it goes: sent on, it would make way for an answer to the node.
        return fail(packet, endpoint.index, seen, counter::DROP_SPOOFED);
    }
    let own = if FROM_HOST {
        &packet.source
    } else {
        &packet.destination
    };
    if *own == [0; 16] && kind == Kind::Malformed {
        // No IP header, which the stack drops as well.
        return fail(packet, endpoint.index, seen, counter::DROP_MALFORMED);
    }
    // What a socket of the node sends is the node's, whatever source it gives; a pod's own one may
    // still be there where a bridge has fragmented its packet.
    let pods = packet.part != Part::Whole && whose::is_pods(own);
    let leads_here =
        !FROM_HOST && guard::leads(own, packet.destination_port, packet.protocol) == port::NODE;
    let is_nodes = leads_here || whose::is_nodes(own, packet.v6);
    if !is_nodes && (!made_here || pods) {
        return PASS;
    }
    if FROM_HOST && !made_here {
        return forwarded(ctx, scratch, kind);
    }
    match kind {
        Kind::Malformed => return fail(packet, endpoint.index, seen, counter::DROP_MALFORMED),
        Kind::Fragment => return fail(packet, endpoint.index, seen, counter::DROP_FRAGMENT),
        _ => {}
    }
    let now = tell::now();
    let verdict = flow::<FROM_HOST>(ctx, scratch, now);
    if verdict != TC_ACT_SHOT && scratch.packet.part == Part::First {
        let ports = scratch.packet.ports();
        packet::remember_fragment(&scratch.datagram, &ports, now);
    }
    verdict
}

/// Judges a packet of the node by its flow.
#[inline(always)]
fn flow<const FROM_HOST: bool>(ctx: &TcContext, scratch: &mut Scratch, now: u64) -> i32 {
    if scratch.packet.is_error() {
        let own = scratch.endpoint.index;
        for at in [HOST, REACHED, SENT_ON] {
            scratch.endpoint.index = index_of(at).unwrap_or(own);
            let related = related::related::<FROM_HOST>(ctx, scratch, now);
            scratch.endpoint.index = own;
            if related {
                return pass(counter::PASS_RELATED);
            }
        }
    }
    let Scratch {
        endpoint,
        packet,
        key,
        connection: entry,
        ..
    } = scratch;
    *key = packet.key(endpoint.index, FROM_HOST);
    let Some(config) = CONFIG.get(0) else {
        return drop(counter::DROP_NO_LINK);
    };
    // SAFETY: the entry lives as long as the map; the agent may write it meanwhile.
    let revision = unsafe { core::ptr::read_volatile(&raw const config.revision) };
    let mut known = None;
    if !packet.opens() {
        known = tracking::find(key, now);
        if known.is_none()
            && let Some(index) = index_of(REACHED)
        {
            key.endpoint = index;
            known = tracking::find(key, now);
        }
    }
    if known.is_none()
        && !FROM_HOST
        && !packet.opens()
        && let Some(index) = index_of(SENT_ON)
    {
        key.endpoint = index;
        let others = tracking::find(key, now);
        // Netfilter may have forgotten a datagram's flow: then it is whose socket waits for it.
        if let Some(connection) = others
            && (packet.protocol != protocol::UDP || !socket::listens(ctx, key))
        {
            tracking::seen::<false>(ctx, key, connection, packet, now);
            return pass(counter::PASS_TRACKED);
        }
    }
    let Some(connection) = known else {
        key.endpoint = endpoint.index;
        return fresh::fresh::<FROM_HOST>(ctx, endpoint, packet, key, entry, revision, now);
    };
    if connection.revision != revision {
        rejudge(endpoint, packet, key, connection, revision);
    }
    tracking::seen::<FROM_HOST>(ctx, key, connection, packet, now);
    if connection.flags & DENIED != 0 {
        return drop(counter::DROP_POLICY);
    }
    pass(counter::PASS_TRACKED)
}

/// Judges a tracked flow under a new revision.
#[inline(always)]
fn rejudge(
    endpoint: &Endpoint,
    packet: &Packet,
    key: &ConnectionKey,
    connection: &mut Connection,
    revision: u32,
) {
    tell::count(counter::REJUDGED);
    let direction = connection.direction;
    let (judged, reason) = guard::judge(endpoint, key, direction);
    connection.policy = judged.policy;
    connection.revision = revision;
    connection.flags &= !DENIED;
    if judged.verdict == verdict::DENY {
        connection.flags |= DENIED;
    }
    if reason != counter::PASS_NEW {
        let told = Told::of(endpoint, judged, revision, direction, reason);
        tell::tell(packet, told);
    }
}

/// The index of a share of the connection table: of [`HOST`], [`REACHED`] or [`SENT_ON`].
#[inline(always)]
fn index_of(share: u32) -> Option<u16> {
    // SAFETY: entries are plain integers.
    unsafe { ENDPOINTS.get(share) }.map(|endpoint| endpoint.index)
}

/// Lets pass what the node sends on with its own address, and remembers it: the answers come to the
/// node's address, and only netfilter knows whose they are.
#[inline(always)]
fn forwarded(ctx: &TcContext, scratch: &mut Scratch, kind: Kind) -> i32 {
    let Scratch {
        packet,
        key,
        connection: entry,
        ..
    } = scratch;
    if kind != Kind::Flow || packet.is_error() || !whose::is_sent_on(ctx) {
        return PASS;
    }
    let Some(index) = index_of(SENT_ON) else {
        return PASS;
    };
    let now = tell::now();
    *key = packet.key(index, true);
    if let Some(connection) = tracking::find(key, now) {
        tracking::seen::<true>(ctx, key, connection, packet, now);
        return PASS;
    }
    *entry = Connection {
        last_seen: now,
        direction: EGRESS,
        flags: FORWARDED | OPENING,
        opened: now,
        ..Connection::default()
    };
    (entry.packets[EGRESS as usize], entry.bytes[EGRESS as usize]) = (1, ended::bytes(ctx));
    // Without an entry the answers are judged as the node's own.
    share::put(key, entry);
    PASS
}
