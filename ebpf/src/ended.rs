//! Flows counted, and told of when they end.

use core::intrinsics::{AtomicOrdering, atomic_xadd, atomic_xchg};

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::{Connection, ConnectionKey, DENIED, FORWARDED, SlotKey},
    counter,
    event::{Ended, SWEPT, Sweep},
    policy::direction::{EGRESS, INGRESS},
};

use crate::{
    http,
    maps::{CONNTRACK, EVENTS, SLOTS},
    packet::ETHERNET,
    share, tell, words,
};

/// A flow that policy has cut has ended when nobody has tried it for so long.
const CUT: u64 = 60_000_000_000;

/// Counts a packet of a flow.
#[inline(always)]
pub fn counted<const FROM_POD: bool>(ctx: &TcContext, entry: &mut Connection) {
    let direction = if FROM_POD { EGRESS } else { INGRESS } as usize;
    let bytes = bytes(ctx);
    // SAFETY: fields of a map value.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut entry.packets[direction], 1);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
            &raw mut entry.bytes[direction],
            bytes,
        );
    }
}

/// Bytes of a packet from the IP header on.
#[inline(always)]
pub fn bytes(ctx: &TcContext) -> u64 {
    (ctx.len() as u64).saturating_sub(ETHERNET as u64)
}

/// Tells of a flow's end, once.
#[inline(never)]
pub fn tell(key: &ConnectionKey, entry: &mut Connection) {
    if !key.is_flow() || entry.flags & FORWARDED != 0 {
        return;
    }
    // SAFETY: a field of a map value.
    let told = unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(&raw mut entry.told, 1) };
    if told != 0 {
        return;
    }
    let Some(mut place) = EVENTS.reserve::<Ended>(0) else {
        return tell::count(counter::LOST_EVENT);
    };
    let ended = place.as_mut_ptr();
    // SAFETY: the ring gives this many bytes to us alone until `submit`; all fields are written.
    unsafe {
        (*ended).time = tell::now();
        words::copy(&mut (*ended).key, key);
        words::copy(&mut (*ended).entry, entry);
    }
    place.submit(0);
}

/// Looks at some slots of an endpoint's ring for flows that have ended: see [`Sweep`]. What is not a
/// flow goes, too, when its time is over.
#[inline(always)]
pub fn sweep(ctx: &TcContext) -> i32 {
    let Ok(asked) = ctx.load::<Sweep>(ETHERNET) else {
        return 0;
    };
    let now = tell::now();
    for place in 0..SWEPT {
        let slot = asked.from.wrapping_add(place) as u64;
        sweep_slot(asked.endpoint as u64, slot, asked.all as u64, now);
    }
    0
}

/// Looks at one slot. A global function of numbers: the verifier reads it once, not for every turn.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sweep_slot(endpoint: u64, slot: u64, all: u64, now: u64) -> u64 {
    let place = SlotKey {
        endpoint: endpoint as u16,
        slot: slot as u16,
    };
    let Some(key) = SLOTS.get_ptr(place) else {
        return 0;
    };
    // SAFETY: map values outlive the program's run.
    let key = unsafe { &*key };
    let Some(entry) = share::get(key) else {
        return 0;
    };
    if entry.slot != slot as u16 {
        return 0;
    }
    if all != 0 {
        tell(key, entry);
        return 0;
    }
    let idle = now.saturating_sub(entry.last_seen);
    if entry.flags & DENIED != 0 && idle > CUT {
        // It stays: see `DENIED`.
        tell(key, entry);
    }
    if idle <= key.lifetime(entry) {
        return 0;
    }
    tell(key, entry);
    http::forget(key);
    let _ = CONNTRACK.remove(key);
    0
}
