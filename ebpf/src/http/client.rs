//! What the client of a judged connection sends.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::ConnectionKey,
    counter,
    http::{HOST, IS_HEAD, LINE, MOST_HEAD, Stream, Text, UNFRAMED, after, reply, state, why},
};

use super::{
    Flow,
    head::{Bytes, NOT, eight, judge_head},
    segment::{ACK, FIN, RST, SYN, Segment, URG},
    server::told_at_last,
    stream::{lock, unlock},
    take::{hold, load, take},
};
use crate::{
    link::to_proxy,
    maps::BYTES,
    packet::Packet,
    tell::{drop, pass},
};

/// Passes, holds or drops a packet of the client.
#[inline(always)]
pub fn handle(
    ctx: &TcContext,
    packet: &Packet,
    key: &ConnectionKey,
    stream: &mut Stream,
    segment: &Segment,
    flow: &Flow,
) -> i32 {
    if segment.has(SYN) {
        // A SYN alone is judged as a new flow; the client has nothing to answer one with.
        return drop(counter::DROP_UNTRACKED);
    }
    if segment.has(RST) {
        told_at_last(key, stream, flow);
        // It ends the connection where it is genuine, and carries nothing (RFC 9293 section 3.5.3).
        return if segment.length == 0 {
            pass(counter::PASS_TRACKED)
        } else {
            drop(counter::DROP_AHEAD)
        };
    }
    // Without data, too, it names a byte to come that the server's reader would not see.
    if segment.has(URG) && segment.length == 0 {
        return drop(counter::DROP_AHEAD);
    }
    if !lock(stream) {
        return drop(counter::DROP_HELD);
    }
    let now = stream.state;
    if now == state::JUDGED || now == state::TAKING {
        note(stream, segment);
    }
    let Place {
        accepted,
        next,
        head_start,
        head_end,
        table,
        replying,
    } = Place::of(stream);
    unlock(stream);
    let carries = segment.length != 0 || segment.has(FIN);
    match now {
        state::JUDGED => {}
        state::PROXIED => return to_proxy::<false>(ctx, flow.endpoint, packet, flow.direction),
        state::TAKING if !carries => return pass(counter::PASS_TRACKED),
        state::FROZEN if !carries => return drop(counter::DROP_HELD),
        state::TAKING | state::FROZEN => return hold(ctx, key, segment, flow, why::HELD),
        // Nothing is said before the server has answered.
        _ if !carries => return pass(counter::PASS_TRACKED),
        _ => return drop(counter::DROP_AHEAD),
    }
    if segment.length == 0 {
        return pass(counter::PASS_TRACKED);
    }
    if segment.has(URG) {
        return take(ctx, key, stream, segment, flow, why::URGENT);
    }
    let (start, end) = (segment.sequence, segment.end());
    if !after(end, accepted) {
        // The server has it already.
        return pass(counter::PASS_TRACKED);
    }
    let mut again = false;
    if start == next {
        // A head comes where the server has accepted, and answered, all before it. One that comes
        // earlier comes again.
        if accepted != start || replying == reply::AWAITED || unfinished(replying) {
            return drop(counter::DROP_EARLY);
        }
    } else if after(start, next) {
        return drop(counter::DROP_AHEAD);
    } else if after(end, next) {
        return take(ctx, key, stream, segment, flow, why::PIPELINED);
    } else if !after(head_end, accepted) || !after(head_end, start) {
        return pass(counter::PASS_BODY);
    } else if start == head_start && accepted == start && is_one(ctx) {
        again = true;
    } else {
        return drop(counter::DROP_AHEAD);
    }
    let Some(bytes) = BYTES.get_ptr_mut(0) else {
        return drop(counter::DROP_MALFORMED);
    };
    // SAFETY: this CPU's own slot.
    let bytes = unsafe { &mut *bytes };
    let most = MOST_HEAD as u32;
    let many = if segment.length > most {
        most
    } else {
        segment.length
    };
    if !load(ctx, segment.data, &mut bytes.of, many) {
        return drop(counter::DROP_MALFORMED);
    }
    let judged = judge_head(many as u64, table as u64);
    let reason = if judged & NOT != 0 {
        judged as u8
    } else if segment.length > judged as u16 as u32 + (judged >> 32) as u32 {
        why::PIPELINED
    } else {
        0
    };
    if reason != 0 {
        return take(ctx, key, stream, segment, flow, reason);
    }
    let new_end = start.wrapping_add(judged as u16 as u32);
    let new_next = new_end.wrapping_add((judged >> 32) as u32);
    if !lock(stream) {
        return drop(counter::DROP_HELD);
    }
    let still = stream.state == state::JUDGED
        && if again {
            stream.head_end == new_end && stream.next == new_next
        } else {
            stream.next == start && stream.table == table
        };
    if still && !again {
        let mut flags = stream.flags & UNFRAMED;
        if stream.replying == reply::UNKNOWN {
            flags |= UNFRAMED;
        }
        if bytes.of[..5] == *b"HEAD " {
            flags |= IS_HEAD;
        }
        stream.flags = flags;
        stream.head_start = start;
        stream.head_end = new_end;
        stream.next = new_next;
        stream.replying = reply::AWAITED;
        stream.reply = stream.sent;
        stream.sent_at = flow.now;
        stream.status = 0;
        keep(&mut stream.text, bytes, (judged >> 16) as u16);
    }
    unlock(stream);
    if !still {
        return drop(counter::DROP_AHEAD);
    }
    pass(counter::PASS_JUDGED)
}

