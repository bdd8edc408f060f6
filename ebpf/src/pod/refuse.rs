//! An answer to a pod's packet that policy denies, where the agent was told to give one: an ICMP
//! error, so that the client fails at once and does not wait for its time to run out.
//!
//! RFC 792, type 3 code 13 (RFC 1812 section 5.2.7.1); RFC 4443 section 3.1, type 1 code 1. The
//! error goes to who sent the packet and nowhere else, and is not much longer than that.

use aya_ebpf::{
    bindings::TC_ACT_SHOT,
    helpers::generated::{
        bpf_csum_diff, bpf_redirect, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_load_bytes,
    },
    programs::TcContext,
};
use weir_abi::{
    counter::{self, DROP_POLICY},
    mark, protocol,
};

use crate::{
    maps::REFUSALS,
    packet::{self, ETHERNET, Packet, Part},
    service,
    tell::{count, drop},
    words::opaque,
};

/// As much of the packet as is quoted: both headers, with most of their options.
const QUOTED: usize = 128;
const ICMP: usize = 8;
const V4: usize = 20;
const V6: usize = 40;
/// Room between the link-layer header and the network header (linux/bpf.h).
const BPF_ADJ_ROOM_MAC: u32 = 1;

/// The error, before it stands in the packet.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Refusal {
    /// The IP header in the end; before, what ICMPv6 counts of it (RFC 8200 section 8.1).
    ip: [u8; V6],
    icmp: [u8; ICMP],
    quoted: [u8; QUOTED],
}

/// Drops a packet of a pod that policy denies, and answers in its place.
#[inline(never)]
pub fn refuse(ctx: &TcContext, packet: &mut Packet) -> i32 {
    count(DROP_POLICY);
    if packet.is_error() || packet::is_group(&packet.destination, packet.v6) {
        return TC_ACT_SHOT;
    }
    // As the pod sent it: it knows no backend.
    if packet.service_port != 0 && !service::forward_undone(ctx, packet) {
        return TC_ACT_SHOT;
    }
    let Some(refusal) = REFUSALS.get_ptr_mut(0) else {
        return TC_ACT_SHOT;
    };
    // SAFETY: this CPU's own slot, which nothing else uses in between.
    let refusal = unsafe { &mut *refusal };
    *refusal = Refusal {
        ip: [0; V6],
        icmp: [0; ICMP],
        quoted: [0; QUOTED],
    };
    let length = opaque((ctx.len() as usize).saturating_sub(ETHERNET).min(QUOTED) as u32);
    if length == 0 || length > QUOTED as u32 || !quote(ctx, refusal, length) {
        return TC_ACT_SHOT;
    }
    if packet.v6 {
        write_v6(refusal, packet, length);
    } else {
        write_v4(refusal, packet, length);
    }
    if !send(ctx, refusal, packet.v6, length) {
        return TC_ACT_SHOT;
    }
    // It is another packet now, of which nothing is remembered.
    packet.chosen = 0;
    packet.part = Part::Whole;
    ctx.set_mark(mark::REFUSAL);
    // SAFETY: the context is valid for the run of the program.
    unsafe { bpf_redirect((*ctx.skb.skb).ifindex, 0) as i32 }
}

/// Reads what is quoted.
#[inline(always)]
fn quote(ctx: &TcContext, refusal: &mut Refusal, length: u32) -> bool {
    let quoted = refusal.quoted.as_mut_ptr().cast();
    // SAFETY: there is room for so many bytes.
    unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), ETHERNET as u32, quoted, length) == 0 }
}

