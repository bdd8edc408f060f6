//! Counting and telling user space.

use aya_ebpf::{bindings::TC_ACT_SHOT, helpers::generated::bpf_ktime_get_ns};
use weir_abi::{
    counter,
    event::Event,
    policy::{Endpoint, verdict},
};

use crate::{
    maps::{COUNTERS, EVENTS, Rate, TOLD},
    packet::Packet,
    verdict::Judged,
};

/// `TCX_NEXT`: pass, and let programs attached behind ours have their say.
pub const PASS: i32 = -1;

/// Counts.
#[inline(always)]
pub fn count(reason: u8) {
    if let Some(counter) = COUNTERS.get_ptr_mut(reason as u32) {
        // SAFETY: a per-CPU slot, and programs on one CPU do not interrupt each other.
        unsafe { *counter += 1 }
    }
}

/// Counts and passes.
#[inline(always)]
pub fn pass(reason: u8) -> i32 {
    count(reason);
    PASS
}

/// Counts and drops silently.
#[inline(always)]
pub fn drop(reason: u8) -> i32 {
    count(reason);
    TC_ACT_SHOT
}

/// What a verdict was and who gave it.
#[derive(Clone, Copy)]
pub struct Told {
    pub endpoint: u16,
    pub set: u32,
    pub class: u32,
    pub policy: u32,
    pub revision: u32,
    pub direction: u8,
    pub verdict: u8,
    pub reason: u8,
    pub again: u8,
}

// === impl Told ===

impl Told {
    /// A verdict on a flow of an endpoint.
    #[inline(always)]
    pub fn of(
        endpoint: &Endpoint,
        judged: Judged,
        revision: u32,
        direction: u8,
        reason: u8,
    ) -> Self {
        Self {
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
}

/// Drops that a CPU tells of in [`INTERVAL`]; all are counted.
const DROPS: u32 = 32;
const INTERVAL: u64 = 100_000_000;

/// Counts and drops a packet that no policy denied, and tells of it unless many were told of: a
/// flood of broken packets must not push verdicts out of the ring.
#[inline(never)]
pub fn fail(packet: &Packet, endpoint: u16, direction: u8, reason: u8) -> i32 {
    count(reason);
    let Some(rate) = TOLD.get_ptr_mut(0) else {
        return TC_ACT_SHOT;
    };
    // SAFETY: a per-CPU slot, and programs on one CPU do not interrupt each other.
    let Rate { since, count } = unsafe { &mut *rate };
    let now = now();
    if now.wrapping_sub(*since) > INTERVAL {
        (*since, *count) = (now, 0);
    }
    if *count < DROPS {
        *count += 1;
        let told = Told {
            endpoint,
            set: 0,
            class: 0,
            policy: 0,
            revision: 0,
            direction,
            verdict: verdict::DENY,
            reason,
            again: 0,
        };
        tell(packet, told);
    }
    TC_ACT_SHOT
}

/// Monotonic time in ns.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// Sends an event; counts it as lost where the ring is full.
#[inline(always)]
pub fn tell(packet: &Packet, told: Told) {
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else {
        return count(counter::LOST_EVENT);
    };
    let event = entry.as_mut_ptr();
    // Field by field: a whole event would first be built on the stack.
    // SAFETY: the ring gives this many bytes to us alone until `submit`; all fields are written.
    unsafe {
        (*event).time = now();
        (*event).source = packet.source;
        (*event).destination = packet.destination;
        (*event).service = packet.service;
        (*event).source_port = packet.source_port;
        (*event).destination_port = packet.destination_port;
        (*event).service_port = packet.service_port;
        (*event).endpoint = told.endpoint;
        (*event).policy = told.policy;
        (*event).set = told.set;
        (*event).class = told.class;
        (*event).revision = told.revision;
        (*event).direction = told.direction;
        (*event).verdict = told.verdict;
        (*event).reason = told.reason;
        (*event).protocol = packet.protocol;
        (*event).detail = packet.detail;
        (*event).again = told.again;
        (*event).reserved = [0; 2];
    }
    entry.submit(0);
}
