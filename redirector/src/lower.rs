//! A snapshot as map entries. Pure, so that it can be compared with the engine packet by packet.

mod host_ports;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use weir_abi::{
    Address,
    policy::{
        AUDITED_EGRESS, AUDITED_INGRESS, AddressValue, CLUSTER, Endpoint, ISOLATED_EGRESS,
        ISOLATED_INGRESS, LOCAL_POD, NODE, NODE_LOCAL, PREFIX_ANY, PREFIX_PORT, PREFIX_PROTOCOL,
        PolicyKey, PolicyValue, direction, verdict,
    },
    protocol,
    service::{ANY_NODE_V4, ANY_NODE_V6, Backend, BackendKey, CLIENT_AFFINITY, ServiceKey},
};
use weir_policy::{
    compile::{DirectionSet, Owner, Segment, Slot, Snapshot, Verdict},
    model::{Direction, PodName, Protocol, Service, ServicePort},
};

/// A pod's interface on this node and the index that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Index of the endpoint, 1 to 65535.
    pub index: u16,
    /// Interface index of the host side of its veth; [`weir_abi::host::HOST`] of the node.
    pub interface: u32,
}

/// Prefix length and address, as the `ADDRESSES` trie orders them.
pub type Prefix = (u32, Address);
/// Prefix length and key, as the `POLICY` trie orders them.
pub type PolicyPrefix = (u32, PolicyKey);

/// Everything that the maps should hold.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// `ADDRESSES`.
    pub addresses: BTreeMap<Prefix, AddressValue>,
    /// `POLICY`.
    pub policy: BTreeMap<PolicyPrefix, PolicyValue>,
    /// `ENDPOINTS`, by interface index.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Services: key, flags, backends.
    pub services: BTreeMap<ServiceKey, ServiceEntry>,
    /// `HOST_PORTS`.
    pub host_ports: BTreeMap<ServiceKey, u8>,
}

/// A service port and its backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// `CLIENT_AFFINITY` or 0.
    pub flags: u16,
    /// Where it leads; never empty.
    pub backends: Vec<Backend>,
}

