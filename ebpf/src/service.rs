//! Service addresses: the endpoint's packets to a service go to a backend chosen here, so that
//! policy is judged on the backend's identity and port, and replies get the service's address back.

use aya_ebpf::{
    helpers::generated::{bpf_csum_diff, bpf_get_prandom_u32},
    programs::TcContext,
};
use weir_abi::{
    Address,
    conntrack::{ConnectionKey, TRANSLATION, Translation},
    policy::NODE,
    protocol,
    service::{
        ANY_NODE_V4, ANY_NODE_V6, Backend, BackendKey, CLIENT_AFFINITY, HAIRPIN_V4, HAIRPIN_V6,
        Service, ServiceKey,
    },
};

use crate::{
    maps::{BACKENDS, SERVICES, beside},
    packet::{ETHERNET, Packet, Part},
    share,
    verdict::address,
};

const BPF_F_PSEUDO_HDR: u64 = 0x10;
const BPF_F_MARK_MANGLED_0: u64 = 0x20;

/// Whether translation went well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Translated {
    /// Not to a service, or to one that is left to the node.
    No,
    Yes,
    /// To the endpoint itself: translated on both sides, to be sent back.
    Itself,
    Failed,
}

/// Translates a packet from the endpoint if it goes to a service. `key` is its tracking key with
/// the service as remote. A backend chosen here is kept by [`remember`], once the packet has
/// passed.
#[inline(always)]
pub fn forward(ctx: &TcContext, packet: &mut Packet, key: &ConnectionKey, now: u64) -> Translated {
    if packet.protocol != protocol::TCP && packet.protocol != protocol::UDP {
        return Translated::No;
    }
    let opens = packet.opens();
    let service = find(packet);
    let known = if opens {
        None
    } else {
        known(key, key.local_port, now)
    };
    let translation = match (known, service) {
        // A tracked TCP flow keeps its backend; a datagram flow while the service is unchanged.
        (Some(known), service)
            if packet.protocol == protocol::TCP
                || service.is_some_and(|service| service.id == known.service) =>
        {
            known
        }
        // A TCP flow that is older than the programs keeps the backend that the node chose.
        (_, Some(_)) if packet.protocol == protocol::TCP && !opens => return Translated::No,
        (_, Some(service)) => {
            let affine = service.flags & CLIENT_AFFINITY != 0;
            let chosen = if affine {
                kept(service, key, now)
            } else {
                None
            };
            let Some(backend) = chosen.or_else(|| choose(service, &packet.source)) else {
                return Translated::Failed;
            };
            packet.chosen = service.id;
            packet.affine = affine;
            Translation {
                backend: backend.address,
                service: service.id,
                port: backend.port,
            }
        }
        (_, None) => return Translated::No,
    };
    packet.service = packet.destination;
    packet.service_port = packet.destination_port;
    if translation.backend == packet.source {
        return to_itself(ctx, packet, key, &translation, now);
    }
    if !rewrite(ctx, packet, true, &translation.backend, translation.port) {
        return Translated::Failed;
    }
    Translated::Yes
}

/// The service that a packet goes to: by its address, or by a node port, which every address of
/// every node has.
#[inline(always)]
fn find(packet: &Packet) -> Option<&'static Service> {
    let mut key = ServiceKey {
        address: packet.destination,
        port: packet.destination_port,
        protocol: packet.protocol,
        reserved: 0,
    };
    // SAFETY: entries are plain integers.
    let exact = unsafe { SERVICES.get(key) };
    if exact.is_some() || address(&packet.destination).flags & NODE == 0 {
        return exact;
    }
    key.address = if packet.v6 { ANY_NODE_V6 } else { ANY_NODE_V4 };
    // SAFETY: as above.
    unsafe { SERVICES.get(key) }
}

/// The backend of a flow to a service, where one was chosen. The choice of a client that keeps its
/// backend is that of a flow without a port of its own.
#[inline(always)]
fn known(key: &ConnectionKey, port: u16, now: u64) -> Option<Translation> {
    let beside = beside()?;
    beside.key = *key;
    beside.key.kind = TRANSLATION;
    beside.key.local_port = port;
    let entry = share::get(&beside.key)?;
    share::used(entry, now);
    Some(Translation {
        backend: entry.service,
        service: entry.revision,
        port: entry.service_port,
    })
}

