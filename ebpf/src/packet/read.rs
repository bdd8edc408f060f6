//! Reading headers. Sources: RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443; lengths as
//! Linux' `ip_rcv_core` and `ip6_rcv_core` take them.

use aya_ebpf::{helpers::generated::bpf_skb_load_bytes, programs::TcContext};
use weir_abi::{Address, conntrack::ConnectionKey, protocol};

use super::{ETHERNET, Kind, Packet, Part, chain::Chain, fragment, options};
use crate::words;

const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_ARP: u16 = 0x0806;

/// Reads bytes that end before `end` into the scratch header.
#[inline(always)]
pub fn load<const LENGTH: usize>(
    ctx: &TcContext,
    offset: usize,
    end: u32,
    header: &mut [u8; 40],
) -> bool {
    const { assert!(LENGTH <= 40) };
    if (offset + LENGTH) as u32 > end {
        return false;
    }
    // SAFETY: `header` has at least LENGTH writable bytes.
    unsafe {
        bpf_skb_load_bytes(
            ctx.skb.skb.cast(),
            offset as u32,
            header.as_mut_ptr().cast(),
            LENGTH as u32,
        ) == 0
    }
}

/// Reads the headers of a frame. What the stack would strip to IP, a tag of VLAN 0 for one, is not
/// IP here: this is the list of what passes. `datagram` becomes the key under which the ports of a
/// fragment are kept.
#[inline(always)]
pub fn parse(
    ctx: &TcContext,
    endpoint: u16,
    packet: &mut Packet,
    datagram: &mut ConnectionKey,
    header: &mut [u8; 40],
) -> Kind {
    if tag(ctx).is_some() {
        words::clear(packet);
        return Kind::NotIp;
    }
    parse_untagged(ctx, endpoint, packet, datagram, header)
}

/// The VLAN of a frame that has a tag.
#[inline(always)]
pub fn tag(ctx: &TcContext) -> Option<u16> {
    // SAFETY: the context is valid for the run of the program.
    let (present, tag) = unsafe { ((*ctx.skb.skb).vlan_present, (*ctx.skb.skb).vlan_tci) };
    (present != 0).then_some(tag as u16 & 0x0fff)
}

/// Whether a tag stands in the frame itself.
#[inline(always)]
pub fn is_tagged(ctx: &TcContext) -> bool {
    // SAFETY: the context is valid for the run of the program.
    let ethertype = u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16);
    matches!(ethertype, 0x8100 | 0x88a8)
}

/// As [`parse`], whatever tag the frame has.
#[inline(always)]
pub fn parse_untagged(
    ctx: &TcContext,
    endpoint: u16,
    packet: &mut Packet,
    datagram: &mut ConnectionKey,
    header: &mut [u8; 40],
) -> Kind {
    words::clear(packet);
    // SAFETY: the context is valid for the run of the program.
    let ethertype = u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16);
    match ethertype {
        ETH_P_IP => parse_v4(ctx, endpoint, packet, datagram, header),
        ETH_P_IPV6 => parse_v6(ctx, endpoint, packet, datagram, header),
        ETH_P_ARP => Kind::Arp,
        _ => Kind::NotIp,
    }
}

/// Where the IP packet ends: by its own length, which the frame must hold. Linux takes a length of
/// 0 for the frame's where segmentation is left to the device (BIG TCP).
#[inline(always)]
fn end(ctx: &TcContext, length: u32) -> Option<u32> {
    // SAFETY: the context is valid for the run of the program.
    let segments = unsafe { (*ctx.skb.skb).gso_size };
    let frame = ctx.len();
    if length == 0 && segments != 0 {
        return Some(frame);
    }
    let end = ETHERNET as u32 + length;
    (end <= frame).then_some(end)
}

#[inline(always)]
fn parse_v4(
    ctx: &TcContext,
    endpoint: u16,
    packet: &mut Packet,
    datagram: &mut ConnectionKey,
    header: &mut [u8; 40],
) -> Kind {
    if !load::<20>(ctx, ETHERNET, ctx.len(), header) {
        return Kind::Malformed;
    }
    let length = ((header[0] & 0x0f) as usize) * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return Kind::Malformed;
    }
    let Some(end) = end(ctx, u16::from_be_bytes([header[2], header[3]]) as u32) else {
        return Kind::Malformed;
    };
    if (ETHERNET + length) as u32 > end {
        return Kind::Malformed;
    }
    packet.end = end;
    words::map(
        &mut packet.source,
        [header[12], header[13], header[14], header[15]],
    );
    words::map(
        &mut packet.destination,
        [header[16], header[17], header[18], header[19]],
    );
    packet.protocol = header[9];
    packet.transport = (ETHERNET + length) as u16;
    let id = u16::from_be_bytes([header[4], header[5]]) as u32;
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if length > 20 && options::ipv4_route(ctx.skb.skb, length as u64 - 20) != 0 {
        return Kind::Malformed;
    }
    if fragment & 0x3fff != 0 {
        // IPv4 knows a datagram by its protocol, too (RFC 791 section 3.2).
        fragment::key(packet, endpoint, id, packet.protocol as u16, datagram);
    }
    transport(
        ctx,
        packet,
        datagram,
        fragment & 0x1fff,
        fragment & 0x2000 != 0,
    )
}

