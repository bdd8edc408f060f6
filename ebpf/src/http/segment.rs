//! A TCP header (RFC 9293 section 3.1), and what a SYN announces.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use weir_abi::http::{SACKS, SCALES, STAMPS, Side};

use super::{
    head::{eight, one, spent},
    take::load,
};
use crate::{maps::BYTES, packet::Packet, words::on};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;
pub const URG: u8 = 32;

/// What is read of a segment.
#[derive(Clone, Copy, Default)]
pub struct Segment {
    pub sequence: u32,
    pub acknowledged: u32,
    /// Where its data begins in the frame, and how long they are.
    pub data: u32,
    pub length: u32,
    /// Its timestamp; 0: none of the usual form.
    pub stamp: u32,
    pub window: u16,
    pub flags: u8,
}

// === impl Segment ===

impl Segment {
    #[inline(always)]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// The sequence number behind its data.
    #[inline(always)]
    pub fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length)
    }
}

/// No operation, no operation, timestamp of ten bytes: as everybody writes it.
const USUAL: [u8; 4] = [1, 1, 8, 10];

/// Reads the header of a whole TCP packet.
#[inline(always)]
pub fn read(ctx: &TcContext, packet: &Packet) -> Option<Segment> {
    let at = packet.transport as usize;
    let header = ctx.load::<[u8; 16]>(at + 4).ok()?;
    let length = (header[8] >> 4) as u32 * 4;
    if length < 20 || length > packet.payload() {
        return None;
    }
    let mut segment = Segment {
        sequence: u32::from_be_bytes([header[0], header[1], header[2], header[3]]),
        acknowledged: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        data: at as u32 + length,
        length: packet.payload() - length,
        stamp: 0,
        window: u16::from_be_bytes([header[10], header[11]]),
        flags: header[9],
    };
    if length >= 32
        && let Ok(option) = ctx.load::<[u8; 8]>(at + 20)
        && option[..4] == USUAL
    {
        segment.stamp = u32::from_be_bytes([option[4], option[5], option[6], option[7]]);
    }
    Some(segment)
}

/// What a SYN announces, and whether there is nothing else in it: options that the proxy's own
/// sockets would not have to go on with, or data.
#[inline(always)]
pub fn announced(ctx: &TcContext, packet: &Packet, segment: &Segment) -> (Side, bool) {
    let from = packet.transport as u64 + 20;
    let read = read_options(ctx.skb.skb, from, segment.data as u64);
    let side = Side {
        stamp: (read >> 32) as u32,
        window: segment.window,
        mss: (read >> 16) as u16,
        scale: (read >> 8) as u8 & 15,
        options: read as u8 & (SCALES | SACKS | STAMPS),
        ..Side::default()
    };
    (side, segment.length == 0 && read & OTHER as u64 == 0)
}

/// Set where there is an option that is none of ours.
const OTHER: u8 = 128;
/// What a side that announces none takes (RFC 9293 section 3.7.1).
const LEAST_MSS: u32 = 536;
/// A header has no room for more.
const MOST_OPTIONS: u32 = 40;

/// Reads the options between two offsets: timestamp, segment size, window scale and which there are,
/// in 32, 16, 8 and 8 bits. A global function: see `judge_head`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn read_options(skb: *mut __sk_buff, from: u64, to: u64) -> u64 {
    const NOT_READ: u64 = OTHER as u64;
    let ctx = TcContext::new(skb);
    let Some(bytes) = BYTES.get_ptr_mut(0) else {
        return NOT_READ;
    };
    let n = to.wrapping_sub(from) as u32;
    if n == 0 {
        return (LEAST_MSS as u64) << 16;
    }
    // SAFETY: this CPU's own slot.
    let zero = unsafe {
        if n > MOST_OPTIONS || !load(&ctx, from as u32, &mut (*bytes).of, n) {
            return NOT_READ;
        }
        core::ptr::read_volatile(&raw const (*bytes).zero)
    };
    let (bytes, end): (*const u8, u32) = (bytes.cast(), on(zero, n));
    let (mut stamp, mut mss, mut scale, mut found) = (zero, on(zero, LEAST_MSS), zero, zero);
    let mut at = zero;
    loop {
        if at >= end || spent() {
            break;
        }
        let kind = one(bytes, at);
        if kind == 0 {
            break;
        }
        if kind == 1 {
            at = on(at, 1);
            continue;
        }
        let length = one(bytes, at + 1) as u32;
        if length < 2 || at + length > end {
            found |= OTHER as u32;
            break;
        }
        let value = eight(bytes, at + 2);
        if kind == 2 && length == 4 {
            mss = (value as u16).swap_bytes() as u32;
        } else if kind == 3 && length == 3 {
            scale = value as u8 as u32;
            found |= SCALES as u32;
        } else if kind == 4 && length == 2 {
            found |= SACKS as u32;
        } else if kind == 8 && length == 10 {
            stamp = (value as u32).swap_bytes();
            found |= STAMPS as u32;
        } else {
            found |= OTHER as u32;
        }
        at = on(at, length);
    }
    // More than that counts as that (RFC 7323 section 2.3).
    let scale = if scale > 14 { 14 } else { scale };
    (stamp as u64) << 32 | (mss as u64) << 16 | (scale as u64) << 8 | found as u64
}
