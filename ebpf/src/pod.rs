//! The programs at a pod's veth: track, judge, and pass, drop or send to the proxy.

use aya_ebpf::{
    helpers::generated::{bpf_redirect, bpf_redirect_peer},
    programs::TcContext,
};
use weir_abi::{
    conntrack::{Connection, ConnectionKey, DENIED, FROM_NODE, OPENING, PROXIED, TRANSLATED},
    counter, mark,
    policy::{
        Endpoint, Neighbour, NeighbourKey,
        direction::{EGRESS, INGRESS},
        verdict,
    },
    protocol,
};

use crate::{
    link::put_label,
    maps::{CONFIG, CONNTRACK, ENDPOINTS, NEIGHBOURS, Scratch, scratch},
    packet::{self, Kind, Packet},
    service::{self, Translated},
    tell::{self, Told, drop, fail, pass},
    tracking,
    verdict::{Judged, address, isolated, judge, proxied},
};

/// Judges one packet at a pod's veth; `FROM_POD` says which way it goes.
#[inline(always)]
pub fn handle<const FROM_POD: bool>(ctx: &TcContext) -> i32 {
    // SAFETY: the context is valid for the run of the program.
    let (interface, arrived_on, skb_mark) = unsafe {
        let skb = ctx.skb.skb;
        ((*skb).ifindex, (*skb).ingress_ifindex, (*skb).mark)
    };
    // SAFETY: entries are plain integers.
    let Some(endpoint) = (unsafe { ENDPOINTS.get(interface) }) else {
        return drop(counter::DROP_NO_ENDPOINT);
    };
    let endpoint = *endpoint;
    if FROM_POD && skb_mark == mark::INJECTED {
        ctx.set_mark(0);
        return pass(counter::PASS_INJECTED);
    }
    if !FROM_POD && skb_mark == mark::HAIRPIN {
        ctx.set_mark(0);
        return pass(counter::PASS_ITSELF);
    }
    let direction = if FROM_POD { EGRESS } else { INGRESS };
    let Some(Scratch {
        packet,
        quoted,
        key,
        connection: entry,
        header,
    }) = scratch()
    else {
        return drop(counter::DROP_MALFORMED);
    };
    match packet::parse(ctx, endpoint.index, packet, header) {
        Kind::Flow => {}
        Kind::Neighbour => return pass(counter::PASS_NEIGHBOUR),
        Kind::NotIp if isolated(&endpoint, direction) => {
            return fail(packet, endpoint.index, direction, counter::DROP_NOT_IP);
        }
        Kind::NotIp => return pass(counter::PASS_NEW),
        Kind::Malformed => {
            return fail(packet, endpoint.index, direction, counter::DROP_MALFORMED);
        }
        Kind::Fragment => {
            return fail(packet, endpoint.index, direction, counter::DROP_FRAGMENT);
        }
    }
    let now = tell::now();
    if packet.is_error() && related::<FROM_POD>(ctx, &endpoint, packet, quoted, header, key, now) {
        return pass(counter::PASS_RELATED);
    }
    *key = packet.key(endpoint.index, FROM_POD);
    if FROM_POD {
        match service::from_itself(ctx, packet, key) {
            Translated::Itself => return send_back(ctx, interface),
            Translated::Failed => {
                return fail(packet, endpoint.index, EGRESS, counter::DROP_TRANSLATION);
            }
            Translated::No | Translated::Yes => {}
        }
    }
    let opens = packet.opens();
    let mut connection = if opens {
        None
    } else {
        tracking::find(key, now)
    };
    if FROM_POD && connection.is_none() {
        match service::forward(ctx, packet, key) {
            Translated::No => {}
            Translated::Yes => {
                key.remote = packet.destination;
                key.remote_port = packet.destination_port;
                if !opens {
                    connection = tracking::find(key, now);
                }
            }
            Translated::Itself => return send_back(ctx, interface),
            Translated::Failed => {
                return fail(packet, endpoint.index, EGRESS, counter::DROP_TRANSLATION);
            }
        }
    }
    // Read before anything is judged: a change in between makes the next packet judge anew.
    let Some(config) = CONFIG.get(0) else {
        return drop(counter::DROP_NO_LINK);
    };
    // SAFETY: the entry lives as long as the map; the agent may write it meanwhile.
    let revision = unsafe { core::ptr::read_volatile(&raw const config.revision) };

    if let Some(connection) = connection {
        if connection.revision != revision {
            tell::count(counter::REJUDGED);
            let proxied = connection.flags & PROXIED;
            rejudge(&endpoint, packet, key, connection, revision);
            if connection.flags & PROXIED != proxied {
                // The reset needs a way back.
                learn::<FROM_POD>(ctx, &endpoint, key);
            }
        }
        tracking::seen(connection, packet, now);
        if FROM_POD {
            tracking::addressed(connection, packet);
        }
        if connection.flags & DENIED != 0 {
            return drop(counter::DROP_POLICY);
        }
        if connection.flags & PROXIED != 0 {
            return to_proxy::<FROM_POD>(ctx, &endpoint, packet, connection.direction);
        }
        if !FROM_POD
            && connection.flags & TRANSLATED != 0
            && !service::reverse(ctx, packet, &connection.service, connection.service_port)
        {
            return fail(packet, endpoint.index, INGRESS, counter::DROP_TRANSLATION);
        }
        return pass(counter::PASS_TRACKED);
    }

    // A new flow, or one that was open before the table knew of it.
    if packet.accepts() && (isolated(&endpoint, INGRESS) || isolated(&endpoint, EGRESS)) {
        return fail(packet, endpoint.index, direction, counter::DROP_UNTRACKED);
    }
    let direction = if packet.protocol == protocol::TCP && !opens {
        tracking::guess_direction(key, direction)
    } else {
        direction
    };
    let port = judged_port(key, direction);
    // Packets that the node itself made never came in by an interface.
    let from_node = !FROM_POD && arrived_on == 0;
    if FROM_POD && spoofed(&endpoint, packet) {
        return fail(packet, endpoint.index, EGRESS, counter::DROP_SPOOFED);
    }
    let judged = if from_node {
        Judged {
            verdict: verdict::ALLOW,
            policy: 0,
            class: 0,
        }
    } else {
        judge(
            &endpoint,
            direction,
            &key.remote,
            packet.protocol,
            port,
            (opens || packet.protocol == protocol::UDP) && config.proxy_ready != 0,
        )
    };
    let reason = match judged.verdict {
        verdict::ALLOW if from_node => counter::PASS_NODE,
        verdict::ALLOW => counter::PASS_NEW,
        verdict::REDIRECT => counter::REDIRECT,
        verdict::AUDIT => counter::PASS_AUDITED,
        _ => counter::DROP_POLICY,
    };
    let mut said = told(&endpoint, judged, revision, direction, reason);
    if opens && tracking::unanswered(key, revision) {
        said.again = 1;
    }
    tell::tell(packet, said);
    if judged.verdict == verdict::DENY {
        return drop(counter::DROP_POLICY);
    }
    let mut flags = 0;
    if opens {
        flags |= OPENING;
    }
    if judged.verdict == verdict::REDIRECT {
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
        reserved: 0,
    };
    if CONNTRACK.insert(*key, *entry, 0).is_err() {
        return fail(packet, endpoint.index, direction, counter::DROP_TABLE_FULL);
    }
    if judged.verdict == verdict::REDIRECT {
        learn::<FROM_POD>(ctx, &endpoint, key);
        return to_proxy::<FROM_POD>(ctx, &endpoint, packet, direction);
    }
    pass(reason)
}

