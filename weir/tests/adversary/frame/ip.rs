//! IP packets and fragments of both families.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{IPV4, IPV6, checksum};

pub const FRAGMENT: u8 = 44;
pub const DESTINATION_OPTIONS: u8 = 60;

/// The header of a packet.
#[derive(Debug, Clone)]
pub struct Ip {
    pub from: IpAddr,
    pub to: IpAddr,
    /// The protocol, or the next header.
    pub protocol: u8,
    pub hop_limit: u8,
    /// What fragments of one packet have in common.
    pub id: u16,
    /// IPv4 options, in words of four bytes; IPv6 extension headers before the fragment header.
    pub options: Vec<u8>,
    /// The kind of the first extension header in `options`.
    pub extension: u8,
}

// === impl Ip ===

impl Ip {
    pub fn new(from: IpAddr, to: IpAddr, protocol: u8) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        Self {
            from,
            to,
            protocol,
            hop_limit: 64,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            options: Vec::new(),
            extension: DESTINATION_OPTIONS,
        }
    }

    pub fn ethertype(&self) -> u16 {
        if self.from.is_ipv6() { IPV6 } else { IPV4 }
    }

    /// A whole packet.
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        self.header(payload, None)
    }

    /// One fragment; the offset is in bytes, and is cut to units of eight as every reader does it.
    pub fn fragment(&self, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
        self.header(payload, Some((offset, more)))
    }

    /// The packet in pieces that begin at these bytes of its payload.
    pub fn fragments(&self, payload: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let begins = [&[0], cuts].concat();
        let ends = [cuts, &[payload.len()]].concat();
        begins
            .iter()
            .zip(ends)
            .map(|(begin, end)| {
                let more = end < payload.len();
                self.fragment(*begin, more, &payload[*begin..end])
            })
            .collect()
    }

    fn header(&self, payload: &[u8], fragment: Option<(usize, bool)>) -> Vec<u8> {
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let length = 20 + self.options.len();
                let (offset, more) = fragment.unwrap_or((0, false));
                let place = (offset / 8) as u16 | u16::from(more) << 13;
                let mut header = vec![0x40 | (length / 4) as u8, 0];
                header.extend(((length + payload.len()) as u16).to_be_bytes());
                header.extend(self.id.to_be_bytes());
                header.extend(place.to_be_bytes());
                header.extend([self.hop_limit, self.protocol, 0, 0]);
                header.extend(from.octets());
                header.extend(to.octets());
                header.extend(&self.options);
                let sum = checksum(&[&header]);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                [&header, payload].concat()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut rest = self.options.clone();
                let first = match (self.options.is_empty(), fragment) {
                    (false, _) => self.extension,
                    (true, Some(_)) => FRAGMENT,
                    (true, None) => self.protocol,
                };
                if let Some((offset, more)) = fragment {
                    let place = (offset / 8 * 8) as u16 | u16::from(more);
                    rest.extend([self.protocol, 0]);
                    rest.extend(place.to_be_bytes());
                    rest.extend(u32::from(self.id).to_be_bytes());
                }
                rest.extend(payload);
                let mut header = vec![0x60, 0, 0, 0];
                header.extend((rest.len() as u16).to_be_bytes());
                header.extend([first, self.hop_limit]);
                header.extend(from.octets());
                header.extend(to.octets());
                [header, rest].concat()
            }
            (from, to) => panic!("{from} and {to}: two families"),
        }
    }
}

/// A destination-options header of so many bytes that says nothing, before `next`.
pub fn padded_options(next: u8, length: usize) -> Vec<u8> {
    let mut header = vec![next, (length / 8 - 1) as u8];
    // PadN (RFC 8200, 4.2).
    header.extend([1, (length - 4) as u8]);
    header.resize(length, 0);
    header
}