/// Lowers a snapshot. `place` says where an endpoint is; those without a place on this node are left
/// out. `table` says where the table of a decision by some rules of a set stands, in units of 64
/// words; 0: there is none.
pub fn lower(
    snapshot: &Snapshot,
    services: &[Service],
    place: impl Fn(&PodName) -> Option<Placement>,
    table: impl FnMut(&DirectionSet, &[usize]) -> u32,
) -> Desired {
    let mut desired = Desired::default();
    let mut known = HashMap::new();
    let table = RefCell::new(table);
    let mut owners: BTreeMap<IpAddr, u16> = BTreeMap::new();
    let mut sets = Vec::new();
    for endpoint in &snapshot.endpoints {
        let Some(placement) = place(&endpoint.pod) else {
            continue;
        };
        let Some(set) = snapshot.sets.get(&endpoint.set) else {
            continue;
        };
        // What is the node's its addresses themselves tell.
        let own = endpoint.addresses.iter().filter(|_| !endpoint.is_host());
        let own: Vec<IpAddr> = own.copied().collect();
        for address in &own {
            owners.insert(*address, placement.index);
        }
        let mut flags = 0;
        for (side, isolated, audited) in [
            (&set.ingress, ISOLATED_INGRESS, AUDITED_INGRESS),
            (&set.egress, ISOLATED_EGRESS, AUDITED_EGRESS),
        ] {
            if side.denies() {
                flags |= isolated;
            } else if side.enforced() {
                flags |= audited;
            }
        }
        desired.endpoints.insert(
            placement.interface,
            Endpoint {
                index: placement.index,
                flags,
                set: endpoint.set,
                v4: own_v4(&own),
                v6: own_v6(&own),
                ..Endpoint::default()
            },
        );
        sets.push(endpoint.set);
    }
    for on in snapshot.verdicts(sets) {
        let direction = match on.direction {
            Direction::Ingress => direction::INGRESS,
            Direction::Egress => direction::EGRESS,
        };
        let base = PolicyKey::new(on.set, on.class, direction, 0, 0);
        // Many classes have the rules of a set: a list is looked up once.
        let known = RefCell::new(&mut known);
        let table = |decided: &[usize]| {
            let key = (on.set, on.direction, decided.to_vec());
            let found = || table.borrow_mut()(on.side, decided);
            *known.borrow_mut().entry(key).or_insert_with(found)
        };
        policy_entries(on.side, &on.segments, base, table, &mut desired.policy);
    }
    let pods = snapshot.endpoints.iter().filter(|of| !of.is_host());
    let local: BTreeSet<IpAddr> = pods.flat_map(|of| of.addresses.iter().copied()).collect();
    let api: BTreeSet<IpAddr> = host_ports::api(services)
        .map(|(address, _)| address)
        .collect();
    for (prefix, entry) in &snapshot.addresses {
        // One that two have is nobody's: else a pod that claims it would be taken for its owner, and
        // what goes there for what a pod sends to itself.
        let contested = snapshot.contested.contains_key(&prefix.addr());
        let owner = owners.get(&prefix.addr()).filter(|_| !contested);
        let endpoint = owner.copied().unwrap_or(0);
        let whole = prefix.prefix_len() == prefix.max_prefix_len();
        desired.addresses.insert(
            trie_prefix(*prefix),
            AddressValue {
                class: entry.class,
                endpoint: if whole { endpoint } else { 0 },
                flags: match entry.owner {
                    Owner::Node { local: true } => NODE | NODE_LOCAL | CLUSTER,
                    Owner::Node { local: false } => NODE | CLUSTER,
                    Owner::Pod(_) if contested => 0,
                    Owner::Pod(_) if local.contains(&prefix.addr()) => CLUSTER | LOCAL_POD,
                    Owner::Pod(_) => CLUSTER,
                    Owner::Outside if whole && api.contains(&prefix.addr()) => CLUSTER,
                    Owner::Outside | Owner::Unknown => 0,
                },
            },
        );
    }
    lower_services(services, &mut desired.services);
    if snapshot.host().is_some() {
        let is_own = |address| {
            let entry = snapshot.address(address);
            entry.is_some_and(|entry| entry.owner == Owner::Node { local: true })
        };
        desired.host_ports = host_ports::lower(services, &snapshot.host_ports, is_own);
    }
    desired
}

/// A pod has one address of each family (PodStatus.podIPs).
fn own_v4(addresses: &[IpAddr]) -> [u8; 4] {
    let own = addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(v4.octets()),
        IpAddr::V6(_) => None,
    });
    own.unwrap_or_default()
}

fn own_v6(addresses: &[IpAddr]) -> Address {
    let own = addresses.iter().find_map(|address| match address {
        IpAddr::V6(v6) => Some(v6.octets()),
        IpAddr::V4(_) => None,
    });
    own.unwrap_or_default()
}

