//! The pods of this node as they were known last: a pod may outlive its object.
//!
//! `kubectl delete pod --force`, a kubelet that is away, a pod that has finished, a manifest that
//! vanishes: the object is gone and the processes run on. As long as the interface is there and no
//! CNI DEL or GC has ended the container, the pod stays in what is compiled, so that it keeps its
//! identity, and policies that come and go still count for it. An address that another pod or a
//! node owns by now is no longer its own.
//!
//! Kept in a file, so that an agent that starts while the object is gone knows the pod, too. What
//! is not known here and has programs denies (see [`weir_redirector::Redirector::apply`]).

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use weir_cluster::Reading;
use weir_link::tools::Attachment;
use weir_policy::model::{Pod, PodName, World};
use weir_redirector::{Places, PodInterface};

use super::is_of;
use crate::stored;

/// A pod at an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The interface's index: names come again, this does not.
    index: u32,
    /// The interface's name.
    interface: String,
    /// The container runtime's id of its sandbox; empty where nobody told it.
    container: String,
    /// `metadata.uid`; empty where unknown.
    uid: String,
    pod: Pod,
}

/// The pods of this node as they were known last.
#[derive(Debug, Default)]
pub struct KnownPods {
    file: PathBuf,
    known: BTreeMap<u32, Known>,
}

/// What the objects do not say, or no longer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Pods of the world whose interface was not found this time, and those of `orphans`.
    pub places: Vec<PodInterface>,
    /// Pods without an object. Where another pod has the name by now, theirs is `NAME~INTERFACE`.
    pub orphans: Vec<Pod>,
}

impl KnownPods {
    /// What an earlier agent knew.
    ///
    /// # Errors
    /// It is not known what it knew.
    pub fn load(file: &Path) -> io::Result<Self> {
        let known: Vec<Known> = stored::load(file)?;
        Ok(Self {
            file: file.to_owned(),
            known: known
                .into_iter()
                .map(|known| (known.index, known))
                .collect(),
        })
    }

    /// Forgets pods whose interface (index) is gone, as far as `is_gone` knows.
    pub fn forget_gone(&mut self, is_gone: impl Fn(u32) -> bool) {
        self.retain(|known| !is_gone(known.index));
    }

    /// Forgets the pod of a container that has ended (CNI DEL).
    pub fn ended(&mut self, container: &str) {
        self.retain(|known| known.container != container);
    }

    /// Forgets the pods of containers that the runtime no longer has (CNI GC). Of those that nobody
    /// told a container of, nothing is said.
    pub fn keep(&mut self, containers: &[String]) {
        self.retain(|known| known.container.is_empty() || containers.contains(&known.container));
    }

    fn retain(&mut self, stays: impl Fn(&Known) -> bool) {
        let before = self.known.len();
        self.known.retain(|_, known| stays(known));
        if self.known.len() < before {
            self.store();
        }
    }

    /// What to add to the objects and to where their pods were found (`places`).
    ///
    /// `gone_with_namespace`: a pod whose namespace is gone is left out, because its policies went
    /// with the namespace; its interface denies then.
    pub fn complete(
        &self,
        reading: &Reading,
        places: &Places,
        gone_with_namespace: bool,
    ) -> Completion {
        let mut completion = Completion::default();
        let world = &reading.world;
        let taken: HashSet<u32> = places.iter().map(|(_, place, _)| place.interface).collect();
        let left = self
            .known
            .values()
            .filter(|known| !taken.contains(&known.index));
        // The later interface of a pod first.
        let left: Vec<&Known> = left.rev().collect();
        if left.is_empty() {
            return completion;
        }
        let objects: BTreeMap<PodName, &str> = world
            .pods
            .iter()
            .zip(&reading.placements)
            .filter(|(pod, _)| !pod.host_network)
            .map(|(pod, place)| (pod.id(), &*place.uid))
            .collect();
        let mut placed: BTreeSet<PodName> = places.iter().map(|(pod, ..)| pod.clone()).collect();
        let mut names: BTreeSet<PodName> = BTreeSet::new();
        let owned = owned(world);
        let mut claimed: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for known in left {
            let pod = &known.pod;
            let name = pod.id();
            let mut place = PodInterface {
                pod: name.clone(),
                interface: known.interface.clone(),
                index: Some(known.index),
            };
            let object = objects.get(&name);
            if object.is_some_and(|uid| *uid == known.uid) && placed.insert(name.clone()) {
                completion.places.push(place);
                continue;
            }
            if gone_with_namespace && !world.namespaces.contains_key(&pod.namespace) {
                continue;
            }
            let mut orphan = pod.clone();
            if object.is_some() || !names.insert(name) {
                orphan.name = format!("{}~{}", pod.name, known.interface);
                place.pod = orphan.id();
            }
            let of_node = |address: &IpAddr| {
                let mut prefixes = world.nodes.iter().flat_map(|node| &node.prefixes);
                prefixes.any(|prefix| prefix.contains(address))
            };
            orphan
                .addresses
                .retain(|address| !owned.contains(address) && !of_node(address));
            for address in &orphan.addresses {
                *claimed.entry(*address).or_default() += 1;
            }
            completion.places.push(place);
            completion.orphans.push(orphan);
        }
        // Of two that claim an address nobody knows whose it is.
        for orphan in &mut completion.orphans {
            let alone = |address: &IpAddr| claimed.get(address) == Some(&1);
            orphan.addresses.retain(alone);
        }
        completion
    }

    /// Takes in where the pods with an object are.
    pub fn learn(&mut self, reading: &Reading, places: &Places, attachments: &[Attachment]) {
        let mut changed = false;
        for (pod, placement) in reading.world.pods.iter().zip(&reading.placements) {
            let id = pod.id();
            let Some((place, interface)) = places.get(&id).zip(places.interface(&id)) else {
                continue;
            };
            let before = self.known.get(&place.interface);
            let told = attachments
                .iter()
                .find(|told| told.interface == interface && is_of(told, placement))
                .map(|told| told.container.as_str());
            let same = before.filter(|before| before.uid == placement.uid);
            let now = Known {
                index: place.interface,
                interface: interface.to_owned(),
                container: told
                    .or(same.map(|before| before.container.as_str()))
                    .unwrap_or_default()
                    .to_owned(),
                uid: placement.uid.clone(),
                pod: pod.clone(),
            };
            if before != Some(&now) {
                self.known.insert(place.interface, now);
                changed = true;
            }
        }
        if changed {
            self.store();
        }
    }

    fn store(&self) {
        let known: Vec<&Known> = self.known.values().collect();
        stored::store(&self.file, &known);
    }
}

/// Addresses that pods with an object and nodes have.
fn owned(world: &World) -> HashSet<IpAddr> {
    let of_pods = world.pods.iter().flat_map(|pod| {
        let own = pod.addresses.iter().chain(&pod.host_addresses);
        own.copied()
    });
    let of_nodes = world
        .nodes
        .iter()
        .flat_map(|node| node.addresses.iter().copied());
    of_pods.chain(of_nodes).collect()
}

#[cfg(test)]
mod tests;
