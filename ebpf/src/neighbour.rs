//! ARP, neighbour discovery and multicast listener discovery: they pass without a policy, so what
//! passes is told by more than its type. A pod speaks for its own addresses only and is no router,
//! and none of it leaves the link or carries a payload.
//!
//! Sources: RFC 826, RFC 5227 (ARP); RFC 4861 sections 6.1, 7.1 and 8.1, RFC 6980 (neighbour
//! discovery); RFC 2710 section 3, RFC 9777 section 5 (listeners).

mod listener;

use aya_ebpf::programs::TcContext;
use weir_abi::{
    Address, counter,
    policy::{Endpoint, NODE, direction},
};

use crate::{
    packet::{ETHERNET, Packet, is_group, is_link_local},
    tell::{fail, pass},
    verdict::address,
};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// ARP over Ethernet for IPv4, with what pads the shortest frame and a tag's length.
const LONGEST_ARP: u32 = 64;
/// A solicitation or advertisement with a link-layer address and a nonce (RFC 3971 section 5.3.2).
const LONGEST_NEIGHBOUR: u32 = 24 + 8 + 8;
/// A router solicitation with the same.
const LONGEST_ROUTER: u32 = 8 + 8 + 8;

/// Judges an ARP frame.
#[inline(always)]
pub fn arp<const FROM_POD: bool>(ctx: &TcContext, endpoint: &Endpoint, packet: &Packet) -> i32 {
    if arp_holds::<FROM_POD>(ctx, endpoint) {
        return pass(counter::PASS_NEIGHBOUR);
    }
    refuse::<FROM_POD>(endpoint, packet)
}

#[inline(always)]
fn arp_holds<const FROM_POD: bool>(ctx: &TcContext, endpoint: &Endpoint) -> bool {
    let (Ok(frame), Ok(arp)) = (ctx.load::<[u8; 6]>(6), ctx.load::<[u8; 28]>(ETHERNET)) else {
        return false;
    };
    // Ethernet, IPv4, lengths of their addresses; request or reply.
    let form = [0, 1, 8, 0, 6, 4, 0];
    if arp[..7] != form || !matches!(arp[7], 1 | 2) || ctx.len() > LONGEST_ARP {
        return false;
    }
    if !FROM_POD {
        return true;
    }
    let sender = [arp[14], arp[15], arp[16], arp[17]];
    let target = [arp[24], arp[25], arp[26], arp[27]];
    let own = |address: [u8; 4]| address == endpoint.v4 && address != [0; 4];
    // A probe for its own address says no sender.
    let probes = sender == [0; 4] && own(target) && arp[7] == 1;
    arp[8..14] == frame && (own(sender) || probes)
}

/// Judges a message of neighbour or listener discovery. `None`: it is not as these are, and is
/// judged like any other flow.
#[inline(always)]
pub fn icmpv6<const FROM_POD: bool>(
    ctx: &TcContext,
    endpoint: &Endpoint,
    packet: &Packet,
) -> Option<i32> {
    let length = packet.payload();
    let holds = match packet.detail {
        ROUTER_ADVERTISEMENT | REDIRECT if FROM_POD => false,
        ROUTER_ADVERTISEMENT | REDIRECT => {
            if !on_link(ctx, packet) || !is_link_local(&packet.source) {
                return None;
            }
            true
        }
        ROUTER_SOLICITATION | NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT => {
            let longest = match packet.detail {
                ROUTER_SOLICITATION => LONGEST_ROUTER,
                _ => LONGEST_NEIGHBOUR,
            };
            if !on_link(ctx, packet) || length > longest || !length.is_multiple_of(8) {
                return None;
            }
            !FROM_POD || speaks_for_itself(ctx, endpoint, packet)
        }
        _ => {
            let from = is_link_local(&packet.source) || packet.source == [0; 16];
            let to = is_group(&packet.destination, true);
            if packet.hop_limit != 1 || !to || !from || !listener::whole(ctx, packet) {
                return None;
            }
            !FROM_POD || !anothers(endpoint, &packet.source)
        }
    };
    Some(if holds {
        pass(counter::PASS_NEIGHBOUR)
    } else {
        refuse::<FROM_POD>(endpoint, packet)
    })
}

/// Whether neighbour discovery is from the link itself and goes no further.
#[inline(always)]
fn on_link(ctx: &TcContext, packet: &Packet) -> bool {
    // No extension header; code 0.
    if packet.hop_limit != 255 || packet.transport as usize != ETHERNET + 40 {
        return false;
    }
    if !matches!(ctx.load::<u8>(ETHERNET + 41), Ok(0)) {
        return false;
    }
    let to = &packet.destination;
    if is_link_local(to) || is_group(to, true) {
        return true;
    }
    // A neighbour is asked again, and answered, by its address.
    let value = address(to);
    value.endpoint != 0 || value.flags & NODE != 0
}

/// Whether a solicitation or advertisement of a pod speaks for the pod only.
#[inline(always)]
fn speaks_for_itself(ctx: &TcContext, endpoint: &Endpoint, packet: &Packet) -> bool {
    // Where it has no address yet it asks whether somebody else has (RFC 4862 section 5.4.2).
    let detects = packet.source == [0; 16] && packet.detail != NEIGHBOUR_ADVERTISEMENT;
    if !detects && anothers(endpoint, &packet.source) {
        return false;
    }
    if packet.detail != NEIGHBOUR_ADVERTISEMENT {
        return true;
    }
    match ctx.load::<Address>(packet.transport as usize + 8) {
        Ok(target) => !anothers(endpoint, &target),
        Err(_) => false,
    }
}

/// Whether an address is not the endpoint's. Its link-local ones are not known, so those count as
/// its own that are nobody else's.
#[inline(always)]
pub fn anothers(endpoint: &Endpoint, source: &Address) -> bool {
    if endpoint.owns(source) {
        return false;
    }
    if !is_link_local(source) {
        return true;
    }
    let value = address(source);
    value.endpoint != 0 || value.flags & NODE != 0
}

#[inline(always)]
fn refuse<const FROM_POD: bool>(endpoint: &Endpoint, packet: &Packet) -> i32 {
    let direction = if FROM_POD {
        direction::EGRESS
    } else {
        direction::INGRESS
    };
    fail(packet, endpoint.index, direction, counter::DROP_NEIGHBOUR)
}
