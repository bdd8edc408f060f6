//! World in, [`Snapshot`] out: peer classes, policy sets, and the verdict of one on the other.
//!
//! * An **atom** is one thing a policy can tell addresses apart by: a distinct [`Peer`], or the
//!   number behind a named port of a destination.
//! * A **class** is a set of atoms: addresses for which the same atoms hold are treated alike by
//!   every policy, so verdicts are kept for classes and never for single addresses.
//! * A **policy set** is what selects an endpoint: endpoints that the same policies select share one.
//!
//! Ids are given by content and never reused, so what is published under an id never changes:
//! (policy set, class) determines the verdict for ever. That is what makes make-before-break
//! updates of the kernel's maps simple. Atoms of the previous snapshot stay part of new classes
//! for one more round, so an old policy set judges a new class as it should.

mod addresses;
mod decide;
mod identity;
mod ids;
mod intern;
mod names;
mod seen;
mod segmenter;
mod sets;
mod verdicts;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry as BTreeEntry, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

pub use decide::{Decision, Segment, Slot, Verdict};
pub use sets::{CompiledPort, CompiledRule, DirectionSet, PeerMatch, PolicySet, Watches};
pub use verdicts::ClassVerdicts;

use crate::{
    model::{Labels, Peer, Pod, PodName, Protocol, World, selector::Subject},
    names::NamePattern,
};
use identity::{Identities, Identity};
use ids::PolicyIds;
use intern::Interner;

/// One thing that policies tell addresses apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Atom {
    /// The address is this peer; never a [`Peer::Name`].
    Peer(Peer),
    /// Pods of this group have got the address as an answer for such a name.
    Name(NamePattern, GroupId),
    /// The address is a pod whose container port of this name and protocol has this number.
    NamedPort(String, Protocol, u16),
}

/// Number of an atom.
pub type AtomId = u32;
/// Holds for an address that has more than one owner, beside what holds for each of them: no rule that
/// allows holds for it, and those that deny do. No other atom has this number.
pub const CONTESTED: AtomId = 0;
/// Holds for an address of which nobody knows whose it is, though it is some pod's: rules that deny
/// pods deny it, too. No other atom has this number.
pub const UNKNOWN: AtomId = AtomId::MAX;
/// Number of a peer class.
pub type ClassId = u32;
/// Number of a policy set.
pub type SetId = u32;
/// Number of a group: the pods that the same parts of policies select.
pub type GroupId = u32;
/// Number of a policy, as events carry it; 0 is none.
pub type PolicyId = u32;

/// Whose addresses an entry covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A pod, by its place in [`World::pods`].
    Pod(usize),
    /// A node; whether it is the one that this snapshot is for.
    Node {
        /// The agent's own node.
        local: bool,
    },
    /// Somebody's of the cluster, and it is not known whose: for them hold only peers that are told
    /// by the address alone.
    Unknown,
    /// Neither pod nor node.
    Outside,
}

/// What an address prefix is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressEntry {
    /// Its class.
    pub class: ClassId,
    /// Whose it is.
    pub owner: Owner,
}

/// A pod that policies can select on this node, or the node itself where host policies do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod; without a namespace the node.
    pub pod: PodName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its policy set.
    pub set: SetId,
}

/// Everything compiled, immutable, at one revision.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts up with every compilation that changed something.
    pub revision: u64,
    /// The endpoints, in order of their pods.
    pub endpoints: Vec<Endpoint>,
    /// Ports of the node that lead to pods on it.
    pub host_ports: BTreeSet<(Protocol, u16)>,
    /// Addresses by longest prefix; both default routes are always there.
    pub addresses: BTreeMap<IpNet, AddressEntry>,
    /// Addresses that more than one claim, which are nobody's, with those who claim them
    /// (`Pod/NS/NAME`, `a node`, `a service`).
    pub contested: BTreeMap<IpAddr, Vec<String>>,
    /// The atoms of each class in use, sorted.
    pub classes: BTreeMap<ClassId, Arc<[AtomId]>>,
    /// The policy sets in use.
    pub sets: BTreeMap<SetId, Arc<PolicySet>>,
    /// What the numbers of atoms mean.
    pub atoms: BTreeMap<AtomId, Atom>,
    /// What the numbers of policies mean: `Kind/NS/NAME`.
    pub policies: BTreeMap<PolicyId, String>,
}

