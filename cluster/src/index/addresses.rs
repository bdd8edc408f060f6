//! Addresses for pods that have none, for readers of manifests without a cluster.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use weir_policy::model::Node;

use crate::objects::PodObject;

const FIRST_V4: u32 = u32::from_be_bytes([10, 244, 0, 0]);
const FIRST_V6: u128 = 0xfd00_0010_0244 << 80;
const FIRST_SERVICE_V4: u32 = u32::from_be_bytes([10, 96, 0, 0]);
const FIRST_SERVICE_V6: u128 = 0xfd00_0010_0096 << 80;

/// What pods' addresses are given from.
const RANGES: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(FIRST_V4), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(FIRST_V6), 48)),
];

/// Gives each pod without an address one of 10.244.0.0/16 and one of fd00:10:244::/48, in the
/// order of their names. Pods are sorted by their keys already; made ones come after. Returns these
/// ranges where an address was given.
pub(super) fn assign(pods: &mut [PodObject], nodes: &[Node]) -> BTreeSet<IpNet> {
    pods.sort_by_cached_key(|pod| pod.pod.id());
    let mut used: BTreeSet<IpAddr> = nodes
        .iter()
        .flat_map(|node| node.addresses.iter().copied())
        .chain(
            pods.iter()
                .flat_map(|pod| pod.pod.addresses.iter().copied()),
        )
        .collect();
    let mut number = 0;
    for pod in pods {
        if !pod.pod.addresses.is_empty() || pod.pod.host_network {
            continue;
        }
        let pair = loop {
            number += 1;
            let pair = addresses(FIRST_V4, FIRST_V6, number);
            // `.0` and `.255` look like network addresses to people.
            let plain = !matches!(number % 256, 0 | 255);
            if plain && pair.iter().all(|address| !used.contains(address)) {
                break pair;
            }
        };
        used.extend(pair);
        pod.pod.addresses = pair.to_vec();
    }
    RANGES.into_iter().filter(|_| number > 0).collect()
}

/// Addresses of 10.96.0.0/16 and fd00:10:96::/48 that no service has.
pub(super) fn of_services(used: BTreeSet<IpAddr>) -> impl Iterator<Item = [IpAddr; 2]> {
    (1..=u32::from(u16::MAX))
        .map(|number| addresses(FIRST_SERVICE_V4, FIRST_SERVICE_V6, number))
        .filter(move |pair| pair.iter().all(|address| !used.contains(address)))
}

fn addresses(v4: u32, v6: u128, number: u32) -> [IpAddr; 2] {
    [
        IpAddr::V4(Ipv4Addr::from(v4.wrapping_add(number))),
        IpAddr::V6(Ipv6Addr::from(v6 + u128::from(number))),
    ]
}
