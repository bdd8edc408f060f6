//! Packets of flows that are known.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::{Connection, ConnectionKey, DENIED, FROM_NODE, JUDGED, MET, PROXIED, TRANSLATED},
    counter,
    policy::{Endpoint, NODE_LOCAL, direction::INGRESS, verdict},
};

use super::judged_port;
use crate::{
    http,
    learnt::learn,
    link::to_proxy,
    packet::Packet,
    service,
    tell::{self, Told, drop, fail, pass},
    tracking,
    verdict::{Judged, address, judge, judge_both},
};

/// Passes, drops or proxies a packet as its flow is; the flow is judged first where policies have
/// changed since.
#[inline(always)]
pub fn tracked<const FROM_POD: bool>(
    ctx: &TcContext,
    endpoint: &Endpoint,
    packet: &mut Packet,
    key: &ConnectionKey,
    connection: &mut Connection,
    revision: u32,
    now: u64,
) -> i32 {
    if connection.revision != revision {
        tell::count(counter::REJUDGED);
        let proxied = connection.flags & PROXIED;
        rejudge(endpoint, packet, key, connection, revision);
        if connection.flags & PROXIED != proxied {
            // The reset needs a way back.
            learn::<FROM_POD>(ctx, endpoint.index, &key.remote, now);
        }
    }
    tracking::seen::<FROM_POD>(ctx, key, connection, packet, now);
    if FROM_POD {
        tracking::addressed(connection, packet);
    }
    if connection.flags & DENIED != 0 {
        return drop(counter::DROP_POLICY);
    }
    if connection.flags & PROXIED != 0 {
        return to_proxy::<FROM_POD>(ctx, endpoint.index, packet, connection.direction);
    }
    if !FROM_POD
        && connection.flags & TRANSLATED != 0
        && !service::reverse(ctx, packet, &connection.service, connection.service_port)
    {
        return fail(packet, endpoint.index, INGRESS, counter::DROP_TRANSLATION);
    }
    if connection.flags & JUDGED != 0 {
        return http::call::<FROM_POD>(ctx);
    }
    pass(counter::PASS_TRACKED)
}

/// Judges a tracked flow under a new revision, in the direction that opened it. A flow that now
/// needs the proxy and does not run through it is handed to it all the same: the proxy's network
/// namespace has no socket for it and answers with a reset.
#[inline(always)]
fn rejudge(
    endpoint: &Endpoint,
    packet: &Packet,
    key: &ConnectionKey,
    connection: &mut Connection,
    revision: u32,
) {
    let mut direction = connection.direction;
    let still_node =
        connection.flags & FROM_NODE != 0 && address(&key.remote).flags & NODE_LOCAL != 0;
    let judged = if still_node {
        Judged::ALLOW
    } else if connection.flags & MET != 0 {
        let (judged, by) = judge_both(endpoint, direction, key);
        direction = by;
        judged
    } else {
        let port = judged_port(key, direction);
        judge(
            endpoint,
            direction,
            &key.remote,
            packet.protocol,
            port,
            false,
        )
    };
    connection.policy = judged.policy;
    let here = connection.flags & JUDGED != 0;
    if here && (judged.verdict == verdict::REDIRECT || judged.verdict == verdict::DENY) {
        // The table before the revision: who sees this one finds that one. Without a table the next
        // head is the proxy's.
        http::changed(key, judged.table);
    } else if here {
        connection.flags &= !JUDGED;
        http::forget(key);
    }
    connection.revision = revision;
    connection.flags &= !DENIED;
    let mut reason = counter::PASS_TRACKED;
    if judged.verdict == verdict::DENY {
        reason = counter::DROP_POLICY;
        connection.flags |= DENIED;
    } else if judged.verdict == verdict::REDIRECT && connection.flags & (PROXIED | JUDGED) == 0 {
        reason = counter::REDIRECT;
        connection.flags |= PROXIED;
    } else if judged.verdict == verdict::AUDIT {
        reason = counter::PASS_AUDITED;
    }
    if reason != counter::PASS_TRACKED {
        let told = Told::of(endpoint, judged, revision, direction, reason);
        tell::tell(packet, told);
    }
}