/// `::ffff:0:0/96`.
#[inline(always)]
fn is_mapped(address: &Address) -> bool {
    address[..12] == weir_abi::mapped([0; 4])[..12]
}

#[inline(always)]
fn parse_v6(
    ctx: &TcContext,
    endpoint: u16,
    packet: &mut Packet,
    datagram: &mut ConnectionKey,
    header: &mut [u8; 40],
) -> Kind {
    if !load::<40>(ctx, ETHERNET, ctx.len(), header) {
        return Kind::Malformed;
    }
    if header[0] >> 4 != 6 {
        return Kind::Malformed;
    }
    let length = u16::from_be_bytes([header[4], header[5]]) as u32;
    // 0 stays 0: no payload, a jumbogram (which is refused below), or BIG TCP.
    let length = if length == 0 { 0 } else { length + 40 };
    let Some(end) = end(ctx, length) else {
        return Kind::Malformed;
    };
    packet.end = end.max(ETHERNET as u32 + 40);
    packet.v6 = true;
    packet.source.copy_from_slice(&header[8..24]);
    packet.destination.copy_from_slice(&header[24..40]);
    packet.hop_limit = header[7];
    // The keys of IPv4 are of these: nobody sends them in IPv6 (draft-itojun-v6ops-v4mapped-harmful).
    if is_mapped(&packet.source) || is_mapped(&packet.destination) {
        return Kind::Malformed;
    }
    let Some(chain) = Chain::follow(ctx, header[6], ETHERNET + 40, packet.end) else {
        return Kind::Malformed;
    };
    let (mut id, mut place, mut more) = (0u32, 0u16, false);
    if chain.fragment != 0 {
        if !load::<8>(ctx, chain.fragment as usize, packet.end, header) {
            return Kind::Malformed;
        }
        let fragment = u16::from_be_bytes([header[2], header[3]]);
        place = fragment >> 3;
        more = fragment & 1 != 0;
        id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    }
    packet.protocol = chain.protocol;
    packet.transport = chain.transport;
    if place != 0 || more {
        fragment::key(packet, endpoint, id, 0, datagram);
    }
    let kind = transport(ctx, packet, datagram, place, more);
    if kind == Kind::Flow && packet.protocol == protocol::ICMPV6 && packet.part == Part::Whole {
        return match packet.detail {
            130..=137 | 143 => Kind::Icmpv6,
            _ => Kind::Flow,
        };
    }
    kind
}

/// Reads the transport header, or what is known of it where this is a later fragment. `place` is
/// the fragment's offset in units of eight bytes.
#[inline(always)]
fn transport(
    ctx: &TcContext,
    packet: &mut Packet,
    datagram: &ConnectionKey,
    place: u16,
    more: bool,
) -> Kind {
    if more && !packet.payload().is_multiple_of(8) {
        return Kind::Malformed;
    }
    if place != 0 {
        return fragment::later(packet, datagram, place);
    }
    if more {
        packet.part = Part::First;
    }
    let kind = ports(ctx, packet);
    if more && kind == Kind::Flow && packet.payload() < fragment::least(packet.protocol) {
        return Kind::Malformed;
    }
    kind
}

#[inline(always)]
fn ports(ctx: &TcContext, packet: &mut Packet) -> Kind {
    let offset = packet.transport as usize;
    let holds = |length: u32| packet.payload() >= length;
    match packet.protocol {
        protocol::TCP if holds(20) => {
            let Ok(header) = ctx.load::<[u8; 14]>(offset) else {
                return Kind::Malformed;
            };
            packet.source_port = u16::from_be_bytes([header[0], header[1]]);
            packet.destination_port = u16::from_be_bytes([header[2], header[3]]);
            packet.detail = header[13];
        }
        protocol::UDP | protocol::SCTP if holds(8) => {
            let Ok(header) = ctx.load::<[u8; 4]>(offset) else {
                return Kind::Malformed;
            };
            packet.source_port = u16::from_be_bytes([header[0], header[1]]);
            packet.destination_port = u16::from_be_bytes([header[2], header[3]]);
        }
        protocol::ICMP | protocol::ICMPV6 if holds(8) => {
            let Ok(header) = ctx.load::<[u8; 6]>(offset) else {
                return Kind::Malformed;
            };
            packet.detail = header[0];
            if packet.has_identifier() {
                let id = u16::from_be_bytes([header[4], header[5]]);
                packet.source_port = id;
                packet.destination_port = id;
            }
        }
        protocol::TCP | protocol::UDP | protocol::SCTP | protocol::ICMP | protocol::ICMPV6 => {
            return Kind::Malformed;
        }
        _ => {}
    }
    Kind::Flow
}
