//! Services: virtual addresses and where they lead.

use crate::{Address, shared};

/// Key of the `SERVICES` map.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Virtual address.
    pub address: Address,
    /// The service's port.
    pub port: u16,
    /// IANA number.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}

/// Value of the `SERVICES` map. A changed service gets a new id with new backends, then this
/// entry is switched, then the old backends go.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Service {
    /// Which backends: the first half of a [`BackendKey`].
    pub id: u32,
    /// How many; never 0.
    pub backends: u16,
    /// `CLIENT_AFFINITY`.
    pub flags: u16,
}

/// [`ServiceKey::address`] of a node port of IPv4: asked for every address of a node.
pub const ANY_NODE_V4: Address = crate::mapped([0; 4]);
/// The same of IPv6.
pub const ANY_NODE_V6: Address = [0; 16];

/// The same client gets the same backend while the backends stay the same.
pub const CLIENT_AFFINITY: u16 = 1;

/// Key of the `BACKENDS` map.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Hash)]
pub struct BackendKey {
    /// [`Service::id`].
    pub service: u32,
    /// 0 to [`Service::backends`] - 1.
    pub slot: u32,
}

/// Value of the `BACKENDS` map.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Address of the endpoint behind the service.
    pub address: Address,
    /// Its port.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
}

/// What a pod that reaches itself by way of a service sees as the other end; its own address would
/// be dropped by its stack. IPv4: link-local (RFC 3927), IPv6: unique local (RFC 4193).
pub const HAIRPIN_V4: crate::Address = crate::mapped([169, 254, 42, 1]);
/// See [`HAIRPIN_V4`].
pub const HAIRPIN_V6: crate::Address = [
    0xfd, 0x77, 0x65, 0x69, 0x72, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
];

shared!(ServiceKey = 20, Service = 8, BackendKey = 8, Backend = 20);
