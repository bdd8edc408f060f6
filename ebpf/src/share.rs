//! The connection table: a ring of slots for each endpoint, so that an endpoint's entries go only
//! for others of its own.
//!
//! A new entry looks at the slots where the ring's hand stands. What has ended is replaced at
//! once; while the ring is shorter than the share it grows; and where it is full a few more slots
//! are looked at for what can best be spared: a flow that nobody answered, then one that has been
//! idle for long. If all of them are in use the new entry is refused, and nothing is cut.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::bindings::BPF_ANY;
use weir_abi::{
    conntrack::{BESIDE, Connection, ConnectionKey, DENIED, FRAGMENT, OPENING, SlotKey},
    counter,
};

use crate::{
    ended, http,
    maps::{Beside, CONFIG, CONNTRACK, SHARES, SLOTS},
    tell,
};

const SECOND: u64 = 1_000_000_000;
/// Slots looked at before the ring grows, and when it cannot.
const FIRST_LOOK: u32 = 2;
const LAST_LOOK: u32 = 16;
/// A flow that nobody answered, an end that nobody may still speak of, a datagram that should be
/// whole by now: after this they may be replaced.
const UNANSWERED: u64 = 3 * SECOND;
const LINGER: u64 = 10 * SECOND;
/// An answered flow may be replaced where the share is used up and it has been idle for so long.
const IDLE: u64 = 60 * SECOND;
/// What opens a flow is sent again within this time, where nobody answers (RFC 6298, Linux'
/// tcp_syn_retries).
const RETRY: u64 = 130 * SECOND;
const DAY: u64 = 24 * 3600 * SECOND;

// See `worth`.
const FREE: u64 = 0;
const ENDED: u64 = 1;
const KEPT: u64 = 1 << 56;
const IN_USE: u64 = u64::MAX;

/// The entry of a key, dead or alive.
#[inline(always)]
pub fn get(key: &ConnectionKey) -> Option<&'static mut Connection> {
    // SAFETY: map values outlive the program's run; other CPUs may write the same plain
    // integers, which at worst moves a time stamp or repeats a judgement.
    CONNTRACK
        .get_ptr_mut(key)
        .map(|entry| unsafe { &mut *entry })
}

/// What an entry is worth when another one needs its slot, least first: [`FREE`], [`ENDED`], a flow
/// that nobody answered, anything else. The longer it has been idle the less: the lower bits count
/// what is left of a day.
#[inline(always)]
fn worth(key: &ConnectionKey, slot: u16, now: u64) -> u64 {
    let Some(entry) = get(key) else {
        return FREE;
    };
    if entry.slot != slot {
        return FREE;
    }
    let idle = now.saturating_sub(entry.last_seen);
    let fragment = key.protocol == BESIDE && key.kind == FRAGMENT;
    if entry.flags & DENIED != 0
        || idle > key.lifetime(entry)
        || idle > LINGER && (entry.is_closed() || fragment)
    {
        return ENDED;
    }
    if entry.flags & OPENING != 0 || fragment {
        return if idle > UNANSWERED {
            ENDED
        } else {
            KEPT - 1 - idle
        };
    }
    if idle > IDLE {
        KEPT + DAY.saturating_sub(idle)
    } else {
        IN_USE
    }
}

/// Counts on and returns the number before: no two CPUs get the same.
///
/// # Safety
///
/// `number` points into a map value.
#[inline(always)]
unsafe fn next(number: *mut u32) -> u32 {
    // SAFETY: see above. Rust's `AtomicU32` has no `fetch_add` for BPF; the instruction is there,
    // and a relaxed one would be compiled to an addition that returns nothing.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(number, 1) }
}

/// No slot.
const NONE: u64 = u64::MAX;

/// Finds a slot of the endpoint's ring for a new entry, and frees it; [`NONE`] where there is no
/// room. A global function of numbers: the verifier reads it once, not for every caller.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn take_slot(endpoint: u64, now: u64) -> u64 {
    let endpoint = endpoint as u16;
    let (Some(config), Some(share)) = (CONFIG.get(0), SHARES.get_ptr_mut(endpoint as u32)) else {
        return NONE;
    };
    let most = config.share;
    let (mut best, mut least) = (0u16, IN_USE);
    for look in 0..LAST_LOOK {
        // SAFETY: as in `get`.
        let length = unsafe { core::ptr::read_volatile(&raw const (*share).length) };
        if length < most && (look >= FIRST_LOOK || length == 0) {
            // SAFETY: a field of a map value.
            return unsafe { next(&raw mut (*share).length) } as u16 as u64;
        }
        if length == 0 {
            return NONE;
        }
        // SAFETY: as above.
        let slot = (unsafe { next(&raw mut (*share).hand) } % length) as u16;
        let worth = match SLOTS.get_ptr(SlotKey { endpoint, slot }) {
            // SAFETY: as above.
            Some(key) => worth(unsafe { &*key }, slot, now),
            None => FREE,
        };
        if worth < least {
            (best, least) = (slot, worth);
        }
        if least <= ENDED {
            break;
        }
    }
    if least == IN_USE {
        return NONE;
    }
    if least > ENDED {
        tell::count(counter::EVICTED);
    }
    if least > FREE
        && let Some(key) = SLOTS.get_ptr(SlotKey {
            endpoint,
            slot: best,
        })
    {
        // SAFETY: as above.
        let key = unsafe { &*key };
        if let Some(entry) = get(key) {
            ended::tell(key, entry);
        }
        http::forget(key);
        let _ = CONNTRACK.remove(key);
    }
    best as u64
}

/// Puts an entry into its endpoint's share, in place of one of the same key, whose flow ends: but
/// for one that nobody has answered, which the same packet opens again. False where there is no
/// room: nothing is stored then.
#[inline(never)]
pub fn put(key: &ConnectionKey, entry: &mut Connection) -> bool {
    if let Some(old) = get(key) {
        entry.slot = old.slot;
        let again = entry.last_seen.wrapping_sub(old.last_seen) < RETRY;
        if again && old.flags & OPENING != 0 && old.told == 0 {
            entry.opened = old.opened;
            for direction in 0..2 {
                entry.packets[direction] += old.packets[direction];
                entry.bytes[direction] += old.bytes[direction];
            }
        } else {
            ended::tell(key, old);
        }
        *old = *entry;
        return true;
    }
    let slot = take_slot(key.endpoint as u64, entry.last_seen);
    if slot == NONE {
        return false;
    }
    let slot = slot as u16;
    entry.slot = slot;
    let place = SlotKey {
        endpoint: key.endpoint,
        slot,
    };
    let (key, entry): (&ConnectionKey, &Connection) = (key, entry);
    SLOTS.insert(place, key, BPF_ANY as u64).is_ok()
        && CONNTRACK.insert(key, entry, BPF_ANY as u64).is_ok()
}

/// Puts the entry that is no flow and whose key stands in this CPU's [`Beside`].
#[inline(always)]
pub fn put_beside(beside: &mut Beside, bytes: &[u8; 16], number: u32, port: u16, now: u64) -> bool {
    beside.entry = Connection {
        last_seen: now,
        service: *bytes,
        revision: number,
        service_port: port,
        ..Connection::default()
    };
    put(&beside.key, &mut beside.entry)
}

/// Notes that an entry is still used: to a second, so that most packets only read it.
#[inline(always)]
pub fn used(entry: &mut Connection, now: u64) {
    if now.wrapping_sub(entry.last_seen) > SECOND {
        entry.last_seen = now;
    }
}
