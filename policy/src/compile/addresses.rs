//! Every prefix that policies can tell apart, with its class: the outside, nodes and pods.
//!
//! A policy's prefix inside one of a node's, or inside a range of pods, is the node's or unknown
//! like the range: it must not make a hole of the outside there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    AddressEntry, Atom, AtomId, CONTESTED, ClassId, Compiler, Identity, Local, Owner, Snapshot,
    UNKNOWN, holding, identity, names::Named,
};
use crate::model::{Entity, Peer, Place, Service, ServiceSelector, World, place::LINK_LOCAL};

// === impl Compiler ===

impl Compiler {
    /// Gives every prefix that policies can tell apart its class.
    pub(super) fn place_addresses(
        &mut self,
        world: &World,
        local: Local<'_>,
        atoms: &BTreeMap<AtomId, Atom>,
        named: &Named,
        snapshot: &mut Snapshot,
    ) {
        let mut place = |prefix: IpNet, owner: Owner, atoms: Vec<AtomId>| {
            let atoms: Arc<[AtomId]> = atoms.into();
            let class = self.classes.id(&atoms);
            snapshot.classes.insert(class, atoms);
            snapshot
                .addresses
                .insert(prefix, AddressEntry { class, owner });
        };
        let places = Places::of(world, local);
        let mut prefixes: BTreeSet<IpNet> = places.prefixes().collect();
        prefixes.extend([IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]);
        for atom in atoms.values() {
            if let Atom::Peer(Peer::Cidr { cidr, except, .. }) = atom {
                prefixes.insert(cidr.trunc());
                prefixes.extend(except.iter().map(IpNet::trunc));
            }
        }
        // Backends outside the cluster, which some peers tell apart.
        let by_service = atoms
            .values()
            .any(|atom| matches!(atom, Atom::Peer(Peer::Service(_))));
        prefixes.extend(named.iter().map(|(prefix, _)| *prefix));
        for service in &world.services {
            if by_service || service.is_apiserver() {
                let backends = service.ports.iter().flat_map(|port| &port.backends);
                prefixes.extend(backends.map(|(address, _)| IpNet::from(*address)));
            }
        }
        for prefix in prefixes {
            let of = places.of_prefix(prefix);
            let holds = |id: AtomId, atom: &Atom| match (atom, of) {
                (Atom::NamedPort(..), _) => false,
                (Atom::Name(..), of) => of == Place::Outside && named.contains(&(prefix, id)),
                (Atom::Peer(peer), Place::Node { local }) => node_is(peer, prefix, local, world),
                (Atom::Peer(peer), Place::Unknown) => unknown_is(peer, prefix, world),
                (Atom::Peer(peer), Place::Outside) => outside_is(peer, prefix, world),
            };
            let owner = match of {
                Place::Node { local } => Owner::Node { local },
                Place::Unknown => Owner::Unknown,
                Place::Outside => Owner::Outside,
            };
            let mut atoms = holding(atoms, holds);
            if owner == Owner::Unknown {
                atoms.push(UNKNOWN);
            }
            place(prefix, owner, atoms);
        }
        let by_address: Vec<(AtomId, &Peer)> = atoms
            .iter()
            .filter(|(_, atom)| identity::by_address(atom))
            .filter_map(|(id, atom)| match atom {
                Atom::Peer(peer) => Some((*id, peer)),
                Atom::Name(..) | Atom::NamedPort(..) => None,
            })
            .collect();
        let fronts: HashSet<IpAddr> = world.services.iter().flat_map(Service::fronts).collect();
        let mut class_of: HashMap<Arc<Identity>, ClassId> = HashMap::new();
        for (index, pod) in world.pods.iter().enumerate() {
            // The addresses of a host-network pod are its node's.
            if pod.host_network {
                continue;
            }
            let identity = Arc::new(Identity::of(pod));
            for address in &pod.addresses {
                let more: Vec<AtomId> = by_address
                    .iter()
                    .filter(|(_, peer)| is_address(peer, *address, world))
                    .map(|(id, _)| *id)
                    .collect();
                let class = match class_of.get(&identity).filter(|_| more.is_empty()) {
                    Some(class) => *class,
                    None => {
                        let mut all = self.identities.atoms(&identity, atoms).to_vec();
                        all.extend(&more);
                        all.sort_unstable();
                        let all: Arc<[AtomId]> = all.into();
                        let class = self.classes.id(&all);
                        snapshot.classes.insert(class, all);
                        if more.is_empty() {
                            class_of.insert(Arc::clone(&identity), class);
                        }
                        class
                    }
                };
                let owner = Owner::Pod(index);
                let claims = Claim { class, index };
                let class = self.contest(*address, claims, world, &fronts, snapshot);
                let entry = AddressEntry { class, owner };
                snapshot.addresses.insert((*address).into(), entry);
            }
        }
    }

