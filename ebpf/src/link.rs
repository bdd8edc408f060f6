//! The private link between the node and the proxy's network namespace.
//!
//! On the link a frame's source MAC says which endpoint it belongs to and from which side it
//! came: `02:5a:SIDE:DIRECTION:INDEX`. Inside the namespace the same travels in `skb->mark`.

use aya_ebpf::{
    helpers::generated::{
        bpf_map_lookup_elem, bpf_redirect, bpf_redirect_peer, bpf_sk_release, bpf_skb_change_type,
    },
    programs::TcContext,
};
use weir_abi::{
    conntrack::{Connection, ConnectionKey, PROXIED, TRANSLATED},
    counter, mark,
    policy::{
        NeighbourKey,
        direction::{EGRESS, INGRESS},
    },
    protocol,
};

use crate::{
    maps::{CONFIG, CONNTRACK, INTERFACES, LISTENERS, NEIGHBOURS, Scratch, scratch},
    packet::{self, Kind},
    service,
    steer::slot,
    tell::{self, drop, fail, pass},
    tracking,
    verdict::proxied,
};

const BPF_F_INGRESS: u64 = 1;
const PACKET_HOST: u32 = 0;

/// Who a frame on the link belongs to.
#[derive(Clone, Copy)]
struct Label {
    endpoint: u16,
    from_pod: bool,
    /// Of the flow; only set on the way to the proxy.
    direction: u8,
}

#[inline(always)]
fn label(ctx: &TcContext) -> Option<Label> {
    match ctx.load::<[u8; 6]>(6).ok()? {
        [0x02, 0x5a, side, direction, high, low] if side <= 1 && direction <= 1 => Some(Label {
            endpoint: u16::from_be_bytes([high, low]),
            from_pod: side == 1,
            direction,
        }),
        _ => None,
    }
}

/// Puts the label on a frame.
#[inline(always)]
pub fn put_label(ctx: &TcContext, endpoint: u16, from_pod: bool, direction: u8) -> bool {
    let [high, low] = endpoint.to_be_bytes();
    let source = [0x02, 0x5a, from_pod as u8, direction, high, low];
    ctx.store(6, &source, 0).is_ok()
}

/// Into the proxy's network namespace: the label becomes the mark. A new connection is dropped
/// where no proxy listens; the kernel would answer it with a reset otherwise.
#[inline(always)]
pub fn to_proxy(ctx: &TcContext) -> i32 {
    let Some(label) = label(ctx) else {
        return drop(counter::DROP_FOREIGN);
    };
    let Some(Scratch { packet, header, .. }) = scratch() else {
        return drop(counter::DROP_FOREIGN);
    };
    if packet::parse(ctx, label.endpoint, packet, header) != Kind::Flow || !proxied(packet.protocol)
    {
        return drop(counter::DROP_FOREIGN);
    }
    let udp = packet.protocol == protocol::UDP;
    // A datagram of the client's side always asks; one of the server's answers a socket of ours.
    let asks = packet.opens() || (udp && label.from_pod == (label.direction == EGRESS));
    if asks && !listening(slot(label.direction, packet.v6, udp)) {
        return fail(
            packet,
            label.endpoint,
            label.direction,
            counter::DROP_NO_PROXY,
        );
    }
    // The frame still carries the MAC of the next hop or of the pod.
    // SAFETY: the context is valid for the run of the program.
    if unsafe { bpf_skb_change_type(ctx.skb.skb.cast(), PACKET_HOST) } != 0 {
        return drop(counter::DROP_FOREIGN);
    }
    ctx.set_mark(mark::private(label.endpoint, label.from_pod));
    pass(counter::TO_PROXY)
}

/// Whether the proxy has put a listener into a slot of `LISTENERS`. A dead proxy's sockets leave
/// the map by themselves.
#[inline(always)]
fn listening(slot: u32) -> bool {
    // SAFETY: `SockMap` is a transparent wrapper of the map's definition, and the socket that the
    // look-up returns is released.
    unsafe {
        let map = (&raw const LISTENERS).cast_mut().cast();
        let socket = bpf_map_lookup_elem(map, (&raw const slot).cast_mut().cast());
        if socket.is_null() {
            return false;
        }
        bpf_sk_release(socket);
    }
    true
}

