//! Recorded ends found again among the pods that there are.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use super::{Recorded, Seen, lasting};
use crate::{
    model::{Entity, Pod, PodName, Protocol, World, address},
    verdict::Flow,
};

/// What became of a recorded flow's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// A pod.
    Pod(PodName),
    /// An address outside.
    Address(IpAddr),
    /// A pod that is not there, nor one like it.
    Gone,
}

/// Finds recorded ends in one world.
#[derive(Debug)]
pub struct Placer<'a> {
    by_name: HashMap<PodName, &'a Pod>,
    by_namespace: HashMap<&'a str, Vec<&'a Pod>>,
}

// === impl Placer ===

impl<'a> Placer<'a> {
    /// Finds ends in this world.
    pub fn new(world: &'a World) -> Self {
        let mut by_namespace: HashMap<&str, Vec<&Pod>> = HashMap::new();
        for pod in &world.pods {
            by_namespace.entry(&pod.namespace).or_default().push(pod);
        }
        Self {
            by_name: world.pods.iter().map(|pod| (pod.id(), pod)).collect(),
            by_namespace,
        }
    }

    /// The pod of this name, or one with the same lasting labels, or the address; a host-network
    /// pod is its node's.
    pub fn place(&self, seen: &Seen) -> Placed {
        let address = address::parse(&seen.address).ok();
        let by_address = address.map_or(Placed::Gone, Placed::Address);
        match self.pod(seen) {
            Some(pod) if !pod.host_network || address.is_none() => Placed::Pod(pod.id()),
            None if !seen.namespace.is_empty() => Placed::Gone,
            _ => by_address,
        }
    }

    /// What an end is, where it is no pod.
    pub(super) fn entities(&self, seen: &Seen) -> BTreeSet<Entity> {
        match self.pod(seen) {
            Some(pod) if pod.host_network => [Entity::RemoteNode].into(),
            Some(_) => BTreeSet::new(),
            None if !seen.namespace.is_empty() => BTreeSet::new(),
            None => seen.entities.clone(),
        }
    }

    pub(super) fn pod(&self, seen: &Seen) -> Option<&'a Pod> {
        if let Some(pod) = self.by_name.get(&PodName::new(&seen.namespace, &seen.pod)) {
            return Some(pod);
        }
        let wanted = lasting(&seen.labels);
        let pods = self.by_namespace.get(seen.namespace.as_str())?;
        let alike = |pod: &&&Pod| !wanted.is_empty() && lasting(&pod.labels) == wanted;
        let made = |pod: &&&Pod| workload(&pod.name) == workload(&seen.pod);
        let found = pods.iter().find(alike);
        found
            .or_else(|| pods.iter().find(|pod| wanted.is_empty() && made(pod)))
            .copied()
    }

    /// The recorded flow as a question; `None` where one of its ends is gone.
    pub fn flow(&self, recorded: &Recorded) -> Option<Flow> {
        let name = |seen| match self.place(seen) {
            Placed::Pod(name) => Some(name.to_string()),
            Placed::Address(address) => Some(address.to_string()),
            Placed::Gone => None,
        };
        let icmp = recorded.protocol == Protocol::Icmp;
        Some(Flow {
            from: name(&recorded.from)?,
            to: name(&recorded.to)?,
            protocol: recorded.protocol,
            port: (!icmp).then_some(recorded.port),
            port_name: None,
            http: recorded.http.clone(),
        })
    }
}

/// `sleep` of `sleep-5cb9f4-x7k2p` and of `sleep-0`.
fn workload(pod: &str) -> &str {
    let mut name = pod;
    for _ in 0..2 {
        name = match name.rsplit_once('-') {
            Some((stem, tail)) if tail.bytes().any(|byte| byte.is_ascii_digit()) => stem,
            _ => name,
        };
    }
    name
}
