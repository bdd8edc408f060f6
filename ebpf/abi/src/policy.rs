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
    /// Entries of the connection table that one endpoint may have; see [`crate::conntrack`].
    pub share: u32,
    /// Whether new connections may be judged here: see [`crate::http`].
    pub judges: u32,
    /// Whether a pod is told by an ICMP error that its packet was denied.
    pub answers: u32,
    /// Zero.
    pub reserved: u32,
}

/// A managed pod interface; key of the `ENDPOINTS` map is the interface index (`u32`), or
/// [`crate::host::HOST`].
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Index of the endpoint, unique on the node while it lives; never 0.
    pub index: u16,
    /// `ISOLATED_*` and `AUDITED_*` bits.
    pub flags: u16,
    /// Its policy set.
    pub set: u32,
    /// Monotonic time in ns up to which TCP connections of it may be older than the programs; 0:
    /// none are.
    pub met_until: u64,
    /// Its own IPv6 address; zero: none.
    pub v6: Address,
    /// Its own IPv4 address; zero: none.
    pub v4: [u8; 4],
    /// Zero.
    pub reserved: [u8; 4],
}

impl Endpoint {
    /// Whether an address is the endpoint's own.
    #[inline(always)]
    pub fn owns(&self, address: &Address) -> bool {
        let none = self.v4 == [0; 4];
        if *address == crate::mapped(self.v4) {
            return !none;
        }
        *address == self.v6 && *address != [0; 16]
    }

    /// Whether any direction of it denies by default.
    #[inline(always)]
    pub const fn is_isolated(&self) -> bool {
        self.flags & (ISOLATED_INGRESS | ISOLATED_EGRESS) != 0
    }
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
    /// [`NODE`], [`NODE_LOCAL`], [`CLUSTER`] and [`LOCAL_POD`].
    pub flags: u16,
}

/// The address is this node's.
pub const NODE_LOCAL: u16 = 1;
/// The address is a node's, this one's or another's.
pub const NODE: u16 = 2;
/// The address is a pod's or a node's, or the Kubernetes API is behind it.
pub const CLUSTER: u16 = 4;
/// The address is that of a pod on this node.
pub const LOCAL_POD: u16 = 8;

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
    /// The judged port: the serving end's own, never a service's; the message type of ICMP.
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
    /// Of `REDIRECT`: where in `TABLES` the table stands by which requests are judged here, in
    /// units of 64 words; 0: the proxy judges all of them.
    pub table: u32,
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
    Config = 32,
    Endpoint = 40,
    AddressValue = 8,
    PolicyKey = 12,
    PolicyValue = 12,
);