    /// The class of a pod's address: that of the pod, or, where something else has the address too,
    /// one of both in which nothing is allowed.
    fn contest(
        &mut self,
        address: IpAddr,
        claim: Claim,
        world: &World,
        fronts: &HashSet<IpAddr>,
        snapshot: &mut Snapshot,
    ) -> ClassId {
        let name = |index: usize| {
            let pod = world.pods.get(index);
            pod.map_or_else(String::new, |pod| format!("Pod/{}", pod.id()))
        };
        let before = snapshot.addresses.get(&IpNet::from(address));
        let before = before.filter(|entry| match entry.owner {
            // A pod that names its address twice is one owner.
            Owner::Pod(index) => index != claim.index || snapshot.contested.contains_key(&address),
            Owner::Node { .. } => true,
            Owner::Unknown | Owner::Outside => false,
        });
        let is_front = fronts.contains(&address);
        if before.is_none() && !is_front {
            return claim.class;
        }
        let owners = snapshot.contested.entry(address).or_insert_with(|| {
            let first = before.map(|entry| match entry.owner {
                Owner::Pod(index) => name(index),
                _ => "a node".to_owned(),
            });
            let front = is_front.then(|| "a service".to_owned());
            first.into_iter().chain(front).collect()
        });
        let own = name(claim.index);
        if !owners.contains(&own) {
            owners.push(own);
        }
        let classes = [Some(claim.class), before.map(|entry| entry.class)];
        let atoms = classes
            .iter()
            .flatten()
            .filter_map(|class| snapshot.classes.get(class));
        let mut all: BTreeSet<AtomId> = atoms.flat_map(|atoms| atoms.iter().copied()).collect();
        all.insert(CONTESTED);
        let all: Arc<[AtomId]> = all.into_iter().collect();
        let class = self.classes.id(&all);
        snapshot.classes.insert(class, all);
        class
    }
}

/// A pod, by its place in the world, with the class that an address of it has.
struct Claim {
    class: ClassId,
    index: usize,
}

/// Whose addresses are that no pod has: [`World::place`] for many prefixes.
struct Places {
    /// What nodes have, and whether it is the local one's.
    nodes: BTreeMap<IpNet, bool>,
    /// Those of them that are more than an address.
    wide: Vec<(IpNet, bool)>,
    unknown: BTreeSet<IpNet>,
}

impl Places {
    fn of(world: &World, local: Local<'_>) -> Self {
        let mut nodes = BTreeMap::new();
        for (prefix, is_local) in world.node_prefixes(local.node()) {
            *nodes.entry(prefix).or_insert(false) |= is_local;
        }
        let wide = nodes.iter().filter(|(prefix, _)| !is_single(**prefix));
        Self {
            wide: wide.map(|(prefix, local)| (*prefix, *local)).collect(),
            unknown: world.unknown_prefixes().collect(),
            nodes,
        }
    }

    fn prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.nodes.keys().chain(&self.unknown).copied()
    }

    /// Whose the part of a prefix is that no longer prefix covers.
    fn of_prefix(&self, prefix: IpNet) -> Place {
        let wide = self.wide.iter().filter(|(of, _)| of.contains(&prefix));
        let nodes = wide
            .map(|(_, local)| *local)
            .chain(self.nodes.get(&prefix).copied());
        match nodes.max() {
            Some(local) => Place::Node { local },
            None if self.unknown.iter().any(|of| of.contains(&prefix)) => Place::Unknown,
            None => Place::Outside,
        }
    }
}

