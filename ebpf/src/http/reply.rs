//! Where a reply ends: so that nothing of ours is ever put into the middle of one.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use weir_abi::http::{Stream, after, reply};

use super::{
    flags::{TOKEN, digit, kinds_of},
    head::{eight, one, spent, two},
    segment::Segment,
    take::load,
};
use crate::{maps::BYTES, words::on};

const CRLF: u16 = u16::from_le_bytes(*b"\r\n");
const LOWER: u64 = 0x2020_2020_2020_2020;
/// A longer body is not followed.
const MOST_BODY: u32 = 1 << 30;
/// Digits of a chunk's size.
const MOST_DIGITS: u32 = 7;
/// Bytes of a line about a chunk that are looked at.
const MOST_LINE: u32 = 12;
/// Lines about chunks that are followed in one packet.
const MOST_CHUNKS: u32 = 256;

/// Where an unknown reply is told as 0 digits of anything.
const LOST: u64 = (reply::UNKNOWN as u64) << 12;

/// Reads the head of a reply that must lie whole in this CPU's first `length` bytes: the length of
/// its body and of the head, what it then is (see [`reply`]) and its status, in 32, 16, 4 and 12
/// bits. A global function of numbers, as `judge_head`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn read_reply(length: u64, without_body: u64) -> u64 {
    let Some(bytes) = BYTES.get_ptr(0) else {
        return LOST;
    };
    let n = length as u32;
    // SAFETY: a field of this CPU's own slot.
    let zero = unsafe { core::ptr::read_volatile(&raw const (*bytes).zero) };
    let mut at = zero;
    let bytes: *const u8 = bytes.cast();
    if n < 16 || eight(bytes, at) != u64::from_le_bytes(*b"HTTP/1.1") || one(bytes, at + 8) != b' '
    {
        return LOST;
    }
    let mut status = 0u32;
    for place in 9..12 {
        let digit = (one(bytes, at + place) as u32).wrapping_sub(b'0' as u32);
        if digit > 9 {
            return LOST;
        }
        status = status * 10 + digit;
    }
    let lost = LOST | status as u64;
    at = on(at, 12);
    let (mut body, mut lengths, mut chunked) = (zero, zero, zero);
    // To the end of the status line, then of each field: every line feed ends a line.
    loop {
        while one(bytes, at) >= b' ' || one(bytes, at) == b'\t' {
            at = on(at, 1);
            if at >= n || spent() {
                return lost;
            }
        }
        if at + 4 > n || two(bytes, at) != CRLF || spent() {
            return lost;
        }
        at = on(at, 2);
        if two(bytes, at) == CRLF {
            break;
        }
        let from = at;
        while kinds_of(one(bytes, at)) & TOKEN != 0 {
            at = on(at, 1);
            if at >= n || spent() {
                return lost;
            }
        }
        let many = at - from;
        if many == 0 || one(bytes, at) != b':' {
            return lost;
        }
        at = on(at, 1);
        let (start, end) = (eight(bytes, from) | LOWER, eight(bytes, at - 9) | LOWER);
        if many == 14
            && start == u64::from_le_bytes(*b"content-")
            && end & !0xffff == wide(b"length")
        {
            lengths = on(lengths, 1);
            if one(bytes, at) == b' ' {
                at = on(at, 1);
            }
            let digits = at;
            loop {
                let digit = (one(bytes, at) as u32).wrapping_sub(b'0' as u32);
                if digit > 9 {
                    break;
                }
                if at - digits > 9 {
                    return lost;
                }
                body = body * 10 + digit;
                at = on(at, 1);
                if at >= n || spent() {
                    return lost;
                }
            }
            if at == digits || body > MOST_BODY || two(bytes, at) != CRLF {
                return lost;
            }
        } else if many == 17
            && start == u64::from_le_bytes(*b"transfer")
            && end == u64::from_le_bytes(*b"encoding")
        {
            chunked = on(chunked, 1);
            if one(bytes, at) == b' ' {
                at = on(at, 1);
            }
            let coding = eight(bytes, at) | LOWER;
            if coding & (u64::MAX >> 8) != wide(b"chunked") >> 8 || two(bytes, at + 7) != CRLF {
                return lost;
            }
        }
    }
    let head = ((at + 2) & 0xffff) as u64;
    let what = if status == 101 || lengths + chunked > 1 {
        reply::UNKNOWN
    } else if status < 200 {
        reply::AWAITED
    } else if without_body != 0 || status == 204 || status == 304 {
        body = 0;
        reply::DONE
    } else if chunked == 1 {
        reply::CHUNKED
    } else if lengths == 1 {
        reply::FRAMED
    } else {
        reply::UNKNOWN
    };
    (body as u64) << 32 | head << 16 | (what as u64) << 12 | status as u64
}

