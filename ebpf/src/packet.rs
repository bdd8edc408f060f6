//! Reading headers.
//!
//! Everything is read with `bpf_skb_load_bytes`: it also reaches into paged data, and it spares
//! the verifier packet pointers. Sources: RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443.

use aya_ebpf::{helpers::generated::bpf_skb_load_bytes, programs::TcContext};
use weir_abi::{
    Address,
    conntrack::{ConnectionKey, FragmentKey, FragmentPorts},
    mapped, protocol,
};

use crate::maps::FRAGMENTS;

/// Length of the Ethernet header.
pub const ETHERNET: usize = 14;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_ARP: u16 = 0x0806;

pub const TCP_FIN: u8 = 1;
pub const TCP_SYN: u8 = 2;
pub const TCP_RST: u8 = 4;
const TCP_ACK: u8 = 16;

/// Extension headers followed before a packet is refused (RFC 8200 lists six kinds).
const MAX_EXTENSIONS: usize = 8;

/// What a frame turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Flow,
    /// ARP, neighbour discovery, multicast listener reports.
    Neighbour,
    NotIp,
    Malformed,
    /// A later fragment whose first part was not seen.
    Fragment,
}

/// A packet's flow.
#[derive(Clone, Copy, Default)]
pub struct Packet {
    pub source: Address,
    pub destination: Address,
    /// The service that the endpoint dialled, once translated; else zero.
    pub service: Address,
    pub source_port: u16,
    pub destination_port: u16,
    pub service_port: u16,
    /// Offset of the transport header.
    pub transport: u16,
    pub protocol: u8,
    /// TCP flags, or the ICMP type.
    pub detail: u8,
    pub v6: bool,
    /// A fragment without transport header; its ports are those of the first one.
    pub later_fragment: bool,
}

impl Packet {
    /// Whether it asks for a new flow.
    #[inline(always)]
    pub fn opens(&self) -> bool {
        match self.protocol {
            protocol::TCP => self.detail & (TCP_SYN | TCP_ACK) == TCP_SYN,
            protocol::ICMP => self.detail == 8,
            protocol::ICMPV6 => self.detail == 128,
            _ => false,
        }
    }

    /// Whether it answers a request for a new flow: a TCP SYN with ACK. Without an entry for the
    /// request it is never the first packet of a flow of its own.
    #[inline(always)]
    pub fn accepts(&self) -> bool {
        self.protocol == protocol::TCP && self.detail & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK
    }