/// The entries of one policy set, class and direction: a default for all protocols, one for each
/// protocol that differs, and the ports that differ from that.
fn policy_entries(
    side: &DirectionSet,
    segments: &[Segment],
    base: PolicyKey,
    table: impl Fn(&[usize]) -> u32,
    entries: &mut BTreeMap<PolicyPrefix, PolicyValue>,
) {
    let value = |segment: &Segment| PolicyValue {
        verdict: match segment.decision.verdict {
            Verdict::Allow => verdict::ALLOW,
            Verdict::L7 => verdict::REDIRECT,
            Verdict::Deny => verdict::DENY,
            Verdict::Audit => verdict::AUDIT,
            Verdict::L7Audit => verdict::AUDIT_REDIRECT,
        },
        reserved: [0; 3],
        policy: segment
            .decision
            .rules
            .first()
            .and_then(|index| side.rules.get(*index))
            .map(|rule| rule.policy)
            .or_else(|| {
                let audited = segment.decision.verdict == Verdict::Audit;
                side.auditing.first().filter(|_| audited).map(|(id, _)| *id)
            })
            .unwrap_or(0),
        table: match segment.decision.verdict {
            // Only what comes to a pod is judged in the kernel.
            Verdict::L7 if base.direction == direction::INGRESS => table(&segment.decision.rules),
            _ => 0,
        },
    };
    // What the kernel does where it finds nothing.
    let nothing = PolicyValue::default();
    let other = segments
        .iter()
        .find(|segment| segment.slot == Slot::Other)
        .map_or(nothing, value);
    if other != nothing {
        entries.insert((PREFIX_ANY, base), other);
    }
    for (slot, number) in [
        (Slot::Tcp, protocol::TCP),
        (Slot::Udp, protocol::UDP),
        (Slot::Sctp, protocol::SCTP),
        (Slot::Icmp, protocol::ICMP),
        (Slot::Icmpv6, protocol::ICMPV6),
    ] {
        let of_slot = || segments.iter().filter(move |segment| segment.slot == slot);
        // The value of most ports goes to the protocol's own entry.
        let mut widths: Vec<(PolicyValue, u32)> = Vec::new();
        for segment in of_slot() {
            let width = u32::from(segment.last) - u32::from(segment.first) + 1;
            let value = value(segment);
            match widths.iter_mut().find(|(other, _)| *other == value) {
                Some((_, total)) => *total += width,
                None => widths.push((value, width)),
            }
        }
        let Some((usual, _)) = widths.into_iter().max_by_key(|(_, width)| *width) else {
            continue;
        };
        let of_protocol = PolicyKey {
            protocol: number,
            ..base
        };
        if usual != other {
            entries.insert((PREFIX_PROTOCOL, of_protocol), usual);
        }
        for segment in of_slot().filter(|segment| value(segment) != usual) {
            for (port, length) in port_prefixes(segment.first, segment.last) {
                let key = PolicyKey {
                    port_be: port.to_be_bytes(),
                    ..of_protocol
                };
                entries.insert((PREFIX_PORT - 16 + u32::from(length), key), value(segment));
            }
        }
    }
}

/// The prefixes that cover a range of ports exactly: first port and prefix length in bits.
pub fn port_prefixes(first: u16, last: u16) -> Vec<(u16, u8)> {
    let mut prefixes = Vec::new();
    let (mut port, last) = (u32::from(first), u32::from(last));
    while port <= last {
        let aligned = if port == 0 {
            16
        } else {
            port.trailing_zeros().min(16)
        };
        let fits = (last - port + 1).ilog2();
        let bits = aligned.min(fits);
        prefixes.push((port as u16, 16 - bits as u8));
        port += 1 << bits;
    }
    prefixes
}

/// A prefix in the 128-bit space of the trie.
pub fn trie_prefix(prefix: IpNet) -> Prefix {
    let length = u32::from(prefix.prefix_len());
    match prefix {
        IpNet::V4(v4) => (96 + length, weir_abi::mapped(v4.network().octets())),
        IpNet::V6(v6) => (length, v6.network().octets()),
    }
}

/// An address as the maps hold it.
pub fn abi_address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => weir_abi::mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// As [`World::service_at`](weir_policy::model::World::service_at) finds them: a virtual address
/// before another service's external one. Node ports have keys of their own.
fn lower_services(services: &[Service], entries: &mut BTreeMap<ServiceKey, ServiceEntry>) {
    let virtual_ones = |service: &Service| service.addresses.clone();
    let external = |service: &Service| service.external.clone();
    for addresses in [virtual_ones, external] {
        for service in services {
            for address in addresses(service) {
                for port in &service.ports {
                    let at = (abi_address(address), port.port);
                    put(service, port, at, address.is_ipv6(), entries);
                }
            }
        }
    }
    for service in services {
        for port in &service.ports {
            for (any, v6) in [(ANY_NODE_V4, false), (ANY_NODE_V6, true)] {
                if let Some(number) = port.node_port.filter(|_| service.has_family(v6)) {
                    put(service, port, (any, number), v6, entries);
                }
            }
        }
    }
}