/// Keeps the backend that was chosen for a packet, which has passed. False where there is no room.
#[inline(always)]
pub fn remember(packet: &Packet, endpoint: u16, now: u64) -> bool {
    let Some(beside) = beside() else {
        return false;
    };
    beside.key = ConnectionKey {
        local: packet.source,
        remote: packet.service,
        local_port: packet.source_port,
        remote_port: packet.service_port,
        endpoint,
        protocol: packet.protocol,
        kind: TRANSLATION,
    };
    let (backend, port) = (&packet.destination, packet.destination_port);
    if !share::put_beside(beside, backend, packet.chosen, port, now) {
        return false;
    }
    if packet.affine {
        beside.key.local_port = 0;
        // Without it the client's next choice may be another.
        share::put_beside(beside, backend, packet.chosen, port, now);
    }
    true
}

/// Backends that are looked through for the one that a client had before they changed.
const AFFINE: u32 = 64;

/// The backend that a client has had, as long as the service has it.
#[inline(always)]
fn kept(service: &Service, key: &ConnectionKey, now: u64) -> Option<Backend> {
    let before = known(key, 0, now)?;
    let backend = Backend {
        address: before.backend,
        port: before.port,
        reserved: 0,
    };
    if before.service == service.id {
        return Some(backend);
    }
    for slot in 0..AFFINE {
        if slot >= service.backends as u32 {
            break;
        }
        let other = self::backend(service.id, slot)?;
        if other.address == backend.address && other.port == backend.port {
            return Some(backend);
        }
    }
    None
}

/// A backend of a service: by the client where it wants affinity, else at random. A client that
/// is itself a backend gets another one where there is one (its own packets would come back to it
/// with its own address as source).
#[inline(always)]
fn choose(service: &Service, client: &Address) -> Option<Backend> {
    let backends = service.backends as u32;
    if backends == 0 {
        return None;
    }
    let number = if service.flags & CLIENT_AFFINITY != 0 {
        let mut hash = 0u32;
        for byte in client.iter() {
            hash = hash.wrapping_mul(31).wrapping_add(*byte as u32);
        }
        hash
    } else {
        // SAFETY: no preconditions.
        unsafe { bpf_get_prandom_u32() }
    };
    let slot = number % backends;
    let backend = backend(service.id, slot)?;
    if backend.address != *client || backends == 1 {
        return Some(backend);
    }
    self::backend(service.id, (slot + 1) % backends)
}

#[inline(always)]
fn backend(service: u32, slot: u32) -> Option<Backend> {
    // SAFETY: entries are plain integers.
    unsafe { BACKENDS.get(BackendKey { service, slot }) }.copied()
}

/// What the endpoint sees as the other end when it reaches itself.
#[inline(always)]
fn hairpin(v6: bool) -> Address {
    if v6 { HAIRPIN_V6 } else { HAIRPIN_V4 }
}

/// Translates a packet of an endpoint to itself, and remembers the way back.
#[inline(always)]
fn to_itself(
    ctx: &TcContext,
    packet: &mut Packet,
    key: &ConnectionKey,
    translation: &Translation,
    now: u64,
) -> Translated {
    let other = hairpin(packet.v6);
    let Some(beside) = beside() else {
        return Translated::Failed;
    };
    beside.key = ConnectionKey {
        local: key.local,
        remote: other,
        local_port: translation.port,
        remote_port: packet.source_port,
        endpoint: key.endpoint,
        protocol: key.protocol,
        kind: TRANSLATION,
    };
    let number = translation.service;
    let port = packet.source_port;
    let good = share::put_beside(beside, &packet.service, number, packet.service_port, now)
        && rewrite(ctx, packet, true, &translation.backend, translation.port)
        // A pod may always reach itself.
        && (packet.chosen == 0 || remember(packet, key.endpoint, now))
        && rewrite(ctx, packet, false, &other, port);
    if good {
        Translated::Itself
    } else {
        Translated::Failed
    }
}

/// Translates the answer of an endpoint to itself. `key` is its tracking key.
#[inline(always)]
pub fn from_itself(
    ctx: &TcContext,
    packet: &mut Packet,
    key: &ConnectionKey,
    now: u64,
) -> Translated {
    if packet.destination != hairpin(packet.v6) {
        return Translated::No;
    }
    let Some(service) = known(key, key.local_port, now) else {
        return Translated::Failed;
    };
    let port = packet.destination_port;
    let own = packet.source;
    let good = rewrite(ctx, packet, true, &own, port)
        && rewrite(ctx, packet, false, &service.backend, service.port);
    if good {
        Translated::Itself
    } else {
        Translated::Failed
    }
}

/// Gives a packet that [`forward`] has translated the service's address back.
#[inline(always)]
pub fn forward_undone(ctx: &TcContext, packet: &mut Packet) -> bool {
    let (service, port) = (packet.service, packet.service_port);
    rewrite(ctx, packet, true, &service, port)
}

