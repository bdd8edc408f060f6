//! What the numbers and addresses of events mean at one revision.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use weir_policy::{
    compile::{Owner, Snapshot},
    model::{Answers, Pod, PodName, World},
    objects::of_rule,
};

use crate::api::flow;

/// Numeric identities that clients know by name.
pub mod identity {
    /// Somebody of the cluster, and it is not known who.
    pub const UNKNOWN: u32 = 0;
    /// The node that the agent runs on.
    pub const HOST: u32 = 1;
    /// Neither pod nor node.
    pub const WORLD: u32 = 2;
    /// Another node.
    pub const REMOTE_NODE: u32 = 6;
    /// The first one of pods.
    pub const FIRST: u32 = 256;

    /// The name of a reserved identity.
    pub fn reserved(identity: u32) -> Option<&'static str> {
        Some(match identity {
            UNKNOWN => "unknown",
            HOST => "host",
            WORLD => "world",
            3 => "unmanaged",
            4 => "health",
            5 => "init",
            REMOTE_NODE => "remote-node",
            7 => "kube-apiserver",
            8 => "ingress",
            9 => "world-ipv4",
            10 => "world-ipv6",
            _ => return None,
        })
    }
}

/// The cluster's name as the API has it where there is only one.
pub const CLUSTER: &str = "default";

/// What numbers and addresses mean, from the world and the snapshot in force.
#[derive(Debug, Default)]
pub struct Directory {
    /// The agent's node.
    pub node: String,
    /// What the snapshot was compiled from.
    pub world: Arc<World>,
    /// What is in force.
    pub snapshot: Arc<Snapshot>,
    /// This node's endpoints.
    endpoints: HashMap<u16, PodName>,
    /// Pods by their addresses; whose others are the snapshot tells.
    ends: HashMap<IpAddr, flow::Endpoint>,
    services: HashMap<IpAddr, flow::Service>,
    /// DNS names of addresses outside, as endpoints have learnt them.
    dns: HashMap<IpAddr, Vec<String>>,
}

// === impl Directory ===

impl Directory {
    /// The names of a snapshot; `index` tells the index of a pod of this node.
    pub fn new(
        node: &str,
        world: Arc<World>,
        snapshot: Arc<Snapshot>,
        index: impl Fn(&PodName) -> Option<u16>,
    ) -> Self {
        let mut names = Self {
            node: node.to_owned(),
            ..Self::default()
        };
        for pod in world.pods.iter().filter(|pod| !pod.host_network) {
            let id = pod.id();
            let place = index(&id);
            if let Some(place) = place {
                names.endpoints.insert(place, id);
            }
            let end = pod_end(pod, place.unwrap_or_default());
            for address in &pod.addresses {
                names.ends.insert(*address, end.clone());
            }
        }
        if let Some(host) = snapshot.host()
            && let Some(place) = index(&host.pod)
        {
            names.endpoints.insert(place, host.pod.clone());
        }
        for service in &world.services {
            for address in service.fronts() {
                let named = flow::Service {
                    name: service.name.clone(),
                    namespace: service.namespace.clone(),
                };
                names.services.entry(address).or_insert(named);
            }
        }
        names.dns = by_address(&world.names);
        names.world = world;
        names.snapshot = snapshot;
        names
    }

    /// The pod that is an endpoint of this node.
    pub fn endpoint(&self, index: u16) -> Option<&PodName> {
        self.endpoints.get(&index)
    }

    /// Whose an address is.
    pub fn end(&self, address: IpAddr) -> flow::Endpoint {
        if let Some(end) = self.ends.get(&address) {
            return end.clone();
        }
        match self.snapshot.address(address).map(|entry| &entry.owner) {
            Some(Owner::Node { local }) => node_end(*local),
            Some(Owner::Unknown) => reserved(identity::UNKNOWN),
            Some(Owner::Pod(_) | Owner::Outside) | None => reserved(identity::WORLD),
        }
    }

    /// The service of a virtual address.
    pub fn service(&self, address: IpAddr) -> Option<flow::Service> {
        self.services.get(&address).cloned()
    }

    /// What policies want to be written beside a flow that these rules of theirs decided on. A rule that
    /// is not known is empty.
    pub fn logs(&self, policies: &[String], rules: &[String]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (place, policy) in policies.iter().enumerate() {
            let logs = self.world.logs.get(policy).map_or(&[][..], Vec::as_slice);
            let rule = rules.get(place).map_or("", String::as_str);
            for words in of_rule(logs, rule) {
                if !found.iter().any(|known| known == words) {
                    found.push(words.to_owned());
                }
            }
        }
        found
    }

    /// The DNS names of an address outside.
    pub fn dns(&self, address: IpAddr) -> Vec<String> {
        self.dns.get(&address).cloned().unwrap_or_default()
    }
}

