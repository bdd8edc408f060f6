//! What the programs tell user space through the ring buffer: one event for each new verdict, and
//! some of the packets that were dropped for another reason than policy; and the end of each flow,
//! with what was counted of it.

use crate::{
    Address,
    conntrack::{Connection, ConnectionKey},
    shared,
};

/// A verdict on a new flow (or on a tracked one under a new revision).
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Event {
    /// Monotonic time in ns.
    pub time: u64,
    /// Source address of the packet.
    pub source: Address,
    /// Destination address, after service translation.
    pub destination: Address,
    /// The service's address where the endpoint dialled one, else zero.
    pub service: Address,
    /// Source port.
    pub source_port: u16,
    /// Destination port, after service translation.
    pub destination_port: u16,
    /// The service's port, else zero.
    pub service_port: u16,
    /// Index of the endpoint that judged.
    pub endpoint: u16,
    /// Number of the policy that decided; 0: default deny, or no policy selects the endpoint.
    pub policy: u32,
    /// Policy set of the endpoint.
    pub set: u32,
    /// Class of the peer.
    pub class: u32,
    /// Revision under which it was judged; 0 where it was not.
    pub revision: u32,
    /// See [`crate::policy::direction`].
    pub direction: u8,
    /// See [`crate::policy::verdict`].
    pub verdict: u8,
    /// Counter of the reason: see [`crate::counter`].
    pub reason: u8,
    /// IANA number.
    pub protocol: u8,
    /// TCP flags of the packet; ICMP type.
    pub detail: u8,
    /// 1: the packet that opened the flow came again, unanswered so far. Programs of before write
    /// zero.
    pub again: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

impl Event {
    /// Whether the packet was dropped before it could be judged, or for want of something: no
    /// policy has to do with it.
    pub fn is_failure(&self) -> bool {
        crate::counter::is_failure(self.reason)
    }
}

/// The end of a flow: its entry as it was last. It shares the ring with [`Event`], from which its
/// length tells it.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Ended {
    /// Monotonic time in ns.
    pub time: u64,
    /// Which flow, from the endpoint's view.
    pub key: ConnectionKey,
    /// What was known of it.
    pub entry: Connection,
}

/// What `sweep` is asked: to look at slots of an endpoint's ring for flows that have ended. Read
/// behind an Ethernet header.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Index of the endpoint.
    pub endpoint: u32,
    /// The first slot to look at.
    pub from: u32,
    /// 1: the endpoint goes, and every flow of it ends; 0: those end whose time is over.
    pub all: u32,
}

/// How many slots one run of `sweep` looks at.
pub const SWEPT: u32 = 256;

shared!(Event = 88, Ended = 136, Sweep = 12);