/// Gives a reply the address of the service that its flow was opened to.
#[inline(always)]
pub fn reverse(ctx: &TcContext, packet: &mut Packet, service: &Address, port: u16) -> bool {
    rewrite(ctx, packet, false, service, port)
}

/// Gives the packet that an ICMP error quotes the service's address back: the endpoint would not
/// know it otherwise, and a path's MTU would be lost. The quoted IP header keeps a right checksum,
/// so only the port changes the checksum of the error over it.
#[inline(always)]
pub fn reverse_quote(
    ctx: &TcContext,
    error: &Packet,
    quoted: &Packet,
    service: &Address,
    port: u16,
) -> bool {
    let checksum = error.transport as usize + 2;
    let inner = error.transport as usize + 8;
    let mut ok = true;
    if error.v6 {
        let old = quoted.destination;
        // SAFETY: both are 16 readable bytes.
        let difference = unsafe {
            bpf_csum_diff(
                old.as_ptr().cast_mut().cast(),
                16,
                service.as_ptr().cast_mut().cast(),
                16,
                0,
            )
        };
        ok &= difference >= 0;
        ok &= ctx
            .l4_csum_replace(checksum, 0, difference as u64, 0)
            .is_ok();
        ok &= ctx.store(inner + 24, service, 0).is_ok();
    } else {
        ok &= ctx
            .l3_csum_replace(inner + 10, word(&quoted.destination), word(service), 4)
            .is_ok();
        let v4 = [service[12], service[13], service[14], service[15]];
        ok &= ctx.store(inner + 16, &v4, 0).is_ok();
    }
    ok &= ctx
        .l4_csum_replace(
            checksum,
            quoted.destination_port.to_be() as u64,
            port.to_be() as u64,
            2,
        )
        .is_ok();
    ok && ctx
        .store(quoted.transport as usize + 2, &port.to_be_bytes(), 0)
        .is_ok()
}

/// Puts an address and port in place of the destination's or the source's, checksums included.
#[inline(always)]
fn rewrite(
    ctx: &TcContext,
    packet: &mut Packet,
    destination: bool,
    address: &Address,
    port: u16,
) -> bool {
    let (old, old_port) = if destination {
        (packet.destination, packet.destination_port)
    } else {
        (packet.source, packet.source_port)
    };
    let transport = packet.transport as usize;
    let (checksum, flags) = if packet.protocol == protocol::TCP {
        (transport + 16, 0)
    } else {
        (transport + 6, BPF_F_MARK_MANGLED_0)
    };
    let mut ok = true;
    if packet.part != Part::Later {
        if packet.v6 {
            // SAFETY: both are 16 readable bytes.
            let difference = unsafe {
                bpf_csum_diff(
                    old.as_ptr().cast_mut().cast(),
                    16,
                    address.as_ptr().cast_mut().cast(),
                    16,
                    0,
                )
            };
            ok &= difference >= 0;
            ok &= ctx
                .l4_csum_replace(checksum, 0, difference as u64, BPF_F_PSEUDO_HDR | flags)
                .is_ok();
        } else {
            ok &= ctx
                .l4_csum_replace(
                    checksum,
                    word(&old),
                    word(address),
                    4 | BPF_F_PSEUDO_HDR | flags,
                )
                .is_ok();
        }
        ok &= ctx
            .l4_csum_replace(
                checksum,
                old_port.to_be() as u64,
                port.to_be() as u64,
                2 | flags,
            )
            .is_ok();
        let at = if destination {
            transport + 2
        } else {
            transport
        };
        ok &= ctx.store(at, &port.to_be_bytes(), 0).is_ok();
    }
    if packet.v6 {
        let at = ETHERNET + if destination { 24 } else { 8 };
        ok &= ctx.store(at, address, 0).is_ok();
    } else {
        ok &= ctx
            .l3_csum_replace(ETHERNET + 10, word(&old), word(address), 4)
            .is_ok();
        let at = ETHERNET + if destination { 16 } else { 12 };
        let v4 = [address[12], address[13], address[14], address[15]];
        ok &= ctx.store(at, &v4, 0).is_ok();
    }
    if destination {
        packet.destination = *address;
        packet.destination_port = port;
    } else {
        packet.source = *address;
        packet.source_port = port;
    }
    ok
}

/// The IPv4 part of an address as it stands in the packet.
#[inline(always)]
fn word(address: &Address) -> u64 {
    u32::from_ne_bytes([address[12], address[13], address[14], address[15]]) as u64
}
