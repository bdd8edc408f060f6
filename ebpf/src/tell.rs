//! Counting and telling user space.

use aya_ebpf::{bindings::TC_ACT_SHOT, helpers::generated::bpf_ktime_get_ns};
use weir_abi::{counter, event::Event};

use crate::{
    maps::{COUNTERS, EVENTS},
    packet::Packet,
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
        (*event).reserved = [0; 3];
    }
    entry.submit(0);
}
