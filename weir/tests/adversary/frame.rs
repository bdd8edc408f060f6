//! Frames, byte by byte: also those that no stack would send.

pub mod ip;
pub mod neighbour;
pub mod transport;

use crate::wire::Mac;

pub const ARP: u16 = 0x0806;
pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;

pub type Frame = Vec<u8>;

pub fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Frame {
    let ethertype = ethertype.to_be_bytes();
    [&to[..], &from, &ethertype, payload].concat()
}

/// The Internet checksum (RFC 1071).
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