    /// The message type that opens the ICMP flow it belongs to: a reply's is its request's
    /// (IANA registries of ICMP and ICMPv6 types). 0 for other protocols.
    #[inline(always)]
    pub fn request_type(&self) -> u8 {
        match (self.protocol, self.detail) {
            (protocol::ICMP, 0) => 8,
            (protocol::ICMP, reply @ (14 | 43)) => reply - 1,
            (protocol::ICMPV6, reply @ (129 | 140 | 161)) => reply - 1,
            (protocol::ICMP | protocol::ICMPV6, other) => other,
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

/// Reads bytes of the packet into the scratch header.
#[inline(always)]
fn load<const LENGTH: usize>(ctx: &TcContext, offset: usize, header: &mut [u8; 40]) -> bool {
    const { assert!(LENGTH <= 40) };
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

/// Reads the headers of a frame.
#[inline(always)]
pub fn parse(ctx: &TcContext, endpoint: u16, packet: &mut Packet, header: &mut [u8; 40]) -> Kind {
    *packet = Packet::default();
    // SAFETY: the context is valid for the run of the program.
    let (ethertype, vlan) = unsafe {
        let skb = ctx.skb.skb;
        (u16::from_be((*skb).protocol as u16), (*skb).vlan_present)
    };
    if vlan != 0 {
        return Kind::NotIp;
    }
    match ethertype {
        ETH_P_IP => parse_v4(ctx, endpoint, packet, header),
        ETH_P_IPV6 => parse_v6(ctx, endpoint, packet, header),
        ETH_P_ARP => Kind::Neighbour,
        _ => Kind::NotIp,
    }
}

#[inline(always)]
fn parse_v4(ctx: &TcContext, endpoint: u16, packet: &mut Packet, header: &mut [u8; 40]) -> Kind {
    if !load::<20>(ctx, ETHERNET, header) {
        return Kind::Malformed;
    }
    let length = ((header[0] & 0x0f) as usize) * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return Kind::Malformed;
    }
    packet.source = mapped([header[12], header[13], header[14], header[15]]);
    packet.destination = mapped([header[16], header[17], header[18], header[19]]);
    packet.protocol = header[9];
    packet.transport = (ETHERNET + length) as u16;
    let id = u16::from_be_bytes([header[4], header[5]]) as u32;
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    transport(
        ctx,
        endpoint,
        packet,
        id,
        fragment & 0x1fff != 0,
        fragment & 0x2000 != 0,
    )
}

#[inline(always)]
fn parse_v6(ctx: &TcContext, endpoint: u16, packet: &mut Packet, header: &mut [u8; 40]) -> Kind {
    if !load::<40>(ctx, ETHERNET, header) {
        return Kind::Malformed;
    }
    if header[0] >> 4 != 6 {
        return Kind::Malformed;
    }
    packet.v6 = true;
    packet.source.copy_from_slice(&header[8..24]);
    packet.destination.copy_from_slice(&header[24..40]);
    let hop_limit = header[7];
    let mut next = header[6];
    let mut offset = ETHERNET + 40;
    let (mut id, mut later, mut more) = (0u32, false, false);
    let mut done = false;
    for _ in 0..MAX_EXTENSIONS {
        let length = match next {
            // hop-by-hop, routing, destination options, mobility, HIP, shim6
            0 | 43 | 60 | 135 | 139 | 140 => {
                let Ok(extension) = ctx.load::<[u8; 2]>(offset) else {
                    return Kind::Malformed;
                };
                next = extension[0];
                (extension[1] as usize + 1) * 8
            }
            // authentication header: its length counts 4-byte words, less two
            51 => {
                let Ok(extension) = ctx.load::<[u8; 2]>(offset) else {
                    return Kind::Malformed;
                };
                next = extension[0];
                (extension[1] as usize + 2) * 4
            }
            44 => {
                let Ok(extension) = ctx.load::<[u8; 8]>(offset) else {
                    return Kind::Malformed;
                };
                next = extension[0];
                let fragment = u16::from_be_bytes([extension[2], extension[3]]);
                later = fragment & 0xfff8 != 0;
                more = fragment & 1 != 0;
                id = u32::from_be_bytes([extension[4], extension[5], extension[6], extension[7]]);
                8
            }
            _ => {
                done = true;
                break;
            }
        };
        offset += length;
        if later {
            // What follows is payload: the rest of the chain is in the first fragment.
            done = true;
            break;
        }
    }
    if !done {
        return Kind::Malformed;
    }
    packet.protocol = next;
    packet.transport = offset as u16;
    let kind = transport(ctx, endpoint, packet, id, later, more);
    if kind == Kind::Flow && packet.protocol == protocol::ICMPV6 && !later {
        match packet.detail {
            // Neighbour discovery is only valid from the link itself: RFC 4861 section 6.1, 7.1.
            133..=137 if hop_limit == 255 => return Kind::Neighbour,
            130..=132 | 143 => return Kind::Neighbour,
            _ => {}
        }
    }
    kind
}

/// Reads the transport header and settles fragments.
#[inline(always)]
fn transport(
    ctx: &TcContext,
    endpoint: u16,
    packet: &mut Packet,
    id: u32,
    later: bool,
    more: bool,
) -> Kind {
    if later || more {
        let key = FragmentKey {
            source: packet.source,
            destination: packet.destination,
            id,
            endpoint,
            protocol: packet.protocol,
            reserved: 0,
        };
        if later {
            // SAFETY: entries are plain integers.
            let Some(ports) = (unsafe { FRAGMENTS.get(key) }) else {
                return Kind::Fragment;
            };
            packet.source_port = ports.source;
            packet.destination_port = ports.destination;
            packet.later_fragment = true;
            return Kind::Flow;
        }
        let kind = ports(ctx, packet);
        if kind == Kind::Flow {
            let ports = FragmentPorts {
                source: packet.source_port,
                destination: packet.destination_port,
            };
            // Where the table takes no entry the later fragments are dropped, which is safe.
            let _ = FRAGMENTS.insert(key, ports, 0);
        }
        return kind;
    }
    ports(ctx, packet)
}

#[inline(always)]
fn ports(ctx: &TcContext, packet: &mut Packet) -> Kind {
    let offset = packet.transport as usize;
    match packet.protocol {
        protocol::TCP => {
            let Ok(header) = ctx.load::<[u8; 14]>(offset) else {
                return Kind::Malformed;
            };
            packet.source_port = u16::from_be_bytes([header[0], header[1]]);
            packet.destination_port = u16::from_be_bytes([header[2], header[3]]);
            packet.detail = header[13];
        }
        protocol::UDP | protocol::SCTP => {
            let Ok(header) = ctx.load::<[u8; 4]>(offset) else {
                return Kind::Malformed;
            };
            packet.source_port = u16::from_be_bytes([header[0], header[1]]);
            packet.destination_port = u16::from_be_bytes([header[2], header[3]]);
        }
        protocol::ICMP | protocol::ICMPV6 => {
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
        _ => {}
    }
    Kind::Flow
}

/// The flow that an ICMP error is about, as a packet of the quoted direction.
#[inline(always)]
pub fn quoted(ctx: &TcContext, error: &Packet, packet: &mut Packet, header: &mut [u8; 40]) -> bool {
    *packet = Packet::default();
    let offset = error.transport as usize + 8;
    if error.v6 {
        if !load::<40>(ctx, offset, header) {
            return false;
        }
        packet.v6 = true;
        packet.source.copy_from_slice(&header[8..24]);
        packet.destination.copy_from_slice(&header[24..40]);
        packet.protocol = header[6];
        packet.transport = (offset + 40) as u16;
    } else {
        if !load::<20>(ctx, offset, header) {
            return false;
        }
        packet.source = mapped([header[12], header[13], header[14], header[15]]);
        packet.destination = mapped([header[16], header[17], header[18], header[19]]);
        packet.protocol = header[9];
        packet.transport = (offset + ((header[0] & 0x0f) as usize) * 4) as u16;
    }
    // RFC 792 promises only 8 bytes of the quoted transport header.
    let Ok(header) = ctx.load::<[u8; 8]>(packet.transport as usize) else {
        return false;
    };
    match packet.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            packet.source_port = u16::from_be_bytes([header[0], header[1]]);
            packet.destination_port = u16::from_be_bytes([header[2], header[3]]);
        }
        protocol::ICMP | protocol::ICMPV6 => {
            packet.detail = header[0];
            if packet.has_identifier() {
                let id = u16::from_be_bytes([header[4], header[5]]);
                packet.source_port = id;
                packet.destination_port = id;
            }
        }
        _ => {}
    }
    true
}