/// Compiles one world after the other; keeps ids stable between them.
#[derive(Debug, Default)]
pub struct Compiler {
    atoms: Interner<Atom>,
    classes: Interner<Arc<[AtomId]>>,
    sets: Interner<sets::SetKey>,
    groups: names::Groups,
    policies: PolicyIds,
    identities: Identities,
    built: HashMap<SetId, Arc<PolicySet>>,
    /// Atoms of the last snapshot.
    previous: BTreeSet<AtomId>,
    revision: u64,
}

/// Which node a snapshot is for.
#[derive(Debug, Clone, Copy)]
pub enum Local<'a> {
    /// Endpoints are the pods on this node.
    Node(&'a str),
    /// Endpoints are all pods; `host` is this node.
    Everywhere {
        /// The node that counts as the endpoints' own.
        node: &'a str,
    },
}

// === impl Compiler ===

impl Compiler {
    /// A compiler without a past.
    pub fn new() -> Self {
        Self::default()
    }

    /// A compiler whose ids begin above `last` and whose revisions begin above `revision`, for an
    /// agent that adopts maps filled by an earlier one: an id must never change its meaning.
    pub fn after(last: u32, revision: u64) -> Self {
        Self {
            revision,
            atoms: Interner::after(last),
            classes: Interner::after(last),
            sets: Interner::after(last),
            groups: names::Groups::after(last),
            policies: PolicyIds::after(last),
            ..Self::default()
        }
    }

    /// Compiles a world.
    pub fn compile(&mut self, world: &World, local: Local<'_>) -> Snapshot {
        self.revision += 1;
        let policies = self.policies.of(&world.policies);
        let sets = sets::Builder::new(&policies);
        let mut keys: HashMap<Identity, (sets::SetKey, GroupId)> = HashMap::new();
        for pod in world.pods.iter().filter(|pod| local.owns(pod)) {
            if let Entry::Vacant(place) = keys.entry(Identity::of(pod)) {
                let key = sets.key(world, pod);
                let group = self.groups.of(key.parts());
                place.insert((key, group));
            }
        }
        let host = world.host(local.node()).and_then(|host| {
            let key = sets.host_key(world, &host)?;
            let group = self.groups.of(key.parts());
            Some((host, key, group))
        });
        let of_groups = keys.values().map(|(key, group)| (key, *group));
        let mut atoms: BTreeMap<AtomId, Atom> = BTreeMap::new();
        for atom in sets.atoms(world).into_iter().chain(sets.names(of_groups)) {
            atoms.insert(self.atoms.id(&atom), atom);
        }
        let current: BTreeSet<AtomId> = atoms.keys().copied().collect();
        for id in &self.previous {
            if let Some(atom) = self.atoms.get(*id) {
                atoms.entry(*id).or_insert(atom);
            }
        }
        let mut snapshot = Snapshot {
            revision: self.revision,
            ..Snapshot::default()
        };
        let named = self.groups.named(world, &sets, &atoms);
        self.identities.begin(world, &atoms);
        self.place_addresses(world, local, &atoms, &named, &mut snapshot);
        self.identities.end();
        for pod in world.pods.iter().filter(|pod| local.owns(pod)) {
            let Some((key, group)) = keys.get(&Identity::of(pod)) else {
                continue;
            };
            let id = self.sets.id(key);
            if let BTreeEntry::Vacant(place) = snapshot.sets.entry(id) {
                let built = match self.built.get(&id) {
                    Some(built) if !built.names_ports_of_peers() => Arc::clone(built),
                    _ => Arc::new(sets.build(key, *group, &mut self.atoms)),
                };
                place.insert(built);
            }
            snapshot.endpoints.push(Endpoint {
                pod: pod.id(),
                addresses: pod.addresses.clone(),
                set: id,
            });
        }
        if let Some((host, key, group)) = host {
            let id = self.sets.id(&key);
            let built = sets.build(&key, group, &mut self.atoms);
            snapshot.sets.insert(id, Arc::new(built));
            snapshot.endpoints.push(Endpoint {
                pod: host.id(),
                addresses: host.addresses,
                set: id,
            });
        }
        snapshot.host_ports = local.host_ports(world);
        snapshot.endpoints.sort_by(|a, b| a.pod.cmp(&b.pod));
        snapshot.policies = policies
            .iter()
            .map(|(id, policy)| (*id, policy.object.to_string()))
            .collect();
        snapshot.atoms = atoms;
        self.previous = current;
        self.built = snapshot
            .sets
            .iter()
            .map(|(id, set)| (*id, Arc::clone(set)))
            .collect();
        self.forget();
        snapshot
    }

