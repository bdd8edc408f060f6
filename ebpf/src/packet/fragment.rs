//! Fragments: only the first one has ports. They are kept once it has passed, and later fragments
//! share its fate; one that comes before it is dropped.

use weir_abi::{
    conntrack::{BESIDE, ConnectionKey, FRAGMENT, FragmentPorts},
    protocol,
};

use super::{Kind, Packet, Part};
use crate::{maps::beside, share};

/// The key under which a datagram's ports are kept: addresses as they came, before translation.
/// Linux finds the parts of a datagram by the same (`ip4_frag_match`, `ip6_frag_match`).
#[inline(always)]
pub fn key(packet: &Packet, endpoint: u16, id: u32, protocol: u16, key: &mut ConnectionKey) {
    *key = ConnectionKey {
        local: packet.source,
        remote: packet.destination,
        local_port: id as u16,
        // The identification has 16 bits where the protocol counts (IPv4).
        remote_port: (id >> 16) as u16 | protocol,
        endpoint,
        protocol: BESIDE,
        kind: FRAGMENT,
    };
}

/// The least that the first fragment of a datagram must hold: its transport header whole (RFC 1858
/// section 3, RFC 7112).
#[inline(always)]
pub fn least(protocol: u8) -> u32 {
    match protocol {
        protocol::TCP => 20,
        protocol::SCTP => 12,
        _ => 8,
    }
}

/// Gives a later fragment what its first one said. One that would lie over the header of the first
/// is refused (RFC 3128).
#[inline(always)]
pub fn later(packet: &mut Packet, datagram: &ConnectionKey, place: u16) -> Kind {
    packet.part = Part::Later;
    let Some(first) = share::get(datagram) else {
        return Kind::Fragment;
    };
    let ports = unpack(&first.service);
    packet.protocol = ports.protocol;
    packet.detail = ports.detail;
    packet.source_port = ports.source;
    packet.destination_port = ports.destination;
    if (place as u32) * 8 < least(packet.protocol) {
        return Kind::Malformed;
    }
    Kind::Flow
}

/// Keeps the ports of a first fragment that has passed. `ports` are as it came.
#[inline(always)]
pub fn remember(datagram: &ConnectionKey, ports: &FragmentPorts, now: u64) {
    let Some(beside) = beside() else {
        return;
    };
    beside.key = *datagram;
    // Where the share takes no entry the later fragments are dropped, which is safe.
    share::put_beside(beside, &pack(ports), 0, 0, now);
}

#[inline(always)]
fn pack(ports: &FragmentPorts) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0..2].copy_from_slice(&ports.source.to_ne_bytes());
    bytes[2..4].copy_from_slice(&ports.destination.to_ne_bytes());
    bytes[4] = ports.protocol;
    bytes[5] = ports.detail;
    bytes
}

#[inline(always)]
fn unpack(bytes: &[u8; 16]) -> FragmentPorts {
    FragmentPorts {
        source: u16::from_ne_bytes([bytes[0], bytes[1]]),
        destination: u16::from_ne_bytes([bytes[2], bytes[3]]),
        protocol: bytes[4],
        detail: bytes[5],
    }
}
