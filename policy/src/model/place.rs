//! Whose an address is that no pod has: a node's, somebody's of the cluster who is not known, or
//! nobody's of the cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    selector::Selector,
    world::{Node, World},
};

/// Whoever sends there reaches the node that the packet is on: loopback and the limited broadcast
/// (RFC 1122 3.2.1.3, RFC 4291 2.5.3).
const NEAREST: [IpNet; 3] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::BROADCAST, 32)),
];

/// Link-local IPv6 addresses, of which every pod and every interface of a node has one, and no
/// object tells whose it is (RFC 4291 2.5.6).
pub(crate) const LINK_LOCAL: IpNet = IpNet::V6(Ipv6Net::new_assert(
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
    10,
));

/// Whose an address, or every address of a prefix, is that no pod has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A node's.
    Node {
        /// The node that was asked for.
        local: bool,
    },
    /// Somebody's of the cluster, and it is not known whose.
    Unknown,
    /// Nobody's of the cluster.
    Outside,
}

impl World {
    /// Whose an address is that no pod has, as seen from a node.
    pub fn place(&self, address: IpAddr, node: &str) -> Place {
        let prefix = IpNet::from(address);
        let nodes = self.node_prefixes(node);
        match nodes
            .filter(|(of, _)| of.contains(&prefix))
            .max_by_key(|(_, local)| *local)
        {
            Some((_, local)) => Place::Node { local },
            None if self.unknown_prefixes().any(|of| of.contains(&prefix)) => Place::Unknown,
            None => Place::Outside,
        }
    }

    /// Whether an address is that of a node, as its object and its agent tell.
    pub(crate) fn is_own_of(&self, address: IpAddr, node: &str) -> bool {
        let of = |owner: &Node| owner.name == node && owner.owns(address);
        NEAREST.iter().any(|prefix| prefix.contains(&address)) || self.nodes.iter().any(of)
    }

    /// Whether every address of a prefix is of other nodes than the one that is asked for, and of such
    /// as a selector selects: two may say that they have it, and then both must be meant.
    pub(crate) fn is_of_nodes(&self, prefix: IpNet, selector: &Selector) -> bool {
        let mut owners = self.nodes.iter().filter(|node| node.has(prefix)).peekable();
        owners.peek().is_some() && owners.all(|node| selector.matches_labels(&node.labels))
    }

    /// Everything that nodes take for their own, each with whether it is `node`'s. What two nodes
    /// have comes twice.
    pub(crate) fn node_prefixes<'a>(
        &'a self,
        node: &'a str,
    ) -> impl Iterator<Item = (IpNet, bool)> + 'a {
        let nearest = NEAREST.into_iter().map(|prefix| (prefix, true));
        let of_nodes = self.nodes.iter().flat_map(move |of| {
            let local = of.name == node;
            of.prefixes().map(move |prefix| (prefix, local))
        });
        let of_pods = self.pods.iter().flat_map(move |pod| {
            let addresses = pod.host_addresses.iter();
            addresses.map(move |address| (IpNet::from(*address), pod.node == node))
        });
        nearest.chain(of_nodes).chain(of_pods)
    }

    /// Prefixes of which an address that neither a pod nor a node has is [`Place::Unknown`].
    pub(crate) fn unknown_prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        let of_nodes = self.nodes.iter().flat_map(|node| &node.pod_ranges);
        let ranges = of_nodes.chain(&self.pod_ranges).map(IpNet::trunc);
        ranges.chain([LINK_LOCAL])
    }
}

// === impl Node ===

impl Node {
    /// Whether the node takes an address for its own.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
            || self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }

    fn has(&self, prefix: IpNet) -> bool {
        self.prefixes().any(|own| own.contains(&prefix))
    }

    fn prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        let addresses = self.addresses.iter().map(|address| IpNet::from(*address));
        addresses.chain(self.prefixes.iter().map(IpNet::trunc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pod;

    fn world() -> World {
        let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        World {
            nodes: vec![
                Node {
                    name: "a".into(),
                    addresses: addresses(&["172.18.0.2", "169.254.1.1", "10.244.0.1", "fe80::1"]),
                    prefixes: vec!["10.77.0.0/16".parse().unwrap()],
                    pod_ranges: vec!["10.244.0.0/24".parse().unwrap()],
                    ..Node::default()
                },
                Node {
                    name: "b".into(),
                    addresses: addresses(&["172.18.0.3", "169.254.1.1"]),
                    ..Node::default()
                },
            ],
            pods: vec![Pod {
                node: "c".into(),
                host_addresses: addresses(&["172.18.0.4"]),
                ..Pod::default()
            }],
            pod_ranges: ["fd00:10:244::/48".parse().unwrap()].into(),
            ..World::default()
        }
    }

    #[test]
    fn an_address_is_a_nodes_or_unknown_or_outside() {
        let world = world();
        let (own, other) = (Place::Node { local: true }, Place::Node { local: false });
        for (address, expected) in [
            ("172.18.0.2", own),
            ("172.18.0.3", other),
            ("172.18.0.4", other),
            // Both have it: whoever sends there reaches the nearer one.
            ("169.254.1.1", own),
            ("127.0.0.53", own),
            ("::1", own),
            ("255.255.255.255", own),
            ("fe80::1", own),
            ("fe80::2", Place::Unknown),
            ("10.77.3.4", own),
            ("10.244.0.1", own),
            ("10.244.0.9", Place::Unknown),
            ("10.244.1.9", Place::Outside),
            ("fd00:10:244:7::1", Place::Unknown),
            ("169.254.169.254", Place::Outside),
            ("192.0.2.1", Place::Outside),
        ] {
            let place = world.place(address.parse().unwrap(), "a");
            assert_eq!(place, expected, "{address}");
        }
    }
}