/// Out of the proxy's network namespace: the mark becomes the label.
#[inline(always)]
pub fn leave_proxy(ctx: &TcContext) -> i32 {
    // SAFETY: the context is valid for the run of the program.
    let skb_mark = unsafe { (*ctx.skb.skb).mark };
    let Some(endpoint) = mark::endpoint(skb_mark) else {
        return drop(counter::DROP_UNMARKED);
    };
    if !put_label(ctx, endpoint, skb_mark & mark::FROM_POD != 0, 0) {
        return drop(counter::DROP_UNMARKED);
    }
    tell::PASS
}

/// From the proxy, on the node's side: to the pod, or injected as if the pod had sent it.
#[inline(always)]
pub fn from_proxy(ctx: &TcContext) -> i32 {
    let Some(label) = label(ctx) else {
        return drop(counter::DROP_FOREIGN);
    };
    // SAFETY: entries are plain integers.
    let Some(interface) = (unsafe { INTERFACES.get(label.endpoint as u32) }) else {
        return drop(counter::DROP_GONE);
    };
    let interface = *interface;
    let Some(Scratch {
        packet,
        key,
        connection: entry,
        header,
        ..
    }) = scratch()
    else {
        return drop(counter::DROP_MALFORMED);
    };
    if packet::parse(ctx, label.endpoint, packet, header) != Kind::Flow {
        return drop(counter::DROP_MALFORMED);
    }
    // Coded alike on both ways: `from_pod` is the side on which the proxy faces the pod.
    let towards_pod = label.from_pod;
    *key = packet.key(label.endpoint, !towards_pod);
    let now = tell::now();
    let udp = packet.protocol == protocol::UDP;
    if (packet.opens() || udp) && !open(ctx, key, entry, now) {
        return fail(
            packet,
            label.endpoint,
            seen_as(towards_pod),
            counter::DROP_TABLE_FULL,
        );
    }
    if towards_pod {
        if let Some(connection) = tracking::find(key, now)
            && connection.flags & TRANSLATED != 0
            && !service::reverse(ctx, packet, &connection.service, connection.service_port)
        {
            return fail(packet, label.endpoint, INGRESS, counter::DROP_TRANSLATION);
        }
        tell::count(counter::FROM_PROXY_TO_POD);
        // SAFETY: no preconditions; what the helper cannot do it reports by dropping.
        return unsafe { bpf_redirect_peer(interface, 0) as i32 };
    }
    let neighbour = NeighbourKey {
        remote: key.remote,
        endpoint: label.endpoint,
        reserved: 0,
    };
    // SAFETY: entries are plain bytes.
    let Some(neighbour) = (unsafe { NEIGHBOURS.get(neighbour) }) else {
        return fail(packet, label.endpoint, EGRESS, counter::DROP_NO_NEIGHBOUR);
    };
    let neighbour = *neighbour;
    if ctx.store(0, &neighbour.remote, 0).is_err() || ctx.store(6, &neighbour.pod, 0).is_err() {
        return drop(counter::DROP_MALFORMED);
    }
    ctx.set_mark(mark::INJECTED);
    tell::count(counter::FROM_PROXY_INJECT);
    // SAFETY: as above.
    unsafe { bpf_redirect(interface, BPF_F_INGRESS) as i32 }
}

/// The direction of a packet of the proxy's, from the endpoint's view.
#[inline(always)]
fn seen_as(towards_pod: bool) -> u8 {
    if towards_pod { INGRESS } else { EGRESS }
}

/// Tracks a connection that the proxy opens in the name of one of the ends, so that the answers
/// come back to the proxy also where the client's own port could not be kept.
#[inline(always)]
fn open(ctx: &TcContext, key: &ConnectionKey, entry: &mut Connection, now: u64) -> bool {
    let Some(config) = CONFIG.get(0) else {
        return false;
    };
    if tracking::find(key, now).is_some_and(|connection| connection.flags & PROXIED != 0) {
        return true;
    }
    // SAFETY: the context is valid for the run of the program.
    let arrived_on = unsafe { (*ctx.skb.skb).ifindex };
    *entry = Connection {
        last_seen: now,
        revision: config.revision,
        direction: if arrived_on == config.ingress_link {
            INGRESS
        } else {
            EGRESS
        },
        flags: PROXIED,
        ..Connection::default()
    };
    CONNTRACK.insert(key, *entry, 0).is_ok()
}
