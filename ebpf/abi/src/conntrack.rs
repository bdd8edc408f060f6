//! Connection tracking: one entry for each flow of each endpoint, seen from the endpoint, so
//! that both directions of the flow find the same entry.

use crate::{Address, shared};

/// Key of the `CONNTRACK` map, and of the `TRANSLATIONS` map where `remote` is a service.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// Address of the endpoint.
    pub local: Address,
    /// Address of the other end.
    pub remote: Address,
    /// Port of the endpoint; the identifier for ICMP echo.
    pub local_port: u16,
    /// Port of the other end; the identifier for ICMP echo.
    pub remote_port: u16,
    /// Index of the endpoint.
    pub endpoint: u16,
    /// IANA number.
    pub protocol: u8,
    /// Message type that opens an ICMP flow; 0 for other protocols.
    pub kind: u8,
}

/// Value of the `CONNTRACK` map: a flow that was allowed when it began. Packets that are denied
/// then leave no entry.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Connection {
    /// Monotonic time of the last packet in ns, to a second.
    pub last_seen: u64,
    /// The service that the endpoint dialled, where `TRANSLATED`.
    pub service: Address,
    /// Revision under which it was judged.
    pub revision: u32,
    /// Number of the policy that allowed it; 0: none selects the endpoint.
    pub policy: u32,
    /// Port of `service`.
    pub service_port: u16,
    /// Which side opened it: see [`crate::policy::direction`].
    pub direction: u8,
    /// Bits below.
    pub flags: u8,
    /// Zero.
    pub reserved: u32,
}

/// The flow runs through the proxy.
pub const PROXIED: u8 = 1;
/// The endpoint dialled a service; replies get its address back.
pub const TRANSLATED: u8 = 2;
/// A FIN or RST was seen.
pub const CLOSING: u8 = 4;
/// Opened by the node itself (the kubelet's probes): always allowed, never proxied.
pub const FROM_NODE: u8 = 8;
/// A later revision denies the flow. The entry stays: without it the next packet of the side that
/// did not open the flow would be taken for a new flow of that side.
pub const DENIED: u8 = 16;
/// Nothing but the packet that opened it was seen. Entries of before have it not.
pub const OPENING: u8 = 32;

/// Value of the `TRANSLATIONS` map: the backend chosen for a flow to a service.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Translation {
    /// Address of the backend.
    pub backend: Address,
    /// The service version it was chosen from; a datagram flow chooses anew when it has changed.
    pub service: u32,
    /// Port of the backend.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
}

/// Key of the `FRAGMENTS` map. Only the first fragment carries ports.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identification field, host order.
    pub id: u32,
    /// Index of the endpoint.
    pub endpoint: u16,
    /// IANA number.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}

/// Value of the `FRAGMENTS` map.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct FragmentPorts {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

shared!(
    ConnectionKey = 40,
    Connection = 40,
    Translation = 24,
    FragmentKey = 40,
    FragmentPorts = 4,
);
