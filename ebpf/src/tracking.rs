//! Tracked flows: finding, ageing, closing.

use weir_abi::{
    conntrack::{CLOSING, Connection, ConnectionKey, OPENING, TRANSLATED},
    policy::direction::{EGRESS, INGRESS},
    protocol,
};

use crate::{
    maps::CONNTRACK,
    packet::{Packet, TCP_FIN, TCP_RST},
};

/// Where the ports begin that Linux gives to clients (`ip_local_port_range`).
const EPHEMERAL: u16 = 32768;

const SECOND: u64 = 1_000_000_000;

/// The live entry of a flow. An entry past its time is taken for none.
#[inline(always)]
pub fn find(key: &ConnectionKey, now: u64) -> Option<&'static mut Connection> {
    let connection = CONNTRACK.get_ptr_mut(key)?;
    // SAFETY: map values outlive the program's run; other CPUs may write the same plain
    // integers, which at worst moves a time stamp or repeats a judgement.
    let connection = unsafe { &mut *connection };
    if now.wrapping_sub(connection.last_seen) > lifetime(connection, key.protocol)
        && now > connection.last_seen
    {
        return None;
    }
    Some(connection)
}

/// Who opened a TCP flow that is met in the middle: it is older than the programs, or its entry
/// was evicted. The side with a client's port; where that does not tell, the packet's own
/// direction. See docs/decisions/0012-denied-flows-are-remembered.md.
#[inline(always)]
pub fn guess_direction(key: &ConnectionKey, seen: u8) -> u8 {
    match (key.local_port >= EPHEMERAL, key.remote_port >= EPHEMERAL) {
        (true, false) => EGRESS,
        (false, true) => INGRESS,
        _ => seen,
    }
}

/// How long an entry lives without a packet, in ns; follows the defaults of Linux' nf_conntrack,
/// except that an established TCP flow is kept for a day.
#[inline(always)]
fn lifetime(connection: &Connection, protocol: u8) -> u64 {
    match protocol {
        protocol::TCP if connection.flags & CLOSING != 0 => 120 * SECOND,
        protocol::TCP => 24 * 3600 * SECOND,
        protocol::UDP => 180 * SECOND,
        protocol::SCTP => 3600 * SECOND,
        protocol::ICMP | protocol::ICMPV6 => 30 * SECOND,
        _ => 600 * SECOND,
    }
}

/// Whether a flow is tracked that has shown nothing but the packet that opened it: another one
/// like it is the same sent again.
#[inline(always)]
pub fn unanswered(key: &ConnectionKey, revision: u32) -> bool {
    match CONNTRACK.get_ptr_mut(key) {
        // SAFETY: as in `find`.
        Some(connection) => unsafe {
            (*connection).flags & OPENING != 0 && (*connection).revision == revision
        },
        None => false,
    }
}

/// Notes a packet of a tracked flow.
#[inline(always)]
pub fn seen(connection: &mut Connection, packet: &Packet, now: u64) {
    if connection.flags & OPENING != 0 {
        connection.flags &= !OPENING;
    }
    // To a second, so that most packets only read the entry.
    if now.wrapping_sub(connection.last_seen) > SECOND {
        connection.last_seen = now;
    }
    if packet.protocol == protocol::TCP
        && packet.detail & (TCP_FIN | TCP_RST) != 0
        && connection.flags & CLOSING == 0
    {
        connection.flags |= CLOSING;
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
