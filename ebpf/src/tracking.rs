//! Tracked flows: finding, ageing, closing.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::{
        Connection, ConnectionKey, DENIED, FIN_LOCAL, FIN_REMOTE, JUDGED, OPENING, RESET,
        TRANSLATED,
    },
    policy::direction::{EGRESS, INGRESS},
    protocol,
};

use crate::{
    ended,
    packet::{Packet, TCP_FIN, TCP_RST},
    share,
};

/// Where the ports begin that Linux gives to clients (`ip_local_port_range`).
const EPHEMERAL: u16 = 32768;

/// The live entry of a flow. An entry past its time is taken for none.
#[inline(always)]
pub fn find(key: &ConnectionKey, now: u64) -> Option<&'static mut Connection> {
    let connection = share::get(key)?;
    let idle = now.wrapping_sub(connection.last_seen);
    if idle > key.lifetime(connection) && now > connection.last_seen {
        return None;
    }
    Some(connection)
}

/// Who may have opened a TCP flow that is met in the middle, for its record: the side with a
/// client's port; where that does not tell, the packet's own direction. Both directions are judged
/// all the same.
#[inline(always)]
pub fn guess_direction(key: &ConnectionKey, seen: u8) -> u8 {
    match (key.local_port >= EPHEMERAL, key.remote_port >= EPHEMERAL) {
        (true, false) => EGRESS,
        (false, true) => INGRESS,
        _ => seen,
    }
}

/// Whether a flow is tracked that nobody has answered: another packet like the one that opened it
/// is the same sent again.
#[inline(always)]
pub fn unanswered(key: &ConnectionKey, revision: u32) -> bool {
    share::get(key).is_some_and(|connection| {
        connection.flags & OPENING != 0 && connection.revision == revision
    })
}

/// Notes a packet of a tracked flow. Where its requests are judged here it is counted only when it
/// passes: see [`carried`].
#[inline(always)]
pub fn seen<const FROM_POD: bool>(
    ctx: &TcContext,
    key: &ConnectionKey,
    connection: &mut Connection,
    packet: &Packet,
    now: u64,
) {
    // Only the other side's word shows that somebody is there.
    if connection.flags & OPENING != 0 && FROM_POD == (connection.direction == INGRESS) {
        connection.flags &= !OPENING;
    }
    share::used(connection, now);
    if packet.protocol == protocol::TCP && packet.detail & (TCP_FIN | TCP_RST) != 0 {
        let mut closed = connection.closed;
        if packet.detail & TCP_RST != 0 {
            closed |= RESET;
        }
        if packet.detail & TCP_FIN != 0 {
            closed |= if FROM_POD { FIN_LOCAL } else { FIN_REMOTE };
        }
        if closed != connection.closed {
            connection.closed = closed;
        }
    }
    if connection.flags & JUDGED == 0 {
        carried::<FROM_POD>(ctx, key, connection, packet);
    }
}

/// Counts a packet that passes. The end of its flow is told with the packet that acknowledges the
/// second FIN, or with a RST.
#[inline(always)]
pub fn carried<const FROM_POD: bool>(
    ctx: &TcContext,
    key: &ConnectionKey,
    connection: &mut Connection,
    packet: &Packet,
) {
    if connection.flags & DENIED == 0 {
        ended::counted::<FROM_POD>(ctx, connection);
    }
    let last = connection.is_closed() && packet.detail & TCP_FIN == 0;
    if connection.told == 0 && (last || connection.closed & RESET != 0) {
        ended::tell(key, connection);
    }
}

/// Notes by which address the endpoint speaks to the other end: replies come from that one. A
/// client that uses one port first directly and then by a service, or the other way round, has
/// one entry for both.
#[inline(always)]
pub fn addressed(connection: &mut Connection, packet: &Packet) {
    if packet.service_port == 0 {
        if connection.flags & TRANSLATED != 0 {
            connection.flags &= !TRANSLATED;
        }
    } else if connection.flags & TRANSLATED == 0
        || connection.service_port != packet.service_port
        || connection.service != packet.service
    {
        connection.service = packet.service;
        connection.service_port = packet.service_port;
        connection.flags |= TRANSLATED;
    }
}