/// Sends a packet of a pod to itself back by its own veth. A pod may always reach itself.
#[inline(always)]
fn send_back(ctx: &TcContext, interface: u32) -> i32 {
    let Ok(frame) = ctx.load::<[u8; 12]>(0) else {
        return drop(counter::DROP_MALFORMED);
    };
    let mut swapped = [0u8; 12];
    swapped[..6].copy_from_slice(&frame[6..]);
    swapped[6..].copy_from_slice(&frame[..6]);
    if ctx.store(0, &swapped, 0).is_err() {
        return drop(counter::DROP_MALFORMED);
    }
    ctx.set_mark(mark::HAIRPIN);
    // SAFETY: no preconditions; what the helper cannot do it reports by dropping.
    unsafe { bpf_redirect(interface, 0) as i32 }
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
    let port = judged_port(key, connection.direction);
    let judged = if connection.flags & FROM_NODE != 0 {
        Judged {
            verdict: verdict::ALLOW,
            policy: 0,
            class: 0,
        }
    } else {
        judge(
            endpoint,
            connection.direction,
            &key.remote,
            packet.protocol,
            port,
            false,
        )
    };
    connection.policy = judged.policy;
    connection.revision = revision;
    connection.flags &= !DENIED;
    let mut reason = counter::PASS_TRACKED;
    if judged.verdict == verdict::DENY {
        reason = counter::DROP_POLICY;
        connection.flags |= DENIED;
    } else if judged.verdict == verdict::REDIRECT && connection.flags & PROXIED == 0 {
        reason = counter::REDIRECT;
        connection.flags |= PROXIED;
    } else if judged.verdict == verdict::AUDIT {
        reason = counter::PASS_AUDITED;
    }
    if reason != counter::PASS_TRACKED {
        let told = told(endpoint, judged, revision, connection.direction, reason);
        tell::tell(packet, told);
    }
}

