//! Groups of pods that no policy tells apart, and addresses outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    model::{Direction, Labels, Peer, Peers, Subjects, World},
    record::lasting,
};

/// Addresses for documentation, of which one is outside of every prefix that is mentioned.
const OUTSIDE: [&str; 4] = ["203.0.113.9", "198.51.100.9", "192.0.2.9", "1.2.3.4"];

/// A group of pods or an address, in both worlds.
#[derive(Debug)]
pub(super) struct End {
    /// `NAMESPACE/LABELS`, or the address.
    pub name: String,
    pub outside: bool,
    /// The group's pods in the old and in the new world; an address stands for itself.
    old: Vec<String>,
    new: Vec<String>,
}

pub(super) struct Ends {
    pub both: Vec<End>,
    pub only_old: Vec<String>,
    pub only_new: Vec<String>,
}

/// What policy sees of a pod, but for its address.
type Key = (String, Labels, String, Vec<(String, u16)>);

pub(super) fn ends(old: &World, new: &World) -> Ends {
    let (mut old_groups, mut new_groups) = (groups(old), groups(new));
    let keys: BTreeSet<Key> = old_groups
        .keys()
        .chain(new_groups.keys())
        .cloned()
        .collect();
    let mut ends = Ends {
        both: Vec::new(),
        only_old: Vec::new(),
        only_new: Vec::new(),
    };
    let mut taken = BTreeSet::new();
    for key in keys {
        let old = old_groups.remove(&key).unwrap_or_default();
        let new = new_groups.remove(&key).unwrap_or_default();
        let mut name = shown(&key, old.first().or(new.first()));
        if !taken.insert(name.clone()) {
            // The same labels, but another account or other named ports.
            name = old.first().or(new.first()).cloned().unwrap_or(name);
        }
        match (old.is_empty(), new.is_empty()) {
            (false, true) => ends.only_old.push(name),
            (true, _) => ends.only_new.push(name),
            (false, false) => ends.both.push(End {
                name,
                outside: false,
                old,
                new,
            }),
        }
    }
    ends.both.extend(nodes(old, new));
    for address in addresses(old, new) {
        let text = address.to_string();
        ends.both.push(End {
            name: text.clone(),
            outside: true,
            old: vec![text.clone()],
            new: vec![text],
        });
    }
    ends
}

fn groups(world: &World) -> BTreeMap<Key, Vec<String>> {
    let mut groups: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for pod in world.pods.iter().filter(|pod| !pod.host_network) {
        let mut named: Vec<(String, u16)> = pod
            .ports
            .iter()
            .filter(|port| !port.name.is_empty())
            .map(|port| (port.name.clone(), port.port))
            .collect();
        named.sort();
        let key = (
            pod.namespace.clone(),
            lasting(&pod.labels),
            pod.service_account.clone(),
            named,
        );
        groups.entry(key).or_default().push(pod.id().to_string());
    }
    groups
}

fn shown((namespace, labels, ..): &Key, pod: Option<&String>) -> String {
    if labels.is_empty() {
        return pod.cloned().unwrap_or_else(|| namespace.clone());
    }
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{namespace}/{}", labels.join(","))
}

/// Where there are host policies, one node of those that no host policy tells apart.
fn nodes(old: &World, new: &World) -> Vec<End> {
    if !has_host_policies(old, new) {
        return Vec::new();
    }
    let mut groups: BTreeMap<Vec<bool>, End> = BTreeMap::new();
    for node in &old.nodes {
        let same = new.nodes.iter().find(|of| of.name == node.name);
        let addresses = (node.addresses.first()).zip(same.and_then(|of| of.addresses.first()));
        let Some(((before, after), same)) = addresses.zip(same) else {
            continue;
        };
        let selected = [(old, node), (new, same)].map(|(world, node)| {
            let specs = world.policies.iter().flat_map(|policy| &policy.specs);
            let selected = specs.map(|spec| match &spec.subject {
                Subjects::Nodes(nodes) => nodes.matches_labels(&node.labels),
                Subjects::Pods(_) => false,
            });
            selected.collect::<Vec<_>>()
        });
        groups.entry(selected.concat()).or_insert_with(|| End {
            name: format!("node/{}", node.name),
            outside: false,
            old: vec![before.to_string()],
            new: vec![after.to_string()],
        });
    }
    groups.into_values().collect()
}

fn has_host_policies(old: &World, new: &World) -> bool {
    old.policies_of_nodes()
        .chain(new.policies_of_nodes())
        .next()
        .is_some()
}

/// One address in each prefix that policies mention, one in each part that is left out, one in
/// none of them, and the nodes' first.
fn addresses(old: &World, new: &World) -> BTreeSet<IpAddr> {
    let mut prefixes: BTreeSet<IpNet> = BTreeSet::new();
    let mut found = BTreeSet::new();
    let worlds = [old, new];
    let is_pod = |address: &IpAddr| {
        let mut pods = worlds.iter().flat_map(|world| &world.pods);
        pods.any(|pod| pod.addresses.contains(address))
    };
    for peer in worlds.into_iter().flat_map(peers) {
        let Peer::Cidr { cidr, except, .. } = peer else {
            continue;
        };
        prefixes.insert(*cidr);
        prefixes.extend(except);
        for prefix in except.iter().chain([cidr]) {
            let inside = prefix.hosts().take(1000);
            let fits = |address: &IpAddr| {
                let left_out = prefix == cidr && except.iter().any(|part| part.contains(address));
                !left_out && !is_pod(address) && !address.is_unspecified()
            };
            found.extend(inside.into_iter().find(fits));
        }
    }
    let none = OUTSIDE.iter().filter_map(|text| text.parse().ok());
    let plain = |address: &IpAddr| {
        let narrow = prefixes.iter().filter(|prefix| prefix.prefix_len() > 0);
        !narrow.into_iter().any(|prefix| prefix.contains(address))
    };
    found.extend(none.into_iter().find(plain));
    let nodes = worlds.into_iter().flat_map(|world| &world.nodes);
    // Else they are ends of their own.
    let nodes = nodes.filter(|_| !has_host_policies(old, new));
    found.extend(nodes.filter_map(|node| node.addresses.first()).take(2));
    found
}

fn peers(world: &World) -> impl Iterator<Item = &Peer> {
    let specs = world.policies.iter().flat_map(|policy| &policy.specs);
    specs
        .flat_map(|spec| Direction::BOTH.map(|direction| &spec.section(direction).rules))
        .flatten()
        .flat_map(|rule| match &rule.peers {
            Peers::Any => &[],
            Peers::OneOf(peers) => peers.as_slice(),
        })
}

// === impl End ===

impl End {
    /// A pod of the old world and one of the new.
    pub fn first(&self) -> (&str, &str) {
        (
            self.old.first().map_or("", String::as_str),
            self.new.first().map_or("", String::as_str),
        )
    }

    /// Another pod of each.
    pub fn second(&self) -> Option<(&str, &str)> {
        Some((self.old.get(1)?, self.new.get(1)?))
    }
}
