//! A packet's flow, and what kind of frame it came in.
//!
//! Everything is read with `bpf_skb_load_bytes`: it also reaches into paged data, and it spares
//! the verifier packet pointers. Nothing is read beyond the length that the IP header gives, as
//! the receiver's stack cuts the packet there.

mod chain;
mod fragment;
mod options;
mod quote;
mod read;

use weir_abi::{
    Address,
    conntrack::{ConnectionKey, FragmentPorts},
    protocol,
};

pub use fragment::remember as remember_fragment;
pub use quote::quoted;
pub use read::{is_tagged, parse, parse_untagged, tag};

/// Length of the Ethernet header.
pub const ETHERNET: usize = 14;

pub const TCP_FIN: u8 = 1;
pub const TCP_SYN: u8 = 2;
pub const TCP_RST: u8 = 4;
const TCP_ACK: u8 = 16;

/// What a frame turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Flow,
    Arp,
    /// Neighbour discovery or multicast listener discovery, by type: see `neighbour`.
    Icmpv6,
    /// Anything but untagged IPv4, IPv6 and ARP.
    NotIp,
    Malformed,
    /// A later fragment whose first part was not seen.
    Fragment,
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Part {
    #[default]
    Whole,
    First,
    /// Without transport header; its ports are those of the first one.
    Later,
}

/// A packet's flow. Aligned, so that addresses are cleared, copied and compared by words: of bytes
/// LLVM makes calls that go byte by byte.
#[derive(Clone, Copy, Default)]
#[repr(C, align(8))]
pub struct Packet {
    pub source: Address,
    pub destination: Address,
    /// The service that the endpoint dialled, once translated; else zero.
    pub service: Address,
    /// Offset of the first byte behind the IP packet.
    pub end: u32,
    /// The version of `service` whose backend was chosen for this packet; 0: it was known.
    pub chosen: u32,
    pub source_port: u16,
    pub destination_port: u16,
    pub service_port: u16,
    /// Offset of the transport header.
    pub transport: u16,
    pub protocol: u8,
    /// TCP flags, or the ICMP type.
    pub detail: u8,
    /// Of IPv6.
    pub hop_limit: u8,
    pub v6: bool,
    /// The client of `service` keeps its backend.
    pub affine: bool,
    pub part: Part,
}

impl Packet {
    /// Whether it asks for a new flow.
    #[inline(always)]
    pub fn opens(&self) -> bool {
        match self.protocol {
            protocol::TCP => self.detail & (TCP_SYN | TCP_ACK) == TCP_SYN,
            protocol::ICMP => self.detail == protocol::ECHO_REQUEST,
            protocol::ICMPV6 => self.detail == protocol::ECHO_REQUEST_V6,
            _ => false,
        }
    }

    /// Whether it answers a request for a new flow: a TCP SYN with ACK. Without an entry for the
    /// request it is never the first packet of a flow of its own.
    #[inline(always)]
    pub fn accepts(&self) -> bool {
        self.protocol == protocol::TCP && self.detail & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK
    }

    /// The message type that opens the ICMP flow it belongs to: a reply's is its request's. 0 for
    /// other protocols.
    #[inline(always)]
    pub fn request_type(&self) -> u8 {
        match self.protocol {
            protocol::ICMP | protocol::ICMPV6 => protocol::request_type(self.protocol, self.detail),
            _ => 0,
        }
    }

    /// Whether it is an ICMP error, which quotes the packet that it is about.
    #[inline(always)]
    pub fn is_error(&self) -> bool {
        match self.protocol {
            protocol::ICMP => matches!(self.detail, 3 | 4 | 11 | 12),
            protocol::ICMPV6 => self.detail >= 1 && self.detail <= 4,
            _ => false,
        }
    }

    /// Whether it is an ICMP echo, request or reply, which carries an identifier.
    #[inline(always)]
    fn has_identifier(&self) -> bool {
        if self.v6 {
            self.detail == 128 || self.detail == 129
        } else {
            self.detail == 8 || self.detail == 0
        }
    }

    /// How many bytes stand behind the IP header and its extensions.
    #[inline(always)]
    pub fn payload(&self) -> u32 {
        self.end.wrapping_sub(self.transport as u32)
    }

    /// What later fragments of it do not carry.
    #[inline(always)]
    pub fn ports(&self) -> FragmentPorts {
        FragmentPorts {
            source: self.source_port,
            destination: self.destination_port,
            protocol: self.protocol,
            detail: self.detail,
        }
    }

    /// The tracking key, seen from the endpoint.
    #[inline(always)]
    pub fn key(&self, endpoint: u16, from_pod: bool) -> ConnectionKey {
        let mut key = ConnectionKey {
            local: self.destination,
            remote: self.source,
            local_port: self.destination_port,
            remote_port: self.source_port,
            endpoint,
            protocol: self.protocol,
            kind: self.request_type(),
        };
        if from_pod {
            key.local = self.source;
            key.remote = self.destination;
            key.local_port = self.source_port;
            key.remote_port = self.destination_port;
        }
        key
    }
}

/// fe80::/10 (RFC 4291 section 2.5.6).
#[inline(always)]
pub fn is_link_local(address: &Address) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

/// ff00::/8, 224.0.0.0/4 and 255.255.255.255.
#[inline(always)]
pub fn is_group(address: &Address, v6: bool) -> bool {
    if v6 {
        address[0] == 0xff
    } else {
        address[12] & 0xf0 == 0xe0 || address[12..] == [255; 4]
    }
}
