//! The connection table: one entry for each flow of each endpoint, seen from the endpoint, so that
//! both directions of the flow find the same entry; and beside the flows what else is remembered
//! of an endpoint's traffic: backends chosen, ports of fragments, link-layer addresses.
//!
//! All of it is in one map, `CONNTRACK`, and every endpoint has a share of it: a ring of slots
//! (`SLOTS`, `SHARES`). A new entry takes a slot of its endpoint's ring, and only an entry of the
//! same endpoint ever goes for it (docs/decisions/0027-a-share-of-the-connection-table.md).

use crate::{Address, protocol, shared};

/// Key of the `CONNTRACK` map. Aligned, so that addresses in it are copied by words: 13 ns a packet.
#[repr(C, align(8))]
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
    /// IANA number; [`BESIDE`] for what is no flow.
    pub protocol: u8,
    /// Message type that opens an ICMP flow; [`TRANSLATION`] where the remote is a service; which
    /// thing it is for what is no flow. 0 for others.
    pub kind: u8,
}

/// `kind` of a TCP or UDP entry that says which backend was chosen: see [`Translation`].
pub const TRANSLATION: u8 = 1;
/// `protocol` of entries that are no flow (255 is reserved by IANA; a flow of it has `kind` 0).
pub const BESIDE: u8 = 255;
/// `kind` of a fragmented datagram under way: see [`FragmentPorts`].
pub const FRAGMENT: u8 = 1;
/// `kind` of the link-layer addresses of a proxied flow: see [`Neighbour`].
pub const NEIGHBOUR: u8 = 2;

/// Value of the `CONNTRACK` map: a flow that was allowed when it began. Packets that are denied
/// then leave no entry.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Connection {
    /// Monotonic time of the last packet in ns, to a second.
    pub last_seen: u64,
    /// The service that the endpoint dialled, where `TRANSLATED`. What is no flow keeps its own
    /// sixteen bytes here.
    pub service: Address,
    /// Revision under which it was judged.
    pub revision: u32,
    /// Number of the policy that allowed it; 0: none selects the endpoint.
    pub policy: u32,
    /// Port of `service`.
    pub service_port: u16,
    /// Its place in the endpoint's ring.
    pub slot: u16,
    /// Which side opened it: see [`crate::policy::direction`].
    pub direction: u8,
    /// Bits below.
    pub flags: u8,
    /// `FIN_*` and `RESET`.
    pub closed: u8,
    /// Zero.
    pub reserved: u8,
    /// 1: its end was told; see [`crate::event::Ended`].
    pub told: u32,
    /// Zero.
    pub rest: u32,
    /// Monotonic time of its first packet in ns.
    pub opened: u64,
    /// Packets that passed, by [`crate::policy::direction`]; what the kernel carries as one packet
    /// counts as one.
    pub packets: [u64; 2],
    /// Their bytes from the IP header on.
    pub bytes: [u64; 2],
}

/// The flow runs through the proxy.
pub const PROXIED: u8 = 1;
/// The endpoint dialled a service; replies get its address back.
pub const TRANSLATED: u8 = 2;
/// Met in the middle: it is older than the programs, and which side opened it is not known. It is
/// judged in both directions.
pub const MET: u8 = 4;
/// Opened by the node itself (the kubelet's probes): allowed and never proxied, as long as its
/// address is one of the node's.
pub const FROM_NODE: u8 = 8;
/// A later revision denies the flow. The entry stays: without it the next packet of the side that
/// did not open the flow would be taken for a new flow of that side.
pub const DENIED: u8 = 16;
/// The side that did not open the flow has not been heard.
pub const OPENING: u8 = 32;
/// Its requests are judged in the kernel: see [`crate::http`].
pub const JUDGED: u8 = 64;
/// Another's flow that the node sends on with its own address, and that nobody judges here
/// ([`crate::host::SENT_ON`]). It is no flow of the node's, and its end is not told.
pub const FORWARDED: u8 = 128;

