//! Flows that were seen: the JSON lines of Hubble (`hubble observe -o jsonpb`), and of Weir.

mod known;
mod line;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    model::{Entity, Labels, Protocol},
    verdict::HttpRequest,
};

pub use known::completed;
pub use line::{RecordError, read};
pub use place::{Placed, Placer};

/// A flow as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Who opened it.
    pub from: Seen,
    /// To whom.
    pub to: Seen,
    /// Its protocol.
    pub protocol: Protocol,
    /// Destination port; 0 for ICMP.
    pub port: u16,
    /// A request on it.
    pub http: Option<HttpRequest>,
    /// Whether it passed.
    pub passed: bool,
}

/// An end of a flow as it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Seen {
    /// Namespace; empty where it was no pod.
    pub namespace: String,
    /// Pod; empty where it was none.
    pub pod: String,
    /// Labels of the pod.
    pub labels: Labels,
    /// Address; empty where it was not told.
    pub address: String,
    /// What it is where it is no pod: `host`, `remote-node`, `kube-apiserver`.
    #[serde(skip)]
    pub entities: BTreeSet<Entity>,
}

/// Labels that differ between pods of one workload, or from one version of it to the next.
const VOLATILE: [&str; 7] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "controller-uid",
];

/// The labels that all pods of a workload share.
pub fn lasting(labels: &Labels) -> Labels {
    labels
        .iter()
        .filter(|(key, _)| !VOLATILE.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

// === impl Seen ===

impl Seen {
    /// `NAMESPACE/POD`, or the address.
    pub fn name(&self) -> String {
        match self.pod.is_empty() {
            true => self.address.clone(),
            false => format!("{}/{}", self.namespace, self.pod),
        }
    }
}