/// What rules compare with their ports: the port of the side that did not open the flow, or the
/// message type.
#[inline(always)]
fn judged_port(key: &ConnectionKey, direction: u8) -> u16 {
    if key.protocol == protocol::ICMP || key.protocol == protocol::ICMPV6 {
        key.kind as u16
    } else if direction == INGRESS {
        key.local_port
    } else {
        key.remote_port
    }
}

#[inline(always)]
fn told(endpoint: &Endpoint, judged: Judged, revision: u32, direction: u8, reason: u8) -> Told {
    Told {
        endpoint: endpoint.index,
        set: endpoint.set,
        class: judged.class,
        policy: judged.policy,
        revision,
        direction,
        verdict: judged.verdict,
        reason,
        again: 0,
    }
}

/// Whether an ICMP error is about a flow that is tracked.
#[inline(always)]
fn related<const FROM_POD: bool>(
    ctx: &TcContext,
    endpoint: &Endpoint,
    packet: &Packet,
    quoted: &mut Packet,
    header: &mut [u8; 40],
    key: &mut ConnectionKey,
    now: u64,
) -> bool {
    if !packet::quoted(ctx, packet, quoted, header) {
        return false;
    }
    // What an error towards the pod quotes was sent by the pod, and the other way round.
    *key = quoted.key(endpoint.index, !FROM_POD);
    let Some(tracked) = tracking::find(key, now) else {
        return false;
    };
    if tracked.flags & DENIED != 0 {
        return false;
    }
    FROM_POD
        || tracked.flags & TRANSLATED == 0
        || service::reverse_quote(ctx, packet, quoted, &tracked.service, tracked.service_port)
}

/// Whether the pod sends from an address that is not its own. Link-local addresses are not listed.
#[inline(always)]
fn spoofed(endpoint: &Endpoint, packet: &Packet) -> bool {
    let link_local = packet.v6 && packet.source[0] == 0xfe && packet.source[1] & 0xc0 == 0x80;
    !link_local && address(&packet.source).endpoint != endpoint.index
}

#[inline(always)]
fn link(direction: u8) -> u32 {
    match CONFIG.get(0) {
        Some(config) if direction == INGRESS => config.ingress_link,
        Some(config) => config.egress_link,
        None => 0,
    }
}

/// Remembers the link-layer addresses of a flow that goes to the proxy.
#[inline(always)]
fn learn<const FROM_POD: bool>(ctx: &TcContext, endpoint: &Endpoint, key: &ConnectionKey) {
    let Ok(frame) = ctx.load::<[u8; 12]>(0) else {
        return;
    };
    let (mut destination, mut source) = ([0u8; 6], [0u8; 6]);
    destination.copy_from_slice(&frame[..6]);
    source.copy_from_slice(&frame[6..]);
    let neighbour = if FROM_POD {
        Neighbour {
            pod: source,
            remote: destination,
        }
    } else {
        Neighbour {
            pod: destination,
            remote: source,
        }
    };
    let key = NeighbourKey {
        remote: key.remote,
        endpoint: endpoint.index,
        reserved: 0,
    };
    // Where the table takes no entry the proxy's packets are dropped and counted.
    let _ = NEIGHBOURS.insert(key, neighbour, 0);
}

/// Sends a packet to the proxy over the private link.
#[inline(always)]
fn to_proxy<const FROM_POD: bool>(
    ctx: &TcContext,
    endpoint: &Endpoint,
    packet: &Packet,
    direction: u8,
) -> i32 {
    let link = link(direction);
    if link == 0 {
        return fail(packet, endpoint.index, direction, counter::DROP_NO_LINK);
    }
    if !proxied(packet.protocol) {
        return drop(counter::DROP_POLICY);
    }
    if !put_label(ctx, endpoint.index, FROM_POD, direction) {
        return drop(counter::DROP_MALFORMED);
    }
    tell::count(counter::REDIRECT);
    // SAFETY: no preconditions; what the helper cannot do it reports by dropping.
    unsafe {
        // `bpf_redirect_peer` works on ingress only, where it saves a pass through the backlog.
        if FROM_POD {
            bpf_redirect_peer(link, 0) as i32
        } else {
            bpf_redirect(link, 0) as i32
        }
    }
}