/// [`Connection::closed`]: the endpoint sent a FIN.
pub const FIN_LOCAL: u8 = 1;
/// The other end sent one.
pub const FIN_REMOTE: u8 = 2;
/// One of them sent a RST.
pub const RESET: u8 = 4;

const SECOND: u64 = 1_000_000_000;

impl ConnectionKey {
    /// Whether it is of a flow, and not of what is remembered beside them.
    #[inline(always)]
    pub const fn is_flow(&self) -> bool {
        match self.protocol {
            protocol::TCP | protocol::UDP => self.kind != TRANSLATION,
            BESIDE => self.kind == 0,
            _ => true,
        }
    }

    /// How long an entry lives without a packet, in ns; follows the defaults of Linux'
    /// nf_conntrack, except that an established TCP flow is kept for a day.
    #[inline(always)]
    pub const fn lifetime(&self, entry: &Connection) -> u64 {
        match self.protocol {
            protocol::TCP if entry.is_closed() => 120 * SECOND,
            protocol::TCP => 24 * 3600 * SECOND,
            // As nf_conntrack keeps them: the answer after that is nobody else's.
            protocol::UDP if entry.flags & (FORWARDED | OPENING) == FORWARDED | OPENING => {
                25 * SECOND
            }
            protocol::UDP if entry.flags & FORWARDED != 0 => 115 * SECOND,
            protocol::UDP => 180 * SECOND,
            protocol::SCTP => 3600 * SECOND,
            protocol::ICMP | protocol::ICMPV6 => 30 * SECOND,
            // net.ipv4.ipfrag_time
            BESIDE if self.kind == FRAGMENT => 30 * SECOND,
            BESIDE => 24 * 3600 * SECOND,
            _ => 600 * SECOND,
        }
    }
}

impl Connection {
    /// Whether a TCP connection has ended on both sides.
    #[inline(always)]
    pub const fn is_closed(&self) -> bool {
        self.closed & RESET != 0 || self.closed & (FIN_LOCAL | FIN_REMOTE) == FIN_LOCAL | FIN_REMOTE
    }
}

/// The backend chosen for a flow to a service.
#[derive(Clone, Copy, Default, Debug)]
pub struct Translation {
    /// Address of the backend.
    pub backend: Address,
    /// The service version it was chosen from; a datagram flow chooses anew when it has changed.
    pub service: u32,
    /// Port of the backend.
    pub port: u16,
}

/// What later fragments do not carry.
#[derive(Clone, Copy, Default, Debug)]
pub struct FragmentPorts {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// IANA number. IPv6 says it in the first fragment only.
    pub protocol: u8,
    /// ICMP type.
    pub detail: u8,
}

/// Link-layer addresses of a proxied flow, learnt from its first packet and used where the proxy's
/// packets are injected as the pod's own.
#[derive(Clone, Copy, Default, Debug)]
pub struct Neighbour {
    /// Link-layer address of the pod.
    pub pod: [u8; 6],
    /// Link-layer address that the pod uses for the other end.
    pub remote: [u8; 6],
}

/// Key of the `SLOTS` map: a place in an endpoint's ring. Its value is the [`ConnectionKey`] of
/// the entry that has the place.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct SlotKey {
    /// Index of the endpoint.
    pub endpoint: u16,
    /// 0 to [`crate::policy::Config::share`] - 1.
    pub slot: u16,
}

/// Value of the `SHARES` array, by index of the endpoint: how far its ring has come.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Share {
    /// Slots that were ever taken.
    pub length: u32,
    /// The slot that is looked at next.
    pub hand: u32,
}

/// The most slots that an endpoint may have: they are numbered in 16 bits.
pub const MOST_SLOTS: u32 = 65_536;

shared!(ConnectionKey = 40, Connection = 88, SlotKey = 4, Share = 8,);
