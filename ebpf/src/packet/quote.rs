//! What an ICMP error quotes.

use aya_ebpf::programs::TcContext;
use weir_abi::protocol;

use super::{Packet, Part, read::load};
use crate::words;

/// Next header of a fragment (RFC 8200).
const FRAGMENT: u8 = 44;

/// The flow that an ICMP error is about, as a packet of the quoted direction. False where it
/// quotes too little, or a fragment without ports.
#[inline(always)]
pub fn quoted(ctx: &TcContext, error: &Packet, packet: &mut Packet, header: &mut [u8; 40]) -> bool {
    words::clear(packet);
    if error.part != Part::Whole {
        return false;
    }
    let offset = error.transport as usize + 8;
    packet.end = error.end;
    if error.v6 {
        if !load::<40>(ctx, offset, error.end, header) || header[0] >> 4 != 6 {
            return false;
        }
        packet.v6 = true;
        packet.source.copy_from_slice(&header[8..24]);
        packet.destination.copy_from_slice(&header[24..40]);
        packet.protocol = header[6];
        packet.transport = (offset + 40) as u16;
        if packet.protocol == FRAGMENT {
            // A path's MTU is told of the first fragment, which has the ports (RFC 8200 section 4.5).
            if !load::<8>(ctx, offset + 40, error.end, header)
                || u16::from_be_bytes([header[2], header[3]]) >> 3 != 0
            {
                return false;
            }
            packet.protocol = header[0];
            packet.transport = (offset + 48) as u16;
        }
    } else {
        if !load::<20>(ctx, offset, error.end, header) || header[0] >> 4 != 4 {
            return false;
        }
        let length = ((header[0] & 0x0f) as usize) * 4;
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        if length < 20 || fragment & 0x1fff != 0 {
            return false;
        }
        words::map(
            &mut packet.source,
            [header[12], header[13], header[14], header[15]],
        );
        words::map(
            &mut packet.destination,
            [header[16], header[17], header[18], header[19]],
        );
        packet.protocol = header[9];
        packet.transport = (offset + length) as u16;
    }
    // RFC 792 promises only 8 bytes of the quoted transport header.
    if !load::<8>(ctx, packet.transport as usize, error.end, header) {
        return false;
    }
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
