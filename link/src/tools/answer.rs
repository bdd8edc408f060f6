//! What the agent answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use serde::{Deserialize, Serialize};
use weir_policy::model::{PodName, pod::two_fields};

use crate::proxy::CountersSnapshot;

/// It is so, or it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Well {}

/// A policy is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The revision that enforces it.
    pub revision: u64,
}

/// What is in force after the objects were read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// The revision.
    pub revision: u64,
    /// Pods under policy.
    pub endpoints: u64,
    /// Objects that are not in force as written.
    pub problems: Vec<Problem>,
    /// Pods of this node that are not under policy.
    pub unmanaged: Vec<Unmanaged>,
    /// Whether the proxy judges by this revision.
    pub proxy: bool,
}

/// Why an object is not in force as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `FILE:LINE`, or the file; empty where the object came from a cluster.
    pub file: String,
    /// `Kind/NAMESPACE/NAME`; empty where it is not about one object.
    pub object: String,
    /// The field's path; empty where it is about the whole.
    pub field: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// A pod that is not under policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmanaged {
    /// The pod.
    pub pod: PodName,
    /// Why.
    pub reason: String,
}

/// Everything an operator looks at first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Why the last change is not in force; nothing where it is.
    pub failure: Option<String>,
    /// The revision in force.
    pub revision: u64,
    /// Pods under policy.
    pub endpoints: u64,
    /// Policies in force.
    pub policies: u64,
    /// Classes of addresses that policies tell apart.
    pub classes: u64,
    /// Objects that are not in force as written.
    pub refused: u64,
    /// Each of them.
    pub problems: Vec<Problem>,
    /// Pods of this node that are not under policy.
    pub unmanaged: Vec<Unmanaged>,
    /// Pods whose object is gone while their interface is there.
    pub orphans: Vec<PodName>,
    /// Interfaces with programs at which no pod is known: they deny.
    pub unowned: u64,
    /// How often an interface could not be looked up: what was in force stayed.
    pub lookups_failed: u64,
    /// Kinds of the API that are out of step.
    pub stale: Vec<Stale>,
    /// How full the kernel's maps are.
    pub maps: Vec<MapFill>,
    /// The proxy in charge.
    pub proxy: ProxyStatus,
    /// Flows in the connection table.
    pub tracked_flows: u64,
    /// Verdicts compared with the rules.
    pub self_check: SelfCheck,
    /// Sockets of the proxy in TIME_WAIT, by direction.
    pub time_wait: Counted,
    /// Counters of the programs by name.
    pub counters: Counted,
}

/// Numbers by name, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Counted {
    /// The numbers.
    Numbers(BTreeMap<String, u64>),
    /// They cannot be read.
    Failed(Failed),
}

/// Why something cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The reason.
    pub error: String,
}

/// A kind of the API that is out of step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    /// Its plural name.
    pub kind: String,
    /// Since when, in seconds since the Unix epoch.
    pub since: u64,
    /// Why.
    pub reason: String,
}

/// How full a map is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapFill {
    /// Its name.
    pub map: String,
    /// Entries in it.
    pub entries: u64,
    /// Entries that it can hold.
    pub room: u64,
}

/// The proxy in charge; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// The revision that it judges by.
    pub revision: Option<u64>,
    /// Its process id.
    pub pid: Option<u32>,
    /// Whether new connections find its listeners.
    pub listens: bool,
    /// Its counters, once it has told them.
    pub counters: Option<CountersSnapshot>,
}

/// What came of comparing the kernel's verdicts with the rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfCheck {
    /// Verdicts compared.
    pub checked: u64,
    /// Those that differ.
    pub mismatches: u64,
}

/// The pods of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The revision in force.
    pub revision: u64,
    /// Those under policy.
    pub endpoints: Vec<Endpoint>,
    /// Those that are not.
    pub unmanaged: Vec<Unmanaged>,
}

/// A pod under policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The pod.
    #[serde(flatten, with = "two_fields")]
    pub pod: PodName,
    /// The veth on the node's side.
    pub interface: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its labels, where its object is known.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its object is gone.
    pub orphan: bool,
    /// What holds for what comes to it.
    pub ingress: EndpointSide,
    /// What holds for what it sends.
    pub egress: EndpointSide,
}

/// One direction of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSide {
    /// Whether some policy speaks; else it is open.
    pub enforced: bool,
    /// `Kind/NAMESPACE/NAME` of the policies with rules for it.
    pub policies: BTreeSet<String>,
}

/// The policies of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// The revision in force.
    pub revision: u64,
    /// Each of them.
    pub policies: Vec<Policy>,
}

/// A policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `Kind/NAMESPACE/NAME`.
    pub policy: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty where it is cluster-wide.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// It denies nothing.
    pub audit: bool,
    /// `metadata.generation`, where the object came from a cluster.
    pub generation: Option<i64>,
    /// What is not in force of it as written.
    pub problems: Vec<PolicyProblem>,
}

/// What is not in force of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyProblem {
    /// The field's path.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

// === impl Problem ===

impl Problem {
    /// For whoever wrote the object and does not know the file: `Kind/NAMESPACE/NAME: field: reason`,
    /// or the file where no object is known.
    pub fn of_object(&self) -> String {
        let about = match self.object.is_empty() {
            true => &self.file,
            false => &self.object,
        };
        let parts = [about, &self.field, &self.reason].into_iter();
        let parts: Vec<&str> = parts
            .filter(|of| !of.is_empty())
            .map(String::as_str)
            .collect();
        parts.join(": ")
    }
}

impl fmt::Display for Problem {
    /// `FILE:LINE: Kind/NAMESPACE/NAME: field: reason`, without what is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.file, &self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.reason)
    }
}

// === impl Counted ===

impl Default for Counted {
    fn default() -> Self {
        Self::Numbers(BTreeMap::new())
    }
}

// === impl MapFill ===

impl MapFill {
    /// Its entries in per cent of what it can hold.
    pub fn percent(&self) -> u64 {
        self.entries.saturating_mul(100) / self.room.max(1)
    }
}