fn by_address(answers: &Answers) -> HashMap<IpAddr, Vec<String>> {
    let mut found: HashMap<IpAddr, Vec<String>> = HashMap::new();
    for (name, addresses) in answers.values().flatten() {
        for address in addresses {
            let names = found.entry(*address).or_default();
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    found
}

fn reserved(identity: u32) -> flow::Endpoint {
    let name = identity::reserved(identity).unwrap_or_default();
    flow::Endpoint {
        identity,
        labels: vec![format!("reserved:{name}")],
        ..flow::Endpoint::default()
    }
}

fn node_end(local: bool) -> flow::Endpoint {
    reserved(match local {
        true => identity::HOST,
        false => identity::REMOTE_NODE,
    })
}

fn pod_end(pod: &Pod, index: u16) -> flow::Endpoint {
    let mut labels: Vec<String> = pod
        .labels
        .iter()
        .map(|(key, value)| format!("k8s:{key}={value}"))
        .collect();
    labels.push(format!("k8s:io.kubernetes.pod.namespace={}", pod.namespace));
    labels.sort();
    flow::Endpoint {
        id: index.into(),
        identity: identity_of(&labels),
        namespace: pod.namespace.clone(),
        labels,
        pod_name: pod.name.clone(),
        workloads: workload(pod).into_iter().collect(),
        cluster_name: CLUSTER.into(),
    }
}

/// A number for a set of labels: the same on every node and after every restart, because it is
/// made of the labels alone (FNV-1a, folded to 24 bits, above the reserved ones).
fn identity_of(labels: &[String]) -> u32 {
    // What tells pods of one workload apart is no part of whom policies mean.
    let lasting = |label: &&String| !label.starts_with("k8s:pod-template-hash=");
    let bytes = labels
        .iter()
        .filter(lasting)
        .flat_map(|label| label.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let folded = (hash ^ (hash >> 24) ^ (hash >> 48)) as u32 & 0x00ff_ffff;
    folded.max(identity::FIRST)
}

/// What made a pod, as its labels and its name tell: the objects that Weir reads name no owner.
fn workload(pod: &Pod) -> Option<flow::Workload> {
    let of = |name: &str, kind: &str| {
        Some(flow::Workload {
            name: name.to_owned(),
            kind: kind.to_owned(),
        })
    };
    let stem = |name: &str| {
        let cut = name.rsplit_once('-').map(|(stem, _)| stem.to_owned());
        cut.unwrap_or_else(|| name.to_owned())
    };
    let label = |key: &str| pod.labels.get(key).map(String::as_str);
    if let Some(hash) = label("pod-template-hash") {
        let set = stem(&pod.name);
        let deployment = set.strip_suffix(&format!("-{hash}"));
        return of(deployment.unwrap_or(&set), "Deployment");
    }
    if label("statefulset.kubernetes.io/pod-name").is_some() {
        return of(&stem(&pod.name), "StatefulSet");
    }
    if let Some(job) = label("batch.kubernetes.io/job-name").or(label("job-name")) {
        return of(job, "Job");
    }
    if label("controller-revision-hash").is_some() {
        return of(&stem(&pod.name), "DaemonSet");
    }
    of(&pod.name, "Pod")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, labels: &[(&str, &str)]) -> Pod {
        Pod {
            namespace: "default".into(),
            name: name.into(),
            labels: labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            ..Pod::default()
        }
    }

    #[test]
    fn workloads_are_told_by_labels() {
        for (name, label, expected) in [
            (
                "sleep-6d68-x7k2p",
                ("pod-template-hash", "6d68"),
                ("sleep", "Deployment"),
            ),
            (
                "db-0",
                ("statefulset.kubernetes.io/pod-name", "db-0"),
                ("db", "StatefulSet"),
            ),
            ("seed-abcde", ("job-name", "seed"), ("seed", "Job")),
            (
                "proxy-abcde",
                ("controller-revision-hash", "1"),
                ("proxy", "DaemonSet"),
            ),
            ("alone", ("app", "x"), ("alone", "Pod")),
        ] {
            let found = workload(&pod(name, &[label])).expect("a workload");
            assert_eq!((found.name.as_str(), found.kind.as_str()), expected);
        }
    }

    #[test]
    fn identities_are_of_labels_only() {
        let of = |pod: &Pod| pod_end(pod, 1).identity;
        let one = of(&pod("a-1", &[("app", "a"), ("pod-template-hash", "1")]));
        assert_eq!(
            one,
            of(&pod("a-2", &[("app", "a"), ("pod-template-hash", "2")]))
        );
        assert_ne!(one, of(&pod("a-1", &[("app", "b")])));
        assert!(one >= identity::FIRST);
    }
}
