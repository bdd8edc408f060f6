//! HTTP/1.1 requests judged in the kernel, on connections that run from pod to pod.
//!
//! A flow whose rules have a table keeps a small state of its TCP connection ([`stream`]). Of what
//! its client sends, a head is judged when all of it and nothing but its body comes at once
//! ([`head`]); what is allowed and simple passes. Everything else is held, and the connection is
//! handed to the proxy in mid-stream ([`take`]). Here is only ever allowed, never refused.
//!
//! Only connections to a pod: its own packets say what it has accepted, and nobody else can send
//! them. What a server out in the world has accepted anybody may claim in its name.
//!
//! These programs need `may_goto` (Linux 6.9). They stand in `JUDGES` and are called from the pod's
//! programs, so that those load without them.

mod client;
mod flags;
mod head;
mod open;
mod reply;
mod segment;
mod server;
mod state;
mod stream;
mod take;

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::{Connection, ConnectionKey},
    counter,
    http::why,
};

use crate::{
    maps::{JUDGES, Scratch, scratch},
    packet::{Packet, Part},
    share,
    tell::{self, drop},
    tracking,
};

pub use head::Bytes;
pub use open::{forget, may_open};
pub use state::set_state;
pub use stream::changed;
pub use take::Budget;

/// Goes on in the program that judges. Never returns where there is one.
#[inline(always)]
pub fn call<const FROM_POD: bool>(ctx: &TcContext) -> i32 {
    // SAFETY: the programs in the map are of this type; none there: the call returns.
    unsafe { JUDGES.tail_call(ctx, FROM_POD as u32) };
    drop(counter::DROP_NO_JUDGE)
}

/// Judges one packet of a connection whose requests are judged here. The pod's program has left the
/// packet in the scratch.
#[inline(always)]
pub fn handle<const FROM_POD: bool>(ctx: &TcContext) -> i32 {
    let Some(Scratch {
        endpoint,
        packet,
        key,
        table,
        ..
    }) = scratch()
    else {
        return drop(counter::DROP_MALFORMED);
    };
    let Some(connection) = share::get(key) else {
        return drop(counter::DROP_UNTRACKED);
    };
    let flow = Flow {
        endpoint: endpoint.index,
        direction: connection.direction,
        now: tell::now(),
    };
    let verdict = judge::<FROM_POD>(ctx, packet, key, *table, connection, &flow);
    if verdict == tell::PASS {
        tracking::carried::<FROM_POD>(ctx, key, connection, packet);
    }
    verdict
}

#[inline(always)]
fn judge<const FROM_POD: bool>(
    ctx: &TcContext,
    packet: &mut Packet,
    key: &ConnectionKey,
    table: u32,
    connection: &mut Connection,
    flow: &Flow,
) -> i32 {
    if !FROM_POD && packet.opens() {
        return open::open(ctx, packet, key, table, connection, flow);
    }
    let Some(stream) = stream::get(key) else {
        return drop(counter::DROP_UNTRACKED);
    };
    if packet.part != Part::Whole {
        // The proxy's stack puts them together.
        let empty = segment::Segment::default();
        return take::take(ctx, key, stream, &empty, flow, why::FRAGMENT);
    }
    let Some(segment) = segment::read(ctx, packet) else {
        return drop(counter::DROP_MALFORMED);
    };
    if FROM_POD {
        server::handle(ctx, packet, key, stream, &segment, flow)
    } else {
        client::handle(ctx, packet, key, stream, &segment, flow)
    }
}

/// Whose connection it is.
pub struct Flow {
    pub endpoint: u16,
    pub direction: u8,
    pub now: u64,
}
