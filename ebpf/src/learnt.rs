//! Link-layer addresses of proxied flows: learnt from a flow's first packet, put on what the proxy
//! sends in the pod's name.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    Address,
    conntrack::{BESIDE, ConnectionKey, NEIGHBOUR, Neighbour},
};

use crate::{maps::beside, share};

#[inline(always)]
fn key(endpoint: u16, remote: &Address, key: &mut ConnectionKey) {
    *key = ConnectionKey {
        remote: *remote,
        endpoint,
        protocol: BESIDE,
        kind: NEIGHBOUR,
        ..ConnectionKey::default()
    };
}

/// Remembers the link-layer addresses of a flow that goes to the proxy. Where there is no room the
/// proxy's packets are dropped and counted.
#[inline(always)]
pub fn learn<const FROM_POD: bool>(ctx: &TcContext, endpoint: u16, remote: &Address, now: u64) {
    let (Ok(frame), Some(beside)) = (ctx.load::<[u8; 12]>(0), beside()) else {
        return;
    };
    key(endpoint, remote, &mut beside.key);
    // Destination first, as in the frame; the pod is the source of what it sends.
    let mut bytes = [0u8; 16];
    if FROM_POD {
        bytes[..6].copy_from_slice(&frame[6..]);
        bytes[6..12].copy_from_slice(&frame[..6]);
    } else {
        bytes[..12].copy_from_slice(&frame);
    }
    share::put_beside(beside, &bytes, 0, 0, now);
}

/// What was learnt of the other end of an endpoint's proxied flows.
#[inline(always)]
pub fn learnt(endpoint: u16, remote: &Address, now: u64) -> Option<Neighbour> {
    let beside = beside()?;
    key(endpoint, remote, &mut beside.key);
    let entry = share::get(&beside.key)?;
    share::used(entry, now);
    let (mut pod, mut other) = ([0u8; 6], [0u8; 6]);
    pod.copy_from_slice(&entry.service[..6]);
    other.copy_from_slice(&entry.service[6..12]);
    Some(Neighbour { pod, remote: other })
}
