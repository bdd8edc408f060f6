//! Whether a packet is the node's own.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    Address,
    policy::{LOCAL_POD, NODE_LOCAL},
};

use crate::{
    maps::CONFIG,
    packet::{self, Packet},
    verdict::address,
};

/// Whether an address is one by which the node is spoken to: its own, a link-local one, which nothing
/// is sent on to, that of a group, or none at all, which Linux takes for a broadcast.
#[inline(always)]
pub fn is_nodes(own: &Address, v6: bool) -> bool {
    packet::is_group(own, v6)
        || is_unspecified(own, v6)
        || v6 && packet::is_link_local(own)
        || address(own).flags & NODE_LOCAL != 0
}

/// Whether an address is that of a pod on this node.
#[inline(always)]
pub fn is_pods(own: &Address) -> bool {
    address(own).flags & LOCAL_POD != 0
}

/// linux/if_packet.h
const PACKET_LOOPBACK: u32 = 5;

#[inline(always)]
fn is_unspecified(address: &Address, v6: bool) -> bool {
    let none: &[u8] = &[0; 4];
    address[12..] == *none && (!v6 || address[..12] == [0; 12])
}

/// Whether a packet that leaves was made by a socket in the node's network namespace: one that is
/// sent on has none.
#[inline(always)]
pub fn is_made_here(ctx: &TcContext) -> bool {
    // SAFETY: the context is valid for the run of the program.
    let socket = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    !socket.is_null()
}

/// Whether a packet without a socket came in by a device, and not from the proxy, which answers in
/// the name of the node where a pod's flow to the node passes it.
#[inline(always)]
pub fn is_sent_on(ctx: &TcContext) -> bool {
    let arrived_on = arrived_on(ctx);
    arrived_on != 0 && !is_private(arrived_on)
}

/// Whether a packet that arrives says to come from the node itself. Nothing of the node's comes back
/// to it but what it sends to a group, which the stack hands back. Sent on, it would make way for an
/// answer to the node.
#[inline(always)]
pub fn is_forged(ctx: &TcContext, packet: &Packet) -> bool {
    // SAFETY: the context is valid for the run of the program.
    let looped = unsafe { (*ctx.skb.skb).pkt_type } == PACKET_LOOPBACK;
    !looped && address(&packet.source).flags & NODE_LOCAL != 0 && !is_private(arrived_on(ctx))
}

/// Whether discovery of neighbours (RFC 4861 section 7.1) or of listeners (RFC 3810 section 6.2) comes
/// from the link itself: what was sent on has another hop limit.
#[inline(always)]
pub fn is_on_link(packet: &Packet) -> bool {
    match packet.detail {
        133..=137 => packet.hop_limit == 255,
        _ => packet.hop_limit == 1,
    }
}

#[inline(always)]
fn arrived_on(ctx: &TcContext) -> u32 {
    // SAFETY: the context is valid for the run of the program.
    unsafe { (*ctx.skb.skb).ingress_ifindex }
}

#[inline(always)]
fn is_private(interface: u32) -> bool {
    CONFIG.get(0).is_some_and(|config| {
        interface != 0 && (interface == config.ingress_link || interface == config.egress_link)
    })
}