/// Puts one way to a service's port in, unless it is another one's already or leads nowhere.
fn put(
    service: &Service,
    port: &ServicePort,
    (address, number): (Address, u16),
    v6: bool,
    entries: &mut BTreeMap<ServiceKey, ServiceEntry>,
) {
    let protocol = match port.protocol {
        Protocol::Tcp => protocol::TCP,
        Protocol::Udp => protocol::UDP,
        // An SCTP checksum covers the ports: left to the node, judged by its address.
        Protocol::Sctp | Protocol::Icmp | Protocol::Icmpv6 => return,
    };
    let backends: Vec<Backend> = port
        .backends_of(v6)
        .take(usize::from(u16::MAX))
        .map(|(backend, port)| Backend {
            address: abi_address(backend),
            port,
            reserved: 0,
        })
        .collect();
    if backends.is_empty() {
        return;
    }
    let flags = if service.client_affinity {
        CLIENT_AFFINITY
    } else {
        0
    };
    let key = ServiceKey {
        address,
        port: number,
        protocol,
        reserved: 0,
    };
    entries
        .entry(key)
        .or_insert(ServiceEntry { flags, backends });
}

/// Key of a backend.
pub fn backend_key(service: u32, slot: usize) -> BackendKey {
    BackendKey {
        service,
        slot: slot as u32,
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::testing::generate::{FRONTS, world};

    use super::*;

    proptest::proptest! {
        /// The kernel finds the service that the engine finds.
        #[test]
        fn services_are_where_the_engine_finds_them(world in world()) {
            let mut entries = BTreeMap::new();
            lower_services(&world.services, &mut entries);
            let nodes = ["172.18.0.2", "fd00:18::3"];
            for text in FRONTS.iter().chain(&nodes) {
                let address: IpAddr = text.parse().expect("the alphabets hold addresses");
                let node = nodes.contains(text);
                let any = if address.is_ipv6() { ANY_NODE_V6 } else { ANY_NODE_V4 };
                for port in [80, 81, 30080, 30081] {
                    let at = |address| entries.get(&ServiceKey {
                        address,
                        port,
                        protocol: protocol::TCP,
                        reserved: 0,
                    });
                    let found = at(abi_address(address)).or_else(|| at(any).filter(|_| node));
                    let found: Option<Vec<_>> = found.map(|entry| {
                        entry.backends.iter().map(|to| (to.address, to.port)).collect()
                    });
                    let engine = world.service_at(address, Protocol::Tcp, port);
                    let engine: Option<Vec<_>> = engine.map(|(_, port)| {
                        let backends = port.backends_of(address.is_ipv6());
                        backends.map(|(to, port)| (abi_address(to), port)).collect()
                    });
                    proptest::prop_assert_eq!(found, engine, "{}:{}", text, port);
                }
            }
        }
    }

    #[test]
    fn an_address_that_two_pods_have_is_no_endpoints() {
        use weir_policy::{
            compile::{Compiler, Local},
            model::{Pod, World},
        };
        let pod = |name: &str, last| Pod {
            namespace: "x".into(),
            name: name.into(),
            addresses: vec![[10, 244, 0, last].into(), [10, 244, 0, 9].into()],
            ..Pod::default()
        };
        let world = World {
            pods: vec![pod("a", 1), pod("b", 2)],
            ..World::default()
        };
        let snapshot = Compiler::new().compile(&world, Local::Node("n"));
        let place = |pod: &PodName| {
            let index = if pod.name == "a" { 1 } else { 2 };
            Some(Placement {
                index,
                interface: index.into(),
            })
        };
        let lowered = lower(&snapshot, &[], place, |_, _| 0).addresses;
        let endpoint = |last: u8| {
            let address: IpAddr = [10, 244, 0, last].into();
            lowered[&trie_prefix(address.into())].endpoint
        };
        assert_eq!([1, 2, 9].map(endpoint), [1, 2, 0]);
    }

    #[test]
    fn port_prefixes_cover_a_range_exactly() {
        for (first, last) in [
            (0, 65535),
            (80, 80),
            (1, 65535),
            (1000, 2000),
            (65535, 65535),
            (0, 0),
        ] {
            let mut covered = vec![0u8; 65536];
            for (port, length) in port_prefixes(first, last) {
                let count = 1usize << (16 - length);
                assert_eq!(usize::from(port) % count, 0, "aligned");
                for slot in &mut covered[usize::from(port)..usize::from(port) + count] {
                    *slot += 1;
                }
            }
            for (port, times) in covered.iter().enumerate() {
                let inside = (usize::from(first)..=usize::from(last)).contains(&port);
                assert_eq!(*times, u8::from(inside), "{first}-{last}: port {port}");
            }
        }
    }
}
