//! Where a lab keeps its things, and what its netns and addresses are called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use weir_link::{Instance, instance::InstanceNameError};

use crate::node::Node;

/// Folder of all labs.
pub const LABS: &str = "/run/weir/labs";

pub const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
pub const DNS_V4: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// Routed topology: the next hop of every pod, on the node's end of each link.
pub const GATEWAY_V4: &str = "169.254.1.1";
pub const GATEWAY_V6: &str = "fe80::1";
/// Hosts of the outside, which answer HTTP on port 80 under these names. Their addresses are of the
/// ranges for documentation: nobody has them.
pub const WORLD: [(&str, Ipv4Addr, Ipv6Addr); 2] = [
    (
        "www.google.com",
        Ipv4Addr::new(198, 51, 100, 68),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x68),
    ),
    (
        "example.com",
        Ipv4Addr::new(203, 0, 113, 10),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10),
    ),
];

/// The folders, files and netns of one lab.
#[derive(Debug, Clone)]
pub struct Layout {
    name: String,
    root: PathBuf,
}

// === impl Layout ===

impl Layout {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            root: Path::new(LABS).join(name),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn agent_name(&self, node: Node) -> String {
        match node {
            Node::FIRST => format!("weir-lab-{}", self.name),
            _ => format!("weir-lab-{}-{}", self.name, node.suffix()),
        }
    }

    /// The folder that the agent watches.
    pub fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    pub fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    pub fn zone(&self) -> PathBuf {
        self.root.join("zone.json")
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub fn log(&self, process: &str) -> PathBuf {
        self.logs().join(format!("{process}.log"))
    }

    /// The log of a pod's first container.
    pub fn pod_log(&self, namespace: &str, pod: &str) -> PathBuf {
        self.log(&format!("pod-{namespace}-{pod}"))
    }

    /// The log of another container.
    pub fn container_log(&self, namespace: &str, pod: &str, container: &str) -> PathBuf {
        self.log(&format!("pod-{namespace}-{pod}@{container}"))
    }

    /// busybox's applets, for pods whose images have them.
    pub fn applets(&self) -> PathBuf {
        self.root.join("applets")
    }

    /// What `weir lab shell` puts first in PATH.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Files that a pod finds under /etc, such as its resolv.conf.
    pub fn etc(&self, namespace: &str, pod: &str) -> PathBuf {
        self.root.join("etc").join(format!("{namespace}_{pod}"))
    }

    /// The agent and the proxy of a node.
    pub fn instance(&self, node: Node) -> Result<Instance, InstanceNameError> {
        Instance::new(&self.agent_name(node))
    }

    pub fn pins(&self, node: Node) -> PathBuf {
        Path::new("/sys/fs/bpf/weir").join(self.agent_name(node))
    }

    /// What every netns of this lab begins with; lab names have no dash, so no other lab's do.
    pub fn netns_prefix(&self) -> String {
        format!("weir-lab-{}-", self.name)
    }

    pub fn node_netns(&self, node: Node) -> String {
        format!("{}node{}", self.netns_prefix(), node.suffix())
    }

    pub fn world_netns(&self) -> String {
        format!("{}world", self.netns_prefix())
    }

    pub fn pod_netns(&self, namespace: &str, pod: &str) -> String {
        format!("{}{namespace}-{pod}", self.netns_prefix())
    }
}

/// An address as it is written in URLs and in nft rules.
pub fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
