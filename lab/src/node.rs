//! The nodes of a lab: one or two, each in a network of its own, with the world as their router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Most labs have only the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Node(usize);

struct Place {
    name: &'static str,
    /// Its own addresses on its link to the outside, and those of the router there.
    own: (Ipv4Addr, Ipv6Addr),
    router: (Ipv4Addr, Ipv6Addr),
    pod_cidrs: [&'static str; 2],
    /// Bridge topology: the bridge's own addresses.
    bridge: [&'static str; 2],
    bridge_mac: &'static str,
}

const PLACES: [Place; 2] = [
    Place {
        name: "lab-node",
        own: (
            Ipv4Addr::new(172, 18, 0, 2),
            Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 0, 2),
        ),
        router: (
            Ipv4Addr::new(172, 18, 0, 1),
            Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 0, 1),
        ),
        pod_cidrs: ["10.244.0.0/24", "fd00:10:244::/64"],
        bridge: ["10.244.0.1", "fd00:10:244::1"],
        // As the bridge plugin makes it: of the bridge's IPv4 address.
        bridge_mac: "0a:58:0a:f4:00:01",
    },
    Place {
        name: "lab-node2",
        own: (
            Ipv4Addr::new(172, 19, 0, 2),
            Ipv6Addr::new(0xfd00, 0x19, 0, 0, 0, 0, 0, 2),
        ),
        router: (
            Ipv4Addr::new(172, 19, 0, 1),
            Ipv6Addr::new(0xfd00, 0x19, 0, 0, 0, 0, 0, 1),
        ),
        pod_cidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"],
        bridge: ["10.244.1.1", "fd00:10:244:1::1"],
        bridge_mac: "0a:58:0a:f4:01:01",
    },
];

/// Pods of all nodes.
pub const CLUSTER_CIDRS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];
pub const MOST: usize = PLACES.len();

// === impl Node ===

impl Node {
    pub const FIRST: Self = Self(0);

    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..count.min(MOST)).map(Self)
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::all(MOST).find(|node| node.name() == name)
    }

    pub fn index(self) -> usize {
        self.0
    }

    pub fn name(self) -> &'static str {
        self.place().name
    }

    /// What the second node's things have at the end of their names: `2`.
    pub fn suffix(self) -> String {
        match self.0 {
            0 => String::new(),
            index => (index + 1).to_string(),
        }
    }

    pub fn addresses(self) -> [IpAddr; 2] {
        let (v4, v6) = self.place().own;
        [v4.into(), v6.into()]
    }

    /// IPv4 or IPv6, as the other address is.
    pub fn address_like(self, other: &IpAddr) -> IpAddr {
        self.addresses()[usize::from(other.is_ipv6())]
    }

    /// The world's end of its link.
    pub fn router(self) -> [IpAddr; 2] {
        let (v4, v6) = self.place().router;
        [v4.into(), v6.into()]
    }

    pub fn pod_cidrs(self) -> [&'static str; 2] {
        self.place().pod_cidrs
    }

    pub fn bridge(self) -> [&'static str; 2] {
        self.place().bridge
    }

    pub fn bridge_mac(self) -> &'static str {
        self.place().bridge_mac
    }

    fn place(self) -> &'static Place {
        &PLACES[self.0]
    }
}
