//! A connection begins to be judged here.

use aya_ebpf::{bindings::BPF_ANY, programs::TcContext};
use weir_abi::{
    conntrack::{Connection, ConnectionKey, JUDGED, PROXIED},
    counter,
    http::{Opening, Side, Stream, state},
    listener,
};

use super::{Flow, segment, stream, take::is_within};
use crate::{
    learnt::learn,
    link::{listening, to_proxy},
    maps::{CONFIG, FRESH, STREAMS},
    packet::Packet,
    share,
    tell::pass,
};

/// Whether a new connection may be judged here; else the proxy has it from its SYN: the programs
/// are not there, nobody takes connections over, the endpoint has handed out too many, or the proxy has
/// it already. To be asked before the connection's entry is written.
#[inline(always)]
pub fn may_open(key: &ConnectionKey, now: u64) -> bool {
    let judges = CONFIG.get(0).is_some_and(|config| config.judges != 0);
    if !judges || !is_within(key.endpoint, now, 0) || !listening(listener::TAKEOVER) {
        return false;
    }
    match share::get(key) {
        Some(known) if known.is_closed() => forget(key),
        Some(known) if known.flags & PROXIED != 0 => return false,
        Some(_) => {}
        None => forget(key),
    }
    true
}

/// Notes the SYN of a client. What is not simple is the proxy's from there.
#[inline(always)]
pub fn open(
    ctx: &TcContext,
    packet: &Packet,
    key: &ConnectionKey,
    table: u32,
    connection: &mut Connection,
    flow: &Flow,
) -> i32 {
    if note(ctx, packet, key, table) {
        return pass(counter::PASS_NEW);
    }
    forget(key);
    connection.flags = connection.flags & !JUDGED | PROXIED;
    learn::<false>(ctx, flow.endpoint, &key.remote, flow.now);
    to_proxy::<false>(ctx, flow.endpoint, packet, flow.direction)
}

#[inline(always)]
fn note(ctx: &TcContext, packet: &Packet, key: &ConnectionKey, table: u32) -> bool {
    let Some(segment) = segment::read(ctx, packet) else {
        return false;
    };
    let (side, plain) = segment::announced(ctx, packet, &segment);
    if !plain {
        return false;
    }
    let asked = Opening {
        next: segment.sequence.wrapping_add(1),
        side,
    };
    // Another connection of this key may still be there. Only the server's word ends it: the client
    // alone, or who speaks in its name, must not move what it is judged by.
    if let Some(known) = stream::get(key) {
        known.asked = asked;
        known.table = table;
        return true;
    }
    let Some(fresh) = FRESH.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: this CPU's own slot; what is not written here stays zero.
    let fresh = unsafe { &mut *fresh };
    fresh.asked = asked;
    fresh.table = table;
    fresh.state = state::OPENING;
    fresh.client = Side::default();
    let fresh: &Stream = fresh;
    STREAMS.insert(key, fresh, BPF_ANY as u64).is_ok()
}

/// Forgets what is known of a connection whose entry goes.
#[inline(always)]
pub fn forget(key: &ConnectionKey) {
    let _ = STREAMS.remove(key);
}
