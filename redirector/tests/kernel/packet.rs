//! Crafted packets, with right checksums and all the trimmings that a header may have.

use std::net::IpAddr;

use weir_policy::model::Protocol;

/// A packet to craft.
#[derive(Debug, Clone)]
pub struct Craft {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub source_port: u16,
    pub destination_port: u16,
    /// TCP flags or ICMP type.
    pub detail: u8,
    /// 4-byte words of IPv4 options.
    pub options: usize,
    /// IPv6 extension headers: destination options, 8 bytes each.
    pub extensions: usize,
    /// Fragment offset in 8-byte units, more fragments, identification.
    pub fragment: Option<(u16, bool, u32)>,
    pub payload: Vec<u8>,
    /// TCP sequence numbers.
    pub sequence: u32,
    pub acknowledged: u32,
    /// TCP options: whole words.
    pub announced: Vec<u8>,
}

pub const SYN: u8 = 2;
pub const ACK: u8 = 16;

impl Craft {
    pub fn new(source: IpAddr, destination: IpAddr, protocol: Protocol) -> Self {
        let v6 = source.is_ipv6();
        let (protocol, detail) = match protocol {
            Protocol::Tcp => (6, SYN),
            Protocol::Udp => (17, 0),
            Protocol::Sctp => (132, 0),
            Protocol::Icmp if v6 => (58, 128),
            Protocol::Icmpv6 => (58, 128),
            Protocol::Icmp => (1, 8),
        };
        Self {
            source,
            destination,
            protocol,
            source_port: 1000,
            destination_port: 80,
            detail,
            options: 0,
            extensions: 0,
            fragment: None,
            payload: b"payload!".to_vec(),
            sequence: 1,
            acknowledged: 0,
            announced: Vec::new(),
        }
    }

    pub fn ports(mut self, source: u16, destination: u16) -> Self {
        (self.source_port, self.destination_port) = (source, destination);
        self
    }

    pub fn detail(mut self, detail: u8) -> Self {
        self.detail = detail;
        self
    }

    /// The frame.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let later = self.fragment.is_some_and(|(offset, _, _)| offset > 0);
        let body = if later {
            self.payload.clone()
        } else {
            self.transport()
        };
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00]);
                let header = 20 + self.options * 4;
                let mut ip = vec![0x40 | (header / 4) as u8, 0];
                ip.extend(((header + body.len()) as u16).to_be_bytes());
                let (offset, more, id) = self.fragment.unwrap_or((0, false, 7));
                ip.extend((id as u16).to_be_bytes());
                ip.extend((offset | if more { 0x2000 } else { 0 }).to_be_bytes());
                ip.extend([64, self.protocol, 0, 0]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
                ip.extend(std::iter::repeat_n(1u8, self.options * 4)); // no-operation options
                let sum = checksum(&ip, 0);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                frame.extend(ip);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xdd]);
                let mut chain = Vec::new();
                let mut kinds: Vec<u8> = vec![60; self.extensions];
                kinds.extend(self.fragment.map(|_| 44));
                for (index, kind) in kinds.iter().enumerate() {
                    let next = kinds.get(index + 1).copied().unwrap_or(self.protocol);
                    match (kind, self.fragment) {
                        (44, Some((offset, more, id))) => {
                            chain.extend([next, 0]);
                            chain.extend((offset << 3 | u16::from(more)).to_be_bytes());
                            chain.extend(id.to_be_bytes());
                        }
                        _ => chain.extend([next, 0, 1, 4, 0, 0, 0, 0]), // PadN
                    }
                }
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(((chain.len() + body.len()) as u16).to_be_bytes());
                frame.extend([kinds.first().copied().unwrap_or(self.protocol), 255]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                frame.extend(chain);
            }
            _ => panic!("addresses of two families"),
        }
        frame.extend(body);
        frame
    }

    fn transport(&self) -> Vec<u8> {
        let mut segment = Vec::new();
        let at = match self.protocol {
            6 => {
                segment.extend(self.source_port.to_be_bytes());
                segment.extend(self.destination_port.to_be_bytes());
                segment.extend(self.sequence.to_be_bytes());
                segment.extend(self.acknowledged.to_be_bytes());
                let words = 5 + self.announced.len() / 4;
                segment.extend([(words << 4) as u8, self.detail, 0xff, 0xff, 0, 0, 0, 0]);
                segment.extend(&self.announced);
                Some(16)
            }
            17 => {
                segment.extend(self.source_port.to_be_bytes());
                segment.extend(self.destination_port.to_be_bytes());
                segment.extend(((8 + self.payload.len()) as u16).to_be_bytes());
                segment.extend([0, 0]);
                Some(6)
            }
            132 => {
                segment.extend(self.source_port.to_be_bytes());
                segment.extend(self.destination_port.to_be_bytes());
                segment.extend([0; 8]);
                None
            }
            1 | 58 => {
                segment.extend([self.detail, 0, 0, 0]);
                segment.extend(self.source_port.to_be_bytes());
                segment.extend([0, 1]);
                None
            }
            _ => None,
        };
        segment.extend(&self.payload);
        if let Some(at) = at {
            let sum = self.transport_checksum(&segment);
            segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        segment
    }

    fn transport_checksum(&self, segment: &[u8]) -> u16 {
        pseudo_checksum(self.source, self.destination, self.protocol, segment)
    }
}

/// Checksum of a transport segment with its pseudo header; 0 over a segment whose own is right.
pub fn pseudo_checksum(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let mut pseudo = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(v4) => pseudo.extend(v4.octets()),
            IpAddr::V6(v6) => pseudo.extend(v6.octets()),
        }
    }
    pseudo.extend((segment.len() as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, protocol]);
    checksum(segment, sum(&pseudo))
}

fn sum(bytes: &[u8]) -> u32 {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(2), 0);
    padded
        .chunks_exact(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum()
}

/// RFC 1071.
pub fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut total = start + sum(bytes);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}