fn is_single(prefix: IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

/// Whether every address of a prefix is in a CIDR peer.
fn covers(peer: &Peer, prefix: IpNet) -> bool {
    match peer {
        Peer::Cidr { cidr, except, .. } => {
            cidr.contains(&prefix) && !except.iter().any(|part| part.contains(&prefix))
        }
        _ => false,
    }
}

/// Whether a pod's address is a peer that is told by addresses.
fn is_address(peer: &Peer, address: IpAddr, world: &World) -> bool {
    match peer {
        Peer::Cidr { cluster_too, .. } => *cluster_too && peer.contains(address),
        Peer::Service(services) => services.contains(&world.services, address),
        Peer::Entity(Entity::KubeApiserver) => world.is_apiserver(address),
        Peer::Pods(_) | Peer::CidrGroup(_) | Peer::Nodes(_) | Peer::Entity(_) | Peer::Name(_) => {
            false
        }
    }
}

/// Whether a node's address, or the part of a node's prefix that no longer one covers, is this peer.
fn node_is(peer: &Peer, prefix: IpNet, local: bool, world: &World) -> bool {
    match peer {
        Peer::Pods(_) | Peer::CidrGroup(_) | Peer::Name(_) => false,
        Peer::Nodes(selector) => !local && world.is_of_nodes(prefix, selector),
        Peer::Cidr { cluster_too, .. } => *cluster_too && covers(peer, prefix),
        Peer::Service(services) => is_backend(services, prefix, world),
        Peer::Entity(entity) => match entity {
            Entity::All | Entity::Cluster => true,
            Entity::Host => local,
            Entity::RemoteNode => !local,
            Entity::KubeApiserver => is_single(prefix) && world.is_apiserver(prefix.addr()),
            Entity::World | Entity::WorldIpv4 | Entity::WorldIpv6 => false,
        },
    }
}

/// Whether an address of the cluster whose owner is not known is this peer: only what would hold
/// for it whoever its owner is. A link-local address is one that its owner has besides those that
/// peers are told by, so for it nothing is known from it alone.
fn unknown_is(peer: &Peer, prefix: IpNet, world: &World) -> bool {
    let told_by_address = !LINK_LOCAL.contains(&prefix);
    match peer {
        Peer::Pods(_) | Peer::CidrGroup(_) | Peer::Nodes(_) | Peer::Name(_) => false,
        Peer::Cidr { cluster_too, .. } => told_by_address && *cluster_too && covers(peer, prefix),
        Peer::Service(services) => told_by_address && is_backend(services, prefix, world),
        Peer::Entity(Entity::All) => true,
        Peer::Entity(Entity::KubeApiserver) => {
            told_by_address && is_single(prefix) && world.is_apiserver(prefix.addr())
        }
        Peer::Entity(_) => false,
    }
}

fn is_backend(services: &ServiceSelector, prefix: IpNet, world: &World) -> bool {
    is_single(prefix) && services.contains(&world.services, prefix.addr())
}

/// Whether the part of a prefix that no longer prefix covers is this peer.
fn outside_is(peer: &Peer, prefix: IpNet, world: &World) -> bool {
    let single = is_single(prefix);
    match peer {
        Peer::Pods(_) | Peer::CidrGroup(_) | Peer::Nodes(_) | Peer::Name(_) => false,
        Peer::Cidr { .. } => covers(peer, prefix),
        Peer::Service(services) => is_backend(services, prefix, world),
        Peer::Entity(entity) => match entity {
            Entity::All | Entity::World => true,
            Entity::WorldIpv4 => matches!(prefix, IpNet::V4(_)),
            Entity::WorldIpv6 => matches!(prefix, IpNet::V6(_)),
            Entity::KubeApiserver => single && world.is_apiserver(prefix.addr()),
            // An API server outside the cluster's nodes counts as part of the cluster all the same.
            Entity::Cluster => single && world.is_apiserver(prefix.addr()),
            Entity::Host | Entity::RemoteNode => false,
        },
    }
}
