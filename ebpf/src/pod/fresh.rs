//! Packets of flows that are not known: of new ones, and of connections older than the programs.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::{Connection, ConnectionKey, FROM_NODE, JUDGED, MET, OPENING, PROXIED, TRANSLATED},
    counter,
    policy::{
        Endpoint, NODE_LOCAL,
        direction::{EGRESS, INGRESS},
        verdict,
    },
    protocol,
};

use super::{judged_port, refuse::deny};
use crate::{
    ended, http,
    learnt::learn,
    link::to_proxy,
    maps::{CONFIG, scratch},
    packet::Packet,
    share,
    tell::{self, Told, fail, pass},
    tracking,
    verdict::{Judged, address, judge, judge_both},
};

/// Judges a flow by its first packet, and tracks it where it passes.
#[inline(always)]
pub fn fresh<const FROM_POD: bool>(
    ctx: &TcContext,
    endpoint: &Endpoint,
    packet: &mut Packet,
    key: &ConnectionKey,
    entry: &mut Connection,
    revision: u32,
    now: u64,
) -> i32 {
    let seen = if FROM_POD { EGRESS } else { INGRESS };
    let opens = packet.opens();
    // TCP opens with a SYN and nothing else. In the middle of a connection nobody can tell who
    // opened it: such a packet would choose its own rule.
    let met = packet.protocol == protocol::TCP && !opens;
    let free = !endpoint.is_isolated();
    if met && !free && (packet.accepts() || now > endpoint.met_until) {
        return fail(packet, endpoint.index, seen, counter::DROP_UNTRACKED);
    }
    let direction = if met {
        tracking::guess_direction(key, seen)
    } else {
        seen
    };
    let mut decided_by = direction;
    let from_node = !FROM_POD && is_from_node(ctx, packet);
    let judged = if from_node {
        Judged::ALLOW
    } else if met {
        let (judged, by) = judge_both(endpoint, direction, key);
        decided_by = by;
        judged
    } else {
        let ready = CONFIG.get(0).is_some_and(|config| config.proxy_ready != 0);
        let audited = (opens || packet.protocol == protocol::UDP) && ready;
        let port = judged_port(key, direction);
        judge(
            endpoint,
            direction,
            &key.remote,
            packet.protocol,
            port,
            audited,
        )
    };
    let reason = match judged.verdict {
        verdict::ALLOW if from_node => counter::PASS_NODE,
        verdict::ALLOW if met => counter::PASS_MET,
        verdict::ALLOW => counter::PASS_NEW,
        verdict::REDIRECT => counter::REDIRECT,
        verdict::AUDIT => counter::PASS_AUDITED,
        _ => counter::DROP_POLICY,
    };
    let mut told = Told::of(endpoint, judged, revision, decided_by, reason);
    if opens && tracking::unanswered(key, revision) {
        told.again = 1;
    }
    tell::tell(packet, told);
    if judged.verdict == verdict::DENY {
        let answers = CONFIG.get(0).is_some_and(|config| config.answers != 0);
        return deny::<FROM_POD>(ctx, packet, answers && !met);
    }
    let mut flags = if met { MET } else { OPENING };
    let tcp = packet.protocol == protocol::TCP;
    let here = !FROM_POD && opens && tcp && judged.table != 0 && http::may_open(key, now);
    if here {
        flags |= JUDGED;
    } else if judged.verdict == verdict::REDIRECT {
        flags |= PROXIED;
    }
    if from_node {
        flags |= FROM_NODE;
    }
    if packet.service_port != 0 {
        flags |= TRANSLATED;
    }
    *entry = Connection {
        last_seen: now,
        service: packet.service,
        revision,
        policy: judged.policy,
        service_port: packet.service_port,
        direction,
        flags,
        opened: now,
        ..Connection::default()
    };
    let way = if FROM_POD { EGRESS } else { INGRESS } as usize;
    if !here {
        (entry.packets[way], entry.bytes[way]) = (1, ended::bytes(ctx));
    }
    if !share::put(key, entry) {
        http::forget(key);
        return fail(packet, endpoint.index, direction, counter::DROP_TABLE_FULL);
    }
    if flags & PROXIED != 0 {
        learn::<FROM_POD>(ctx, endpoint.index, &key.remote, now);
        return to_proxy::<FROM_POD>(ctx, endpoint.index, packet, direction);
    }
    if here {
        if let Some(scratch) = scratch() {
            scratch.table = judged.table;
        }
        return http::call::<FROM_POD>(ctx);
    }
    pass(reason)
}

/// Whether the node itself made a packet towards a pod: a socket of its own did, it never came in
/// by an interface, and its source is an address of this node. None of these alone proves it: what
/// is put together and fragmented again on its way comes in by no interface, too, and has the
/// socket of a pod where a bridge does it. See docs/decisions/0004-node-by-socket-and-address.md.
/// Offline the address alone counts: `is_own_node` in `policy/src/verdict.rs`.
#[inline(always)]
fn is_from_node(ctx: &TcContext, packet: &Packet) -> bool {
    // SAFETY: the context is valid for the run of the program.
    let (arrived_on, socket) = unsafe {
        let skb = ctx.skb.skb;
        ((*skb).ingress_ifindex, (*skb).__bindgen_anon_2.sk)
    };
    arrived_on == 0 && !socket.is_null() && address(&packet.source).flags & NODE_LOCAL != 0
}
