//! Every prefix that policies can tell apart, with its class: the outside, nodes and pods.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    AddressEntry, Atom, AtomId, CONTESTED, ClassId, Compiler, Identity, Local, Owner, Snapshot,
    holding, identity, names::Named,
};
use crate::model::{Entity, Peer, World};

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
        let mut outside: BTreeSet<IpNet> =
            BTreeSet::from([IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]);
        for atom in atoms.values() {
            if let Atom::Peer(Peer::Cidr { cidr, except, .. }) = atom {
                outside.insert(cidr.trunc());
                outside.extend(except.iter().map(IpNet::trunc));
            }
        }
        // Backends outside the cluster, which some peers tell apart.
        let by_service = atoms
            .values()
            .any(|atom| matches!(atom, Atom::Peer(Peer::Service(_))));
        outside.extend(named.iter().map(|(prefix, _)| *prefix));
        for service in &world.services {
            if by_service || service.is_apiserver() {
                let backends = service.ports.iter().flat_map(|port| &port.backends);
                outside.extend(backends.map(|(address, _)| IpNet::from(*address)));
            }
        }
        for prefix in outside {
            let holds = |id: AtomId, atom: &Atom| match atom {
                Atom::Name(..) => named.contains(&(prefix, id)),
                Atom::Peer(peer) => outside_is(peer, prefix, world),
                Atom::NamedPort(..) => false,
            };
            place(prefix, Owner::Outside, holding(atoms, holds));
        }
        for (address, is_local) in node_addresses(world, local) {
            let holds = |_: AtomId, atom: &Atom| match atom {
                Atom::Peer(peer) => node_is(peer, address, is_local, world),
                Atom::Name(..) | Atom::NamedPort(..) => false,
            };
            place(
                address.into(),
                Owner::Node { local: is_local },
                holding(atoms, holds),
            );
        }
        let by_address: Vec<(AtomId, &Peer)> = atoms
            .iter()
            .filter(|(_, atom)| identity::by_address(atom))
            .filter_map(|(id, atom)| match atom {
                Atom::Peer(peer) => Some((*id, peer)),
                Atom::Name(..) | Atom::NamedPort(..) => None,
            })
            .collect();
        let virtuals = world.services.iter().flat_map(|service| &service.addresses);
        let virtuals: HashSet<IpAddr> = virtuals.copied().collect();
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
                let class = self.contest(*address, claims, world, &virtuals, snapshot);
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
        virtuals: &HashSet<IpAddr>,
        snapshot: &mut Snapshot,
    ) -> ClassId {
        let name = |index: usize| {
            let pod = world.pods.get(index);
            pod.map_or_else(String::new, |pod| format!("Pod/{}", pod.full_name()))
        };
        let before = snapshot.addresses.get(&IpNet::from(address));
        let before = before.filter(|entry| match entry.owner {
            // A pod that names its address twice is one owner.
            Owner::Pod(index) => index != claim.index || snapshot.contested.contains_key(&address),
            Owner::Node { .. } => true,
            Owner::Outside => false,
        });
        let is_virtual = virtuals.contains(&address);
        if before.is_none() && !is_virtual {
            return claim.class;
        }
        let owners = snapshot.contested.entry(address).or_insert_with(|| {
            let first = before.map(|entry| match entry.owner {
                Owner::Pod(index) => name(index),
                _ => "a node".to_owned(),
            });
            let virtual_one = is_virtual.then(|| "a service".to_owned());
            first.into_iter().chain(virtual_one).collect()
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

/// Addresses of nodes, and whether they are the local one's.
fn node_addresses(world: &World, local: Local<'_>) -> BTreeMap<IpAddr, bool> {
    let of_nodes = world.nodes.iter().map(|node| (&node.name, &node.addresses));
    let of_pods = world
        .pods
        .iter()
        .map(|pod| (&pod.node, &pod.host_addresses));
    let mut addresses = BTreeMap::new();
    for (name, list) in of_nodes.chain(of_pods) {
        for address in list {
            *addresses.entry(*address).or_insert(false) |= name == local.node();
        }
    }
    addresses
}

/// Whether an address is behind the Kubernetes API.
fn is_apiserver(world: &World, address: IpAddr) -> bool {
    world
        .services
        .iter()
        .filter(|service| service.is_apiserver())
        .any(|service| service.leads_to(address))
}

/// Whether a pod's address is a peer that is told by addresses.
fn is_address(peer: &Peer, address: IpAddr, world: &World) -> bool {
    match peer {
        Peer::Cidr { cluster_too, .. } => *cluster_too && peer.contains(address),
        Peer::Service(services) => services.contains(&world.services, address),
        Peer::Entity(Entity::KubeApiserver) => is_apiserver(world, address),
        Peer::Pods(_) | Peer::Entity(_) | Peer::Name(_) => false,
    }
}

fn node_is(peer: &Peer, address: IpAddr, local: bool, world: &World) -> bool {
    match peer {
        Peer::Pods(_) | Peer::Name(_) => false,
        Peer::Cidr { cluster_too, .. } => *cluster_too && peer.contains(address),
        Peer::Service(services) => services.contains(&world.services, address),
        Peer::Entity(entity) => match entity {
            Entity::All | Entity::Cluster => true,
            Entity::Host => local,
            Entity::RemoteNode => !local,
            Entity::KubeApiserver => is_apiserver(world, address),
            Entity::World | Entity::WorldIpv4 | Entity::WorldIpv6 => false,
        },
    }
}

/// Whether the part of a prefix that no longer prefix covers is this peer.
fn outside_is(peer: &Peer, prefix: IpNet, world: &World) -> bool {
    let single = prefix.prefix_len() == prefix.max_prefix_len();
    match peer {
        Peer::Pods(_) | Peer::Name(_) => false,
        Peer::Cidr { cidr, except, .. } => {
            cidr.contains(&prefix) && !except.iter().any(|part| part.contains(&prefix))
        }
        Peer::Service(services) => single && services.contains(&world.services, prefix.addr()),
        Peer::Entity(entity) => match entity {
            Entity::All | Entity::World => true,
            Entity::WorldIpv4 => matches!(prefix, IpNet::V4(_)),
            Entity::WorldIpv6 => matches!(prefix, IpNet::V6(_)),
            Entity::KubeApiserver => single && is_apiserver(world, prefix.addr()),
            // An API server outside the cluster's nodes counts as part of the cluster all the same.
            Entity::Cluster => single && is_apiserver(world, prefix.addr()),
            Entity::Host | Entity::RemoteNode => false,
        },
    }
}
