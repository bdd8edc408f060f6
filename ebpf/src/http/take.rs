//! Handing a connection out of the kernel: what its client sent is told with every byte, and
//! passes nowhere.

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT},
    helpers::generated::{bpf_ringbuf_output, bpf_skb_load_bytes},
    programs::TcContext,
};
use weir_abi::{
    conntrack::ConnectionKey,
    counter,
    http::{MOST_HEAD, Stream, TAKEN_HEADER, state, why},
};

use super::{
    Flow,
    segment::Segment,
    stream::{lock, unlock},
};
use crate::{
    learnt::learn,
    maps::{BUDGETS, NOTE, TAKEN},
    tell::{self, drop},
    words::opaque,
};

const SECOND: u64 = 1_000_000_000;
/// Pieces that may be told of one endpoint's connections in a second: the ring is everybody's. What is
/// over waits until its client sends it again; new connections go to the proxy from their SYN.
const BUDGET: u64 = 500;
/// Pieces of a packet: GRO makes packets of up to 64 KiB.
const PIECES: u32 = 17;

/// How many pieces were told of an endpoint's connections lately.
#[derive(Clone, Copy)]
pub struct Budget {
    /// Monotonic time in ns at which counting began.
    pub since: u64,
    /// Since then.
    pub count: u64,
}

/// Whether so many pieces more may be told of the endpoint's connections.
#[inline(always)]
pub fn is_within(endpoint: u16, now: u64, more: u32) -> bool {
    let Some(budget) = BUDGETS.get_ptr_mut(endpoint as u32) else {
        return false;
    };
    // SAFETY: plain integers of a map value; a count that another CPU tears is a little off.
    let budget = unsafe { &mut *budget };
    if now.wrapping_sub(budget.since) > SECOND {
        budget.since = now;
        budget.count = 0;
    }
    budget.count = budget.count.wrapping_add(more as u64);
    budget.count <= BUDGET
}

/// Holds what a client sent, and lets nothing of it pass until the proxy has the connection.
#[inline(always)]
pub fn take(
    ctx: &TcContext,
    key: &ConnectionKey,
    stream: &mut Stream,
    segment: &Segment,
    flow: &Flow,
    reason: u8,
) -> i32 {
    if !is_within(flow.endpoint, flow.now, 0) {
        return drop(counter::DROP_TAKEN_TOO_MANY);
    }
    if !lock(stream) {
        return drop(counter::DROP_HELD);
    }
    let takes = stream.state == state::JUDGED;
    if takes {
        stream.state = state::TAKING;
        stream.why = reason;
    }
    unlock(stream);
    if !takes {
        return hold(ctx, key, segment, flow, why::HELD);
    }
    // The proxy's answers need the way back.
    learn::<false>(ctx, flow.endpoint, &key.remote, flow.now);
    tell::count(counter::TAKEN);
    hold(ctx, key, segment, flow, reason)
}

/// Tells what a packet holds, piece by piece. What finds no room is sent again by its client.
#[inline(always)]
pub fn hold(
    ctx: &TcContext,
    key: &ConnectionKey,
    segment: &Segment,
    flow: &Flow,
    reason: u8,
) -> i32 {
    if !is_within(
        flow.endpoint,
        flow.now,
        segment.length / MOST_HEAD as u32 + 1,
    ) {
        return drop(counter::DROP_TAKEN_TOO_MANY);
    }
    let Some(note) = NOTE.get_ptr_mut(0) else {
        return TC_ACT_SHOT;
    };
    // SAFETY: this CPU's own slot.
    let note = unsafe { &mut *note };
    note.key = *key;
    note.at = flow.now;
    note.why = reason;
    let place = (segment.data as u64) << 32 | segment.length as u64;
    if tell_pieces(ctx.skb.skb, segment.sequence as u64, place) == 0 {
        return drop(counter::DROP_HELD);
    }
    drop(counter::HELD)
}

/// Tells bytes of a packet: `place` is their offset and their number, in 32 bits each. What else is
/// told stands in the note. 0 where there was no room. A global function: see `judge_head`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_pieces(skb: *mut __sk_buff, sequence: u64, place: u64) -> u64 {
    let ctx = TcContext::new(skb);
    let Some(note) = NOTE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: this CPU's own slot.
    let note = unsafe { &mut *note };
    let (data, length) = ((place >> 32) as u32, place as u32);
    let mut done = 0u32;
    for _ in 0..PIECES {
        let left = length.wrapping_sub(done);
        let piece = if left > MOST_HEAD as u32 {
            MOST_HEAD as u32
        } else {
            left
        };
        note.sequence = (sequence as u32).wrapping_add(done);
        note.length = piece;
        if piece != 0 && !load(&ctx, data + done, &mut note.bytes, piece) {
            return 0;
        }
        let size = opaque(TAKEN_HEADER as u32 + piece) as u64;
        if size > (TAKEN_HEADER + MOST_HEAD) as u64 {
            return 0;
        }
        // SAFETY: the map is a ring, and so many bytes of the slot may be read.
        let told = unsafe {
            let ring = (&raw const TAKEN).cast_mut().cast();
            bpf_ringbuf_output(ring, (&raw mut *note).cast(), size, 0)
        };
        if told != 0 {
            return 0;
        }
        done += piece;
        note.why = why::HELD;
        if done >= length {
            break;
        }
    }
    1
}

/// Reads bytes of a packet; at least one, at most what the array holds.
#[inline(always)]
pub fn load(ctx: &TcContext, at: u32, bytes: &mut [u8; MOST_HEAD], length: u32) -> bool {
    let length = opaque(length);
    if length == 0 || length > MOST_HEAD as u32 {
        return false;
    }
    // SAFETY: so many bytes may be written.
    unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), at, bytes.as_mut_ptr().cast(), length) == 0 }
}
