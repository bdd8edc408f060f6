//! Packets of the node's flows that are not known.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::{Connection, ConnectionKey, OPENING},
    counter,
    host::{REACHED, port},
    policy::{
        Endpoint,
        direction::{EGRESS, INGRESS},
        verdict,
    },
    protocol,
    service::{ANY_NODE_V4, ANY_NODE_V6},
};

use super::{
    guard,
    socket::{self, Has},
};
use crate::{
    ended,
    packet::{self, Packet},
    share,
    tell::{self, PASS, Told, drop, fail, pass},
    tracking,
};

/// Judges a flow by its first packet, and tracks it where it passes.
#[inline(always)]
pub fn fresh<const FROM_HOST: bool>(
    ctx: &TcContext,
    endpoint: &Endpoint,
    packet: &Packet,
    key: &mut ConnectionKey,
    entry: &mut Connection,
    revision: u32,
    now: u64,
) -> i32 {
    let opens = packet.opens();
    let way = if FROM_HOST { EGRESS } else { INGRESS };
    let mut direction = way;
    let met = packet.protocol == protocol::TCP && !opens;
    if met {
        match socket::of(ctx, key) {
            // Another's, which netfilter sends on; or nobody's, and it is answered with a RST. Nor
            // is that one judged: who sends what belongs to no connection must not fill the table.
            Has::Nothing => return PASS,
            Has::Listener if !FROM_HOST => {
                return fail(packet, endpoint.index, way, counter::DROP_UNTRACKED);
            }
            _ => {}
        }
        // It is older than the programs.
        direction = if socket::listens(ctx, key) {
            INGRESS
        } else {
            EGRESS
        };
    } else if !FROM_HOST && is_pods(ctx, packet, key) {
        return PASS;
    }
    if direction == INGRESS {
        // Others open these, and as many as they want.
        key.endpoint = super::index_of(REACHED).unwrap_or(endpoint.index);
    }
    let (judged, mut reason) = guard::judge(endpoint, key, direction);
    if met && reason == counter::PASS_NEW {
        reason = counter::PASS_MET;
    }
    let mut told = Told::of(endpoint, judged, revision, direction, reason);
    if opens && tracking::unanswered(key, revision) {
        told.again = 1;
    }
    tell::tell(packet, told);
    if judged.verdict == verdict::DENY {
        return drop(counter::DROP_POLICY);
    }
    if packet::is_group(&key.local, packet.v6) {
        // Nobody answers as a group.
        return pass(reason);
    }
    *entry = Connection {
        last_seen: now,
        revision,
        policy: judged.policy,
        direction,
        flags: if met { 0 } else { OPENING },
        opened: now,
        ..Connection::default()
    };
    let at = way as usize & 1;
    (entry.packets[at], entry.bytes[at]) = (1, ended::bytes(ctx));
    // Without an entry answers are judged: those of TCP by who listens, as this was; and what is never
    // denied, or only told, is not cut for want of room.
    let needed = direction == EGRESS
        && packet.protocol != protocol::TCP
        && (reason == counter::PASS_NEW || reason == counter::PASS_MET);
    if !share::put(key, entry) && needed {
        return fail(packet, endpoint.index, way, counter::DROP_TABLE_FULL);
    }
    pass(reason)
}

/// Whether what arrives at a port of the node goes on to a pod. Where a socket of the node listens it
/// may be the node's: who makes a pod or a service must not open that.
#[inline(always)]
fn is_pods(ctx: &TcContext, packet: &Packet, key: &ConnectionKey) -> bool {
    let any = if packet.v6 {
        &ANY_NODE_V6
    } else {
        &ANY_NODE_V4
    };
    guard::leads(any, key.local_port, key.protocol) == port::POD
        && !packet::is_group(&key.local, packet.v6)
        && !socket::listens(ctx, key)
}
