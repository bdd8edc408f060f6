//! The private link between the node and the proxy's network namespace.
//!
//! On the link a frame's source MAC says which endpoint it belongs to and from which side it
//! came ([`Label`]). Inside the namespace the same travels in `skb->mark`.

use aya_ebpf::{
    helpers::generated::{
        bpf_map_lookup_elem, bpf_redirect, bpf_redirect_peer, bpf_sk_release, bpf_skb_change_type,
    },
    programs::TcContext,
};
use weir_abi::{
    conntrack::{Connection, ConnectionKey, PROXIED, TRANSLATED},
    counter,
    label::Label,
    listener, mark,
    policy::direction::{EGRESS, INGRESS},
    protocol,
};

use crate::{
    learnt,
    maps::{CONFIG, INTERFACES, LISTENERS, Scratch, scratch},
    packet::{self, Kind, Packet, Part},
    service, share,
    tell::{self, drop, fail, pass},
    tracking,
    verdict::proxied,
};

const BPF_F_INGRESS: u64 = 1;
const PACKET_HOST: u32 = 0;

#[inline(always)]
fn label(ctx: &TcContext) -> Option<Label> {
    Label::from_mac(ctx.load::<[u8; 6]>(6).ok()?)
}

/// Puts the label on a frame.
#[inline(always)]
fn put_label(ctx: &TcContext, label: Label) -> bool {
    ctx.store(6, &label.to_mac(), 0).is_ok()
}

/// Into the proxy's network namespace: the label becomes the mark. A new connection is dropped
/// where no proxy listens; the kernel would answer it with a reset otherwise.
#[inline(always)]
pub fn arrive(ctx: &TcContext) -> i32 {
    let Some(label) = label(ctx) else {
        return drop(counter::DROP_FOREIGN);
    };
    let Some(Scratch {
        packet,
        datagram,
        header,
        ..
    }) = scratch()
    else {
        return drop(counter::DROP_FOREIGN);
    };
    if packet::parse(ctx, label.endpoint, packet, datagram, header) != Kind::Flow
        || !proxied(packet.protocol)
    {
        return drop(counter::DROP_FOREIGN);
    }
    if packet.part == Part::First {
        packet::remember_fragment(datagram, &packet.ports(), tell::now());
    }
    let udp = packet.protocol == protocol::UDP;
    // A datagram of the client's side always asks; one of the server's answers a socket of ours.
    let asks = packet.opens() || (udp && label.from_pod == (label.direction == EGRESS));
    if asks && !listening(listener::slot(label.direction, packet.v6, udp)) {
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
pub fn listening(slot: u32) -> bool {
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
    let label = Label {
        endpoint,
        from_pod: skb_mark & mark::FROM_POD != 0,
        direction: 0,
    };
    if !put_label(ctx, label) {
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
        datagram,
        header,
        ..
    }) = scratch()
    else {
        return drop(counter::DROP_MALFORMED);
    };
    if packet::parse(ctx, label.endpoint, packet, datagram, header) != Kind::Flow {
        return drop(counter::DROP_MALFORMED);
    }
    let now = tell::now();
    if packet.part == Part::First {
        packet::remember_fragment(datagram, &packet.ports(), now);
    }
    // Coded alike on both ways: `from_pod` is the side on which the proxy faces the pod.
    let towards_pod = label.from_pod;
    *key = packet.key(label.endpoint, !towards_pod);
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
    let Some(neighbour) = learnt::learnt(label.endpoint, &key.remote, now) else {
        return fail(packet, label.endpoint, EGRESS, counter::DROP_NO_NEIGHBOUR);
    };
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
        // What it carries is counted with the flow of the pod.
        told: 1,
        opened: now,
        ..Connection::default()
    };
    share::put(key, entry)
}

#[inline(always)]
fn link(direction: u8) -> u32 {
    match CONFIG.get(0) {
        Some(config) if direction == INGRESS => config.ingress_link,
        Some(config) => config.egress_link,
        None => 0,
    }
}

/// Sends a packet from a pod's veth to the proxy.
#[inline(always)]
pub fn to_proxy<const FROM_POD: bool>(
    ctx: &TcContext,
    endpoint: u16,
    packet: &Packet,
    direction: u8,
) -> i32 {
    let link = link(direction);
    if link == 0 {
        return fail(packet, endpoint, direction, counter::DROP_NO_LINK);
    }
    if !proxied(packet.protocol) {
        return drop(counter::DROP_POLICY);
    }
    let label = Label {
        endpoint,
        from_pod: FROM_POD,
        direction,
    };
    if !put_label(ctx, label) {
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
