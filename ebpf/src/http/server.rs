//! What the server of a judged connection sends: only this moves what the client is judged by.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::ConnectionKey,
    counter,
    http::{IS_HEAD, MOST_HEAD, Opening, Request, Stream, TOLD, after, reply, state},
};

use super::{
    Flow,
    reply::{go_on, read_reply},
    segment::{self, ACK, FIN, RST, SYN, Segment},
    stream::{lock, unlock},
    take::load,
};
use crate::{
    maps::{BYTES, REQUESTS},
    packet::Packet,
    tell::{self, drop, pass},
    words,
};

/// Passes a packet of the server, and notes what it says.
#[inline(always)]
pub fn handle(
    ctx: &TcContext,
    packet: &Packet,
    key: &ConnectionKey,
    stream: &mut Stream,
    segment: &Segment,
    flow: &Flow,
) -> i32 {
    if segment.has(RST) {
        told_at_last(key, stream, flow);
        return pass(counter::PASS_TRACKED);
    }
    if segment.has(SYN) {
        return answer(ctx, packet, stream, segment);
    }
    if !lock(stream) {
        return drop(counter::DROP_HELD);
    }
    let now = stream.state;
    if now == state::FROZEN || now == state::PROXIED {
        unlock(stream);
        // The server sends it again, to the proxy then.
        return drop(counter::DROP_HELD);
    }
    if now == state::OPENING {
        unlock(stream);
        return if segment.length == 0 {
            pass(counter::PASS_TRACKED)
        } else {
            drop(counter::DROP_AHEAD)
        };
    }
    // Nothing was asked yet. What a server says by itself (of HTTP/2 it does, RFC 9113, 3.4) is for who
    // takes the connection over; the server sends it again.
    if segment.length != 0 && stream.head_start == stream.head_end {
        unlock(stream);
        return drop(counter::DROP_AHEAD);
    }
    if segment.has(ACK) {
        // A FIN of the client counts as a byte; its data end before.
        let mut acknowledged = segment.acknowledged;
        if after(acknowledged, stream.next) {
            acknowledged = stream.next;
        }
        if after(acknowledged, stream.accepted) {
            stream.accepted = acknowledged;
        }
        stream.server.window = segment.window;
        if segment.stamp != 0 {
            stream.server.stamp = segment.stamp;
        }
    }
    let begins = stream.replying == reply::AWAITED && segment.sequence == stream.reply;
    if segment.length != 0 {
        if stream.replying == reply::AWAITED && after(segment.sequence, stream.reply) {
            stream.replying = reply::UNKNOWN;
        } else if !begins {
            go_on(ctx, stream, segment);
        }
    }
    let is_head = stream.flags & IS_HEAD;
    let end = segment.end().wrapping_add(segment.has(FIN) as u32);
    if after(end, stream.sent) {
        stream.sent = end;
    }
    unlock(stream);
    if begins && segment.length != 0 {
        begin(ctx, stream, segment, is_head);
    }
    let ended = stream.replying == reply::DONE || stream.replying == reply::UNKNOWN;
    if ended || segment.has(FIN) {
        told_at_last(key, stream, flow);
    }
    pass(counter::PASS_TRACKED)
}

/// The server answers a SYN: what the client asked for becomes the connection.
#[inline(always)]
fn answer(ctx: &TcContext, packet: &Packet, stream: &mut Stream, segment: &Segment) -> i32 {
    let (side, _) = segment::announced(ctx, packet, segment);
    if !segment.has(ACK) || !lock(stream) {
        return drop(counter::DROP_UNTRACKED);
    }
    let fits = stream.asked.side.mss != 0 && stream.asked.next == segment.acknowledged;
    let takes = fits && (stream.state == state::OPENING || stream.state == state::JUDGED);
    if takes {
        let next = segment.acknowledged;
        stream.client = stream.asked.side;
        stream.server = side;
        stream.asked = Opening::default();
        stream.head_start = next;
        stream.head_end = next;
        stream.next = next;
        stream.accepted = next;
        stream.sent = segment.sequence.wrapping_add(1);
        stream.received = stream.sent;
        stream.reply = stream.sent;
        stream.replying = reply::DONE;
        stream.flags = TOLD;
        stream.state = state::JUDGED;
    }
    // The same answer again; any other belongs to no request that was seen.
    let again = stream.state == state::JUDGED
        && stream.next == segment.acknowledged
        && stream.sent == segment.sequence.wrapping_add(1);
    unlock(stream);
    if takes || again {
        pass(counter::PASS_TRACKED)
    } else {
        drop(counter::DROP_UNTRACKED)
    }
}

/// The reply to the last request begins: where does it end?
#[inline(always)]
fn begin(ctx: &TcContext, stream: &mut Stream, segment: &Segment, is_head: u8) {
    let Some(bytes) = BYTES.get_ptr_mut(0) else {
        return;
    };
    let most = MOST_HEAD as u32;
    let many = if segment.length > most {
        most
    } else {
        segment.length
    };
    // SAFETY: this CPU's own slot.
    if !load(ctx, segment.data, unsafe { &mut (*bytes).of }, many) {
        return;
    }
    let read = read_reply(many as u64, is_head as u64);
    let what = (read >> 12) as u8 & 15;
    let head_end = segment.sequence.wrapping_add((read >> 16) as u16 as u32);
    if !lock(stream) {
        return;
    }
    // Otherwise another CPU has seen it meanwhile.
    let first = stream.replying == reply::AWAITED && stream.reply == segment.sequence;
    if first {
        stream.status = read as u16 & 0xfff;
        stream.replying = what;
        if what == reply::AWAITED || what == reply::CHUNKED {
            stream.reply = head_end;
        } else {
            stream.reply = head_end.wrapping_add((read >> 32) as u32);
        }
        if what == reply::DONE && head_end != segment.end() {
            stream.replying = reply::UNKNOWN;
        }
        if what == reply::FRAMED || what == reply::CHUNKED {
            go_on(ctx, stream, segment);
        }
    }
    unlock(stream);
}

/// Tells of the last request, once: its reply has ended, or nothing more can be told of it. The reader
/// looks by itself, often enough.
#[inline(always)]
pub fn told_at_last(key: &ConnectionKey, stream: &mut Stream, flow: &Flow) {
    const NO_WAKEUP: u64 = 1;
    if stream.flags & TOLD != 0 || !lock(stream) {
        return;
    }
    let first = stream.flags & TOLD == 0;
    stream.flags |= TOLD;
    unlock(stream);
    if !first {
        return;
    }
    let Some(mut entry) = REQUESTS.reserve::<Request>(0) else {
        return tell::count(counter::LOST_REQUEST);
    };
    let request = entry.as_mut_ptr();
    // SAFETY: the ring gives this many bytes to us alone until `submit`; all fields are written.
    unsafe {
        (*request).key = *key;
        (*request).at = flow.now;
        (*request).latency = flow.now.wrapping_sub(stream.sent_at);
        (*request).status = stream.status;
        (*request).direction = flow.direction;
        (*request).reserved = [0; 5];
        words::copy(&mut (*request).text, &stream.text);
    }
    entry.submit(NO_WAKEUP);
}
