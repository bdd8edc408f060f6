//! Recorded flows as edges between workloads.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::workload::Workload;
use crate::{
    model::{Direction, Labels, Place, Pod, Protocol, World},
    record::{Placed, Placer, Recorded, Seen, lasting},
};

/// The other end of an edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Other {
    Workload(Workload),
    /// Nodes of the cluster: pods move from one to another.
    Nodes,
    /// The Kubernetes API.
    Apiserver,
    Outside(IpAddr),
}

/// What was seen with one other end.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    /// Ports without requests on them.
    pub ports: BTreeSet<(Protocol, u16)>,
    /// Requests, as method and path, by port.
    pub requests: BTreeMap<u16, BTreeSet<(String, String)>>,
    pub ping: bool,
}

/// Edges by workload, direction and other end.
type Edges = BTreeMap<(Workload, Direction), BTreeMap<Other, Edge>>;

/// All that was seen.
pub(super) struct Traffic {
    edges: Edges,
    /// Every workload that is known, seen or not.
    pub known: BTreeSet<Workload>,
    seen: BTreeMap<Workload, usize>,
    pub left_out: BTreeSet<String>,
}

// === impl Traffic ===

impl Traffic {
    pub fn of(flows: &[Recorded], world: &World, denied_too: bool) -> Self {
        let pods = world.pods.iter().filter(|pod| !pod.host_network);
        let mut traffic = Self {
            edges: BTreeMap::new(),
            known: pods.map(workload_of).collect(),
            seen: BTreeMap::new(),
            left_out: BTreeSet::new(),
        };
        let placer = Placer::new(world);
        for flow in flows.iter().filter(|flow| flow.passed || denied_too) {
            let ends = (
                traffic.other(&placer, world, &flow.from),
                traffic.other(&placer, world, &flow.to),
            );
            if let (Some(from), Some(to)) = ends {
                traffic.add(flow, &from, &to);
            }
        }
        traffic
    }

    /// Workloads with an edge.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.seen.keys()
    }

    /// How many flows a workload was seen in.
    pub fn count(&self, workload: &Workload) -> usize {
        self.seen.get(workload).copied().unwrap_or(0)
    }

    pub fn edges(
        &self,
        workload: &Workload,
        direction: Direction,
    ) -> impl Iterator<Item = (&Other, &Edge)> {
        let key = (workload.clone(), direction);
        self.edges.get(&key).into_iter().flatten()
    }

    fn other(&mut self, placer: &Placer<'_>, world: &World, seen: &Seen) -> Option<Other> {
        let address = match placer.place(seen) {
            Placed::Pod(name) => {
                let pod = world.pods.iter().find(|pod| pod.id() == name)?;
                return self.workload(workload_of(pod), seen);
            }
            Placed::Gone if !seen.namespace.is_empty() => {
                let labels = lasting(&seen.labels);
                let namespace = seen.namespace.clone();
                return self.workload(Workload { namespace, labels }, seen);
            }
            Placed::Gone => {
                self.left_out
                    .insert("flows with an end that has neither pod nor address".to_owned());
                return None;
            }
            Placed::Address(address) => address,
        };
        if world.is_apiserver(address) {
            return Some(Other::Apiserver);
        }
        match world.place(address, "") {
            Place::Node { .. } => Some(Other::Nodes),
            Place::Outside => Some(Other::Outside(address)),
            Place::Unknown => {
                let text = format!("flows of {address}: whose it is in the cluster is not known");
                self.left_out.insert(text);
                None
            }
        }
    }

    fn workload(&mut self, workload: Workload, seen: &Seen) -> Option<Other> {
        if workload.labels == Labels::new() {
            let text = format!("flows of {}: it has no labels to select it by", seen.name());
            self.left_out.insert(text);
            return None;
        }
        self.known.insert(workload.clone());
        Some(Other::Workload(workload))
    }

    fn add(&mut self, flow: &Recorded, from: &Other, to: &Other) {
        for (direction, own, other) in [
            (Direction::Egress, from, to),
            (Direction::Ingress, to, from),
        ] {
            let Other::Workload(own) = own else { continue };
            *self.seen.entry(own.clone()).or_default() += 1;
            let edges = self.edges.entry((own.clone(), direction)).or_default();
            let edge = edges.entry(other.clone()).or_default();
            match (flow.protocol, &flow.http) {
                (Protocol::Icmp | Protocol::Icmpv6, _) => edge.ping = true,
                (Protocol::Tcp, Some(http)) if direction == Direction::Ingress => {
                    let request = (http.method.clone(), http.path.clone());
                    edge.requests.entry(flow.port).or_default().insert(request);
                }
                (protocol, _) => drop(edge.ports.insert((protocol, flow.port))),
            }
        }
    }
}

// === impl Edge ===

impl Edge {
    /// Ports on which no request was seen: the others are covered by their HTTP rules.
    pub fn plain_ports(&self) -> BTreeSet<(Protocol, u16)> {
        let has_requests =
            |protocol, port| protocol == Protocol::Tcp && self.requests.contains_key(&port);
        let ports = self.ports.iter().copied();
        ports
            .filter(|(protocol, port)| !has_requests(*protocol, *port))
            .collect()
    }
}

fn workload_of(pod: &Pod) -> Workload {
    Workload {
        namespace: pod.namespace.clone(),
        labels: lasting(&pod.labels),
    }
}