/// Keeps the line and the host of the head that was judged last.
#[inline(always)]
fn keep(text: &mut Text, bytes: &Bytes, line: u16) {
    let [host, host_length] = bytes.host;
    text.line_length = line;
    text.host_length = host_length;
    let from = (&raw const *bytes).cast();
    let (mut at, line) = (0, (&raw mut text.line).cast::<u64>());
    while at < LINE / 8 {
        // SAFETY: within the line, which is aligned.
        unsafe { line.add(at).write_volatile(eight(from, 8 * at as u32)) };
        at += 1;
    }
    let (mut at, to) = (0, (&raw mut text.host).cast::<u64>());
    while at < HOST / 8 {
        // SAFETY: within the host, which is aligned.
        unsafe {
            to.add(at)
                .write_volatile(eight(from, host as u32 + 8 * at as u32))
        };
        at += 1;
    }
}

/// What a packet is compared with.
struct Place {
    accepted: u32,
    next: u32,
    head_start: u32,
    head_end: u32,
    table: u32,
    replying: u8,
}

// === impl Place ===

impl Place {
    #[inline(always)]
    fn of(stream: &Stream) -> Self {
        Self {
            accepted: stream.accepted,
            next: stream.next,
            head_start: stream.head_start,
            head_end: stream.head_end,
            table: stream.table,
            replying: stream.replying,
        }
    }
}

/// Whether a reply is known to go on.
#[inline(always)]
fn unfinished(replying: u8) -> bool {
    replying == reply::FRAMED || replying == reply::CHUNKED
}

/// Notes what the client has received. A stale or invented one harms the client only.
#[inline(always)]
fn note(stream: &mut Stream, segment: &Segment) {
    if !segment.has(ACK) {
        return;
    }
    let acknowledged = segment.acknowledged;
    if !after(stream.received, acknowledged) && !after(acknowledged, stream.sent) {
        stream.received = acknowledged;
        stream.client.window = segment.window;
    }
    if segment.stamp != 0 {
        stream.client.stamp = segment.stamp;
    }
}

/// Whether a packet is one segment.
#[inline(always)]
fn is_one(ctx: &TcContext) -> bool {
    // SAFETY: the context is valid for the run of the program.
    unsafe { (*ctx.skb.skb).gso_segs <= 1 }
}
