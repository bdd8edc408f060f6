//! Endpoints, peer classes and verdicts.

use crate::{Address, shared};

/// Direction of a flow, from the endpoint's view.
pub mod direction {
    /// Towards the endpoint.
    pub const INGRESS: u8 = 0;
    /// From the endpoint.
    pub const EGRESS: u8 = 1;
}

/// Verdicts of [`PolicyValue`]. Anything else is taken for `DENY`.
pub mod verdict {
    /// Drop silently.
    pub const DENY: u8 = 0;
    /// Pass.
    pub const ALLOW: u8 = 1;
    /// Through the proxy.
    pub const REDIRECT: u8 = 2;
    /// Pass; policies in audit mode would drop it.
    pub const AUDIT: u8 = 3;
    /// Through the proxy, which only reports: new flows, while there is a proxy; others pass.
    pub const AUDIT_REDIRECT: u8 = 4;
}

/// Settings that change while the programs run; the only entry of the `CONFIG` array.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Config {
    /// Revision in force. A tracked connection that was judged under another one is judged anew
    /// at its next packet. Written last in every change.
    pub revision: u32,
    /// Interface of the private link for ingress flows, on the node's side; 0: none.
    pub ingress_link: u32,
    /// The same for egress flows.
    pub egress_link: u32,
    /// Whether a proxy listens.
    pub proxy_ready: u32,
}

/// A managed pod interface; key of the `ENDPOINTS` map is the interface index (`u32`).
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Index of the endpoint, unique on the node while it lives; never 0.
    pub index: u16,
    /// `ISOLATED_*` and `AUDITED_*` bits.
    pub flags: u16,
    /// Its policy set.
    pub set: u32,
}

/// A policy selects the endpoint for ingress: what is not allowed is denied.
pub const ISOLATED_INGRESS: u16 = 1;
/// The same for egress.
pub const ISOLATED_EGRESS: u16 = 2;
/// Policies in audit mode select the endpoint for ingress: flows are judged.
pub const AUDITED_INGRESS: u16 = 4;
/// The same for egress.
pub const AUDITED_EGRESS: u16 = 8;

/// What an address is; value of the `ADDRESSES` trie (key: [`Address`] by longest prefix).
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct AddressValue {
    /// Peer class.
    pub class: u32,
    /// Index of the endpoint on this node that owns the address; 0: none.
    pub endpoint: u16,
    /// Zero.
    pub reserved: u16,
}

/// Key of the `POLICY` trie, most significant first; all big endian so that port prefixes work.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Policy set of the endpoint.
    pub set_be: [u8; 4],
    /// Class of the peer.
    pub class_be: [u8; 4],
    /// See [`direction`].
    pub direction: u8,
    /// IANA number.
    pub protocol: u8,
    /// Destination port of the flow; message type of ICMP.
    pub port_be: [u8; 2],
}

/// Prefix length of a [`PolicyKey`] that covers every protocol and port.
pub const PREFIX_ANY: u32 = 72;
/// Prefix length of a [`PolicyKey`] that covers one protocol and every port.
pub const PREFIX_PROTOCOL: u32 = 80;
/// Prefix length of a [`PolicyKey`] for one port.
pub const PREFIX_PORT: u32 = 96;

/// Value of the `POLICY` trie.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct PolicyValue {
    /// See [`verdict`].
    pub verdict: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Number of the policy that decided, for events; 0: default deny.
    pub policy: u32,
}

/// Key of the `NEIGHBOURS` map: link-layer addresses of a proxied flow.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct NeighbourKey {
    /// The other end.
    pub remote: Address,
    /// The endpoint.
    pub endpoint: u16,
    /// Zero.
    pub reserved: u16,
}

/// Value of the `NEIGHBOURS` map, learnt from a flow's first packet and used where the proxy's
/// packets are injected as the pod's own.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Neighbour {
    /// Link-layer address of the pod.
    pub pod: [u8; 6],
    /// Link-layer address that the pod uses for the other end.
    pub remote: [u8; 6],
}

impl PolicyKey {
    /// A key for one port.
    #[inline(always)]
    pub const fn new(set: u32, class: u32, direction: u8, protocol: u8, port: u16) -> Self {
        Self {
            set_be: set.to_be_bytes(),
            class_be: class.to_be_bytes(),
            direction,
            protocol,
            port_be: port.to_be_bytes(),
        }
    }
}

shared!(
    Config = 16,
    Endpoint = 8,
    AddressValue = 8,
    PolicyKey = 12,
    PolicyValue = 8,
    NeighbourKey = 20,
    Neighbour = 12,
);