    /// Drops ids that neither this snapshot nor the one before uses.
    fn forget(&mut self) {
        self.atoms.forget();
        self.classes.forget();
        self.sets.forget();
        self.groups.forget();
    }
}

// === impl Local ===

impl Local<'_> {
    /// Whether a pod is an endpoint.
    fn owns(self, pod: &Pod) -> bool {
        !pod.host_network
            && match self {
                Self::Node(node) => pod.node.is_empty() || pod.node == node,
                Self::Everywhere { .. } => true,
            }
    }

    /// The host ports of its node's pods.
    fn host_ports(self, world: &World) -> BTreeSet<(Protocol, u16)> {
        let node = self.node();
        let pods = world.pods.iter();
        let here = pods.filter(|pod| !pod.host_network && pod.node == node);
        here.flat_map(|pod| pod.host_ports.iter().copied())
            .collect()
    }

    fn node(&self) -> &str {
        match self {
            Self::Node(node) | Self::Everywhere { node } => node,
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Whether it is the node and no pod.
    pub fn is_host(&self) -> bool {
        self.pod.namespace.is_empty()
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// What an address is: the entry of its longest prefix.
    pub fn address(&self, address: IpAddr) -> Option<&AddressEntry> {
        let full = IpNet::from(address);
        (0..=full.prefix_len()).rev().find_map(|length| {
            let prefix = IpNet::new(address, length).ok()?.trunc();
            self.addresses.get(&prefix)
        })
    }

    /// Whether what an endpoint sends there passes without that anything looks into it.
    pub fn passes_unread(
        &self,
        endpoint: &Endpoint,
        to: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> bool {
        let set = self.sets.get(&endpoint.set);
        let entry = self.address(to);
        let atoms = entry.and_then(|entry| self.classes.get(&entry.class));
        set.zip(atoms).is_some_and(|(set, atoms)| {
            let decision = set.egress.decide(atoms, Slot::of(protocol), port);
            !set.egress.enforced() || matches!(decision.verdict, Verdict::Allow | Verdict::Audit)
        })
    }

    /// The node, where host policies select it.
    pub fn host(&self) -> Option<&Endpoint> {
        // Sorted: without a namespace it is the first.
        self.endpoints.first().filter(|of| of.is_host())
    }

    /// The endpoint of this pod.
    pub fn endpoint(&self, pod: &PodName) -> Option<&Endpoint> {
        let place = self.endpoints.binary_search_by(|of| of.pod.cmp(pod));
        self.endpoints.get(place.ok()?)
    }
}

fn holding(atoms: &BTreeMap<AtomId, Atom>, holds: impl Fn(AtomId, &Atom) -> bool) -> Vec<AtomId> {
    atoms
        .iter()
        .filter(|(id, atom)| holds(**id, atom))
        .map(|(id, _)| *id)
        .collect()
}

/// A pod with its surroundings, as selectors see it.
pub(crate) fn subject<'a>(world: &'a World, pod: &'a Pod, no_labels: &'a Labels) -> Subject<'a> {
    Subject {
        namespace: &pod.namespace,
        namespace_labels: world
            .namespaces
            .get(&pod.namespace)
            .map_or(no_labels, |namespace| &namespace.labels),
        labels: &pod.labels,
        service_account: &pod.service_account,
        cluster: world.cluster.as_str(),
        is_node: pod.is_node(),
    }
}

#[cfg(test)]
mod tests;
