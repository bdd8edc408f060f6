//! Which atoms hold for a pod, remembered by what selectors see of it.
//!
//! Pods of one workload look alike to every selector, so the atoms are found once for all of them,
//! and when policies change only the atoms that are new are looked at.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::model::{
    ClusterName, ContainerPort, Entity, Labels, Namespace, Peer, Pod, Visibility, World,
    selector::Subject,
};

use super::{Atom, AtomId, sets};

/// What selectors see of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    namespace: String,
    labels: Labels,
    service_account: String,
    ports: Vec<ContainerPort>,
    visibility: Option<Visibility>,
}

/// The atoms of every identity.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Atoms that `of` was found for.
    evaluated: BTreeSet<AtomId>,
    around: Around,
    of: HashMap<Arc<Identity>, Known>,
    round: u64,
}

/// What selectors see of a pod's surroundings.
#[derive(Debug, Default, PartialEq)]
struct Around {
    namespaces: BTreeMap<String, Namespace>,
    cluster: ClusterName,
}

#[derive(Debug)]
struct Known {
    /// Sorted.
    atoms: Vec<AtomId>,
    used: u64,
}

/// Whether an atom depends on a pod's address, not only on its identity.
pub(super) fn by_address(atom: &Atom) -> bool {
    matches!(
        atom,
        Atom::Peer(Peer::Cidr { .. } | Peer::Service(_) | Peer::Entity(Entity::KubeApiserver))
    )
}

// === impl Identity ===

impl Identity {
    pub(super) fn of(pod: &Pod) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            service_account: pod.service_account.clone(),
            ports: pod.ports.clone(),
            visibility: pod.visibility,
        }
    }

    fn holds(&self, atom: &Atom, around: &Around) -> bool {
        static NONE: Labels = Labels::new();
        let subject = Subject {
            namespace: &self.namespace,
            namespace_labels: around
                .namespaces
                .get(&self.namespace)
                .map_or(&NONE, |namespace| &namespace.labels),
            labels: &self.labels,
            service_account: &self.service_account,
            cluster: around.cluster.as_str(),
            is_node: false,
        };
        match atom {
            Atom::Peer(Peer::Pods(selector)) => selector.matches(subject),
            Atom::Peer(Peer::Entity(entity)) => matches!(entity, Entity::All | Entity::Cluster),
            Atom::Peer(_) | Atom::Name(..) => false,
            Atom::NamedPort(name, protocol, number) => {
                sets::named_port(&self.ports, name, *protocol) == Some(*number)
            }
        }
    }
}

// === impl Identities ===

impl Identities {
    /// Begins a round with these atoms.
    pub(super) fn begin(&mut self, world: &World, atoms: &BTreeMap<AtomId, Atom>) {
        self.round += 1;
        if (&self.around.namespaces, &self.around.cluster) != (&world.namespaces, &world.cluster) {
            self.around = Around {
                namespaces: world.namespaces.clone(),
                cluster: world.cluster.clone(),
            };
            self.of.clear();
        }
        let current: BTreeSet<AtomId> = atoms
            .iter()
            .filter(|(_, atom)| !by_address(atom))
            .map(|(id, _)| *id)
            .collect();
        let new: Vec<(AtomId, &Atom)> = current
            .difference(&self.evaluated)
            .filter_map(|id| Some((*id, atoms.get(id)?)))
            .collect();
        let gone = self.evaluated.difference(&current).next().is_some();
        for (identity, known) in &mut self.of {
            if gone {
                known.atoms.retain(|id| current.contains(id));
            }
            let holding = new
                .iter()
                .filter(|(_, atom)| identity.holds(atom, &self.around));
            let before = known.atoms.len();
            known.atoms.extend(holding.map(|(id, _)| *id));
            if known.atoms.len() > before {
                known.atoms.sort_unstable();
            }
        }
        self.evaluated = current;
    }

    /// The atoms of an identity that do not depend on an address, sorted.
    pub(super) fn atoms(
        &mut self,
        identity: &Arc<Identity>,
        atoms: &BTreeMap<AtomId, Atom>,
    ) -> &[AtomId] {
        let (round, evaluated, around) = (self.round, &self.evaluated, &self.around);
        let known = self.of.entry(Arc::clone(identity)).or_insert_with(|| {
            let holding = evaluated
                .iter()
                .filter(|id| atoms.get(id).is_some_and(|a| identity.holds(a, around)));
            Known {
                atoms: holding.copied().collect(),
                used: round,
            }
        });
        known.used = round;
        &known.atoms
    }

    /// Ends a round: identities that no pod has are forgotten.
    pub(super) fn end(&mut self) {
        let round = self.round;
        self.of.retain(|_, known| known.used == round);
    }
}
