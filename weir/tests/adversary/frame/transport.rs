//! What IP carries. A tag stands where a first fragment of eight bytes already has it.

use std::net::{IpAddr, SocketAddr};

use super::checksum;
use crate::wire::Tag;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const URG: u8 = 32;

/// A segment with the tag as its sequence number and all through its data.
pub fn tcp(from: SocketAddr, to: SocketAddr, flags: u8, tag: Tag, data: usize) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(tag.0);
    let acknowledged = if flags & ACK == 0 { 0u32 } else { 1 };
    segment.extend(acknowledged.to_be_bytes());
    segment.extend([5 << 4, flags]);
    segment.extend(0xffffu16.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(tag.fill(data));
    sealed(from.ip(), to.ip(), TCP, segment, 16)
}

/// A datagram with so many bytes of data.
pub fn udp(from: SocketAddr, to: SocketAddr, tag: Tag, data: usize) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    datagram.extend((8 + data as u16).to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(tag.fill(data));
    sealed(from.ip(), to.ip(), UDP, datagram, 6)
}

/// An INIT with its tag as the verification tag, which a server answers (RFC 9260, 3.3.2).
pub fn sctp(from: SocketAddr, to: SocketAddr, tag: Tag, data: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(tag.0);
    packet.extend([0; 4]);
    packet.extend([1, 0]);
    packet.extend((4 + data as u16).to_be_bytes());
    packet.extend(tag.fill(data));
    packet
}

/// An ICMP or ICMPv6 message; `rest` is the four bytes after the checksum.
pub fn icmp(
    from: IpAddr,
    to: IpAddr,
    (kind, code): (u8, u8),
    rest: [u8; 4],
    body: &[u8],
) -> Vec<u8> {
    let message = [&[kind, code, 0, 0][..], &rest, body].concat();
    if from.is_ipv6() {
        sealed(from, to, ICMPV6, message, 2)
    } else {
        let mut message = message;
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }
}

/// An echo request with the tag as identifier and number.
pub fn ping(from: IpAddr, to: IpAddr, tag: Tag, data: usize) -> Vec<u8> {
    let kind = if from.is_ipv6() { 128 } else { 8 };
    icmp(from, to, (kind, 0), tag.0, &tag.fill(data))
}

/// Fills in the checksum over the pseudo header, where zeros are (RFC 9293, 3.1; RFC 8200, 8.1).
pub fn sealed(from: IpAddr, to: IpAddr, protocol: u8, mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    let length = (bytes.len() as u32).to_be_bytes();
    let addresses = [octets(from), octets(to)].concat();
    let sum = checksum(&[&addresses, &length, &[0, 0, 0, protocol], &bytes]);
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
