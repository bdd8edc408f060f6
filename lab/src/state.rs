//! What a lab remembers between two commands, in one file that is replaced at once.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use weir_policy::model::PodName;

use crate::address::Pool;
use crate::host::process::Process;
use crate::node::Node;
use crate::object::{Key, Object};
use crate::play::image::Role;

/// How pods are joined to the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// A route and a link for each pod, as Calico, kindnet and the cloud CNIs do it.
    #[default]
    Routed,
    /// One bridge for all pods, as flannel and the bridge plugin do it.
    Bridge,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    pub topology: Topology,
    /// Whether the kernel judges requests.
    #[serde(default)]
    pub l7_kernel: bool,
    /// Whether pods are told by ICMP that egress rules deny a packet.
    #[serde(default)]
    pub deny_icmp: bool,
    /// What becomes of policies that select nodes, as the agent's option says it; empty: its default.
    #[serde(default)]
    pub host_policies: String,
    /// Whether the agent and the proxy belong to this lab.
    pub weir: bool,
    /// The binary that plays workloads, agent and proxy.
    pub program: PathBuf,
    /// What was applied and not deleted.
    pub objects: Vec<Object>,
    /// The pods that exist.
    pub pods: BTreeMap<PodName, Pod>,
    /// Virtual addresses by `NS/NAME` of their service.
    pub service_addresses: BTreeMap<String, Vec<IpAddr>>,
    /// The first one is where pods go that do not say.
    pub nodes: Vec<NodeState>,
    pub service_pool: Pool,
    /// How often a replica was deleted and made again, by its place in its owner.
    pub incarnations: BTreeMap<String, u32>,
    pub world: Option<Process>,
    /// When objects were made, in seconds since 1970.
    #[serde(default)]
    pub created: BTreeMap<String, i64>,
}

/// A node, and what runs on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeState {
    pub node: Node,
    pub pods: Pool,
    pub agent: Option<Process>,
    pub proxy: Option<Process>,
    #[serde(default)]
    pub takeover: Option<Process>,
}

/// A pod that exists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// `Kind/NAME` of what made it.
    pub owner: Option<String>,
    pub node: Node,
    pub netns: String,
    /// The node's end of its link; `None` for pods of the host network.
    pub interface: Option<String>,
    /// IPv4 first, then IPv6.
    pub addresses: Vec<IpAddr>,
    /// What plays it, for people.
    pub workload: String,
    /// Another value means another pod.
    pub fingerprint: u64,
    /// What plays each of its containers.
    pub running: Vec<Running>,
    /// When it was made, in seconds since 1970.
    #[serde(default)]
    pub created: i64,
    /// Whether its workload has been started: not before the agent knew the pod.
    pub started: bool,
}

/// How a container is played, and by which process; an idle one has none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    pub role: Role,
    pub process: Option<Process>,
}

// === impl State ===

impl State {
    pub fn new(topology: Topology, weir: bool, nodes: usize, program: PathBuf) -> Self {
        let node = |node| NodeState {
            node,
            pods: Pool::pods(node),
            agent: None,
            proxy: None,
            takeover: None,
        };
        Self {
            topology,
            l7_kernel: false,
            deny_icmp: false,
            host_policies: String::new(),
            weir,
            program,
            objects: Vec::new(),
            pods: BTreeMap::new(),
            service_addresses: BTreeMap::new(),
            nodes: Node::all(nodes).map(node).collect(),
            service_pool: Pool::services(),
            incarnations: BTreeMap::new(),
            world: None,
            created: BTreeMap::new(),
        }
    }

    pub fn load(path: &Path) -> Result<Self> {
        let text =
            fs::read(path).with_context(|| format!("cannot read the lab's {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a lab's state", path.display()))
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, &serde_json::to_vec_pretty(self)?)
    }

    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.objects.iter().find(|object| &object.key == key)
    }
}

// === impl Pod ===

impl Pod {
    /// What it is called.
    pub fn id(&self) -> PodName {
        PodName::new(&self.namespace, &self.name)
    }

    pub fn processes(&self) -> impl Iterator<Item = Process> {
        self.running.iter().filter_map(|running| running.process)
    }

    pub fn address(&self, v6: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|a| a.is_ipv6() == v6)
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

/// Readers see the old content or the new one, never a piece.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The dot keeps the half-written file out of the folder that the agent watches.
    let draft = path.with_file_name(format!(".{name}.new"));
    fs::File::create(&draft)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