#[inline(always)]
fn write_v4(refusal: &mut Refusal, packet: &Packet, length: u32) {
    refusal.icmp[0] = 3;
    refusal.icmp[1] = 13;
    let sum = sum::<{ ICMP + QUOTED }>(refusal.icmp.as_ptr());
    refusal.icmp[2..4].copy_from_slice(&sum.to_ne_bytes());
    let ip = &mut refusal.ip;
    ip[0] = 0x45;
    // Internetwork control, as routers send their errors (RFC 1812 section 4.3.2.5).
    ip[1] = 0xc0;
    let total = (V4 + ICMP) as u16 + length as u16;
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = protocol::ICMP;
    ip[12..16].copy_from_slice(&packet.destination[12..16]);
    ip[16..20].copy_from_slice(&packet.source[12..16]);
    let sum = self::sum::<V4>(ip.as_ptr());
    ip[10..12].copy_from_slice(&sum.to_ne_bytes());
}

#[inline(always)]
fn write_v6(refusal: &mut Refusal, packet: &Packet, length: u32) {
    let payload = ICMP as u16 + length as u16;
    refusal.icmp[0] = 1;
    refusal.icmp[1] = 1;
    let ip = &mut refusal.ip;
    ip[..16].copy_from_slice(&packet.destination);
    ip[16..32].copy_from_slice(&packet.source);
    ip[34..36].copy_from_slice(&payload.to_be_bytes());
    ip[39] = protocol::ICMPV6;
    let sum = sum::<{ V6 + ICMP + QUOTED }>(ip.as_ptr());
    refusal.icmp[2..4].copy_from_slice(&sum.to_ne_bytes());
    let ip = &mut refusal.ip;
    *ip = [0; V6];
    ip[0] = 0x60;
    ip[4..6].copy_from_slice(&payload.to_be_bytes());
    ip[6] = protocol::ICMPV6;
    ip[7] = 64;
    ip[8..24].copy_from_slice(&packet.destination);
    ip[24..40].copy_from_slice(&packet.source);
}

/// The Internet checksum (RFC 1071) of so many bytes, as it stands in memory.
#[inline(always)]
fn sum<const LENGTH: usize>(bytes: *const u8) -> u16 {
    // SAFETY: callers have so many bytes there.
    let sum = unsafe {
        bpf_csum_diff(
            core::ptr::null_mut(),
            0,
            bytes.cast_mut().cast(),
            LENGTH as u32,
            0,
        )
    } as u32;
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + sum;
    !(sum as u16)
}

/// Makes the packet the error.
#[inline(always)]
fn send(ctx: &TcContext, refusal: &Refusal, v6: bool, length: u32) -> bool {
    let Ok(ends) = ctx.load::<[u8; 12]>(0) else {
        return false;
    };
    let header = if v6 { V6 } else { V4 };
    let skb = ctx.skb.skb.cast();
    // SAFETY: the context is valid for the run of the program; no pointer into the packet is held.
    let made = unsafe {
        bpf_skb_change_tail(skb, ETHERNET as u32 + length, 0) == 0
            && bpf_skb_adjust_room(skb, (header + ICMP) as i32, BPF_ADJ_ROOM_MAC, 0) == 0
    };
    let mut back = [0u8; 12];
    back[..6].copy_from_slice(&ends[6..]);
    back[6..].copy_from_slice(&ends[..6]);
    let put = if v6 {
        ctx.store(ETHERNET, &refusal.ip, 0)
    } else {
        match refusal.ip.first_chunk::<V4>() {
            Some(ip) => ctx.store(ETHERNET, ip, 0),
            None => return false,
        }
    };
    made && put.is_ok()
        && ctx.store(0, &back, 0).is_ok()
        && ctx.store(ETHERNET + header, &refusal.icmp, 0).is_ok()
}

/// A refusal on its way to the pod.
#[inline(always)]
pub fn arrive(ctx: &TcContext) -> i32 {
    ctx.set_mark(0);
    crate::tell::pass(counter::REFUSED)
}

/// Drops what is denied, with an answer where one is to be given.
#[inline(always)]
pub fn deny<const FROM_POD: bool>(ctx: &TcContext, packet: &mut Packet, answer: bool) -> i32 {
    if FROM_POD && answer {
        return refuse(ctx, packet);
    }
    drop(DROP_POLICY)
}
