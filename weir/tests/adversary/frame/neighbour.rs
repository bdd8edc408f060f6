//! ARP and neighbour discovery (RFC 826, RFC 4861).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::transport::{ICMPV6, icmp};
use super::{ARP, Frame, IPV6, ethernet, ip::Ip};
use crate::wire::{Mac, Tag};

pub const BROADCAST: Mac = [0xff; 6];
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

pub const REQUEST: u16 = 1;
pub const REPLY: u16 = 2;

pub const SOLICITATION: u8 = 135;
pub const ADVERTISEMENT: u8 = 136;

/// An ARP frame that says that `address` is at `mac`; its padding has the tag.
pub fn arp(
    link: Mac,
    mac: Mac,
    operation: u16,
    address: Ipv4Addr,
    target: Ipv4Addr,
    tag: Tag,
) -> Frame {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(mac);
    packet.extend(address.octets());
    packet.extend(if operation == REPLY { link } else { [0; 6] });
    packet.extend(target.octets());
    packet.extend(tag.fill(18));
    ethernet(link, mac, ARP, &packet)
}

/// A frame with a message of neighbour discovery; `body` follows the checksum.
pub fn discovery(
    link: Mac,
    mac: Mac,
    from: Ipv6Addr,
    to: Ipv6Addr,
    kind: u8,
    body: &[u8],
) -> Frame {
    let (from, to) = (IpAddr::V6(from), IpAddr::V6(to));
    let mut ip = Ip::new(from, to, ICMPV6);
    ip.hop_limit = 255;
    let rest = body[..4].try_into().expect("four bytes");
    let message = icmp(from, to, (kind, 0), rest, &body[4..]);
    ethernet(link, mac, IPV6, &ip.packet(&message))
}

/// The body of a solicitation or an advertisement with one link-layer address. No stack asks who
/// has the address in it, so the tag is one.
pub fn about(kind: u8, target: Ipv6Addr, tag: Tag) -> Vec<u8> {
    let (flags, option) = match kind {
        // Solicited and override.
        ADVERTISEMENT => (0x60, 2),
        _ => (0, 1),
    };
    let mut body = vec![flags, 0, 0, 0];
    body.extend(target.octets());
    body.extend([option, 1, 0x02, 0x00]);
    body.extend(tag.0);
    body
}

/// The link-layer address of a multicast address (RFC 2464, 7).
pub fn multicast(address: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = address.octets();
    [0x33, 0x33, a, b, c, d]
}

/// The group in which an address is asked for (RFC 4291, 2.7.1).
pub fn solicited(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

/// The link-local address that the kernel makes of a MAC (RFC 4291, appendix A).
pub fn link_local([a, b, c, d, e, f]: Mac) -> Ipv6Addr {
    let pair = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        pair(a ^ 2, b),
        pair(c, 0xff),
        pair(0xfe, d),
        pair(e, f),
    )
}
