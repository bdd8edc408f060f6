//! Tracked flows: finding, ageing, closing.

use weir_abi::{
    conntrack::{CLOSING, Connection, ConnectionKey},
    protocol,
};

use crate::{
    maps::CONNTRACK,
    packet::{Packet, TCP_FIN, TCP_RST},
};

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

/// Notes a packet of a tracked flow.
#[inline(always)]
pub fn seen(connection: &mut Connection, packet: &Packet, now: u64) {
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