/// Letters in the upper bytes of a word.
const fn wide<const LENGTH: usize>(text: &[u8; LENGTH]) -> u64 {
    let mut word = 0;
    let mut at = 0;
    while at < LENGTH {
        word |= (text[at] as u64) << (8 * (8 - LENGTH + at));
        at += 1;
    }
    word
}

/// What a segment of the server does to a reply that is under way.
#[inline(always)]
pub fn go_on(ctx: &TcContext, stream: &mut Stream, segment: &Segment) {
    let end = segment.end();
    if stream.replying == reply::CHUNKED {
        let place = (segment.data as u64) << 32 | segment.length as u64;
        let both = (segment.sequence as u64) << 32 | stream.reply as u64;
        let followed = follow_chunks(ctx.skb.skb, both, place);
        stream.reply = followed as u32;
        stream.replying = (followed >> 32) as u8;
    } else if stream.replying == reply::FRAMED && !after(stream.reply, end) {
        stream.replying = if stream.reply == end {
            reply::DONE
        } else {
            reply::UNKNOWN
        };
    }
}

/// Follows the lines about chunks that a segment holds (RFC 9112 section 7.1), without extensions
/// and trailers. `both` is its sequence number and that of the next such line, `place` the offset of
/// its data and their number, in 32 bits each. Returns what the reply then is and where its next
/// line is. A global function: see `judge_head`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn follow_chunks(skb: *mut __sk_buff, both: u64, place: u64) -> u64 {
    const LOST: u64 = (reply::UNKNOWN as u64) << 32;
    let ctx = TcContext::new(skb);
    let (sequence, mut next) = ((both >> 32) as u32, both as u32);
    let (data, length) = ((place >> 32) as u32, place as u32);
    let end = sequence.wrapping_add(length);
    if after(sequence, next) {
        // What lies between was not seen.
        return LOST;
    }
    let mut followed = 0;
    while after(end, next) {
        followed = on(followed, 1);
        if followed > MOST_CHUNKS || spent() {
            return LOST;
        }
        let into = next.wrapping_sub(sequence);
        let Some((size, line)) = size_line(&ctx, data, length, into) else {
            return LOST;
        };
        if size == 0 {
            // The last one; an empty line ends the reply, and with it the segment.
            let whole = into + line + 2 == length
                && ctx.load::<[u8; 2]>((data + into + line) as usize) == Ok(*b"\r\n");
            let what = if whole { reply::DONE } else { reply::UNKNOWN };
            return (what as u64) << 32;
        }
        next = on(next, line + size + 2);
    }
    (reply::CHUNKED as u64) << 32 | next as u64
}

/// The size that a line gives, and how long the line is.
#[inline(always)]
fn size_line(ctx: &TcContext, data: u32, length: u32, into: u32) -> Option<(u32, u32)> {
    let bytes = BYTES.get_ptr_mut(0)?;
    let left = length.wrapping_sub(into);
    let n = if left > MOST_LINE { MOST_LINE } else { left };
    // SAFETY: this CPU's own slot.
    let zero = unsafe {
        if !load(ctx, data + into, &mut (*bytes).of, n) {
            return None;
        }
        core::ptr::read_volatile(&raw const (*bytes).zero)
    };
    let bytes: *const u8 = bytes.cast();
    let (mut at, mut size) = (zero, zero);
    loop {
        let digit = digit(one(bytes, at)) as u32;
        if digit > 15 {
            break;
        }
        size = on(size << 4, digit);
        at = on(at, 1);
        if at >= n || spent() {
            return None;
        }
    }
    if at == 0 || at > MOST_DIGITS || at + 2 > n || two(bytes, at) != CRLF {
        return None;
    }
    Some((size, at + 2))
}
