//! What policies speak about: namespaces, pods, nodes, services.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    cluster::ClusterName,
    policy::{Policy, Protocol},
    selector::Labels,
};

/// Everything a verdict depends on, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// The cluster's own name.
    pub cluster: ClusterName,
    /// Namespaces by name. A namespace that is not listed has no label but
    /// `kubernetes.io/metadata.name`.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Pods, running or about to; completed ones are left out by the source.
    pub pods: Vec<Pod>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Services with their backends.
    pub services: Vec<Service>,
    /// What pods have got as answers to DNS queries that policy let them ask.
    pub names: Answers,
    /// Policies.
    pub policies: Vec<Policy>,
}

/// Addresses by the pod (`NAMESPACE/NAME`) that asked, and by the name that it asked for. They count
/// for the pods that the same policies select, and for nobody else.
pub type Answers = BTreeMap<String, BTreeMap<String, BTreeSet<IpAddr>>>;

/// A Kubernetes namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels, `kubernetes.io/metadata.name` included.
    pub labels: Labels,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Service account; `default` where the object names none.
    pub service_account: String,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    /// `status.hostIPs` of the node it runs on.
    pub host_addresses: Vec<IpAddr>,
    /// `spec.nodeName`, empty where unknown.
    pub node: String,
    /// Shares the node's network: neither subject of a policy nor matched by a pod selector.
    pub host_network: bool,
    /// Named container ports.
    pub ports: Vec<ContainerPort>,
}

/// A named port of a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerPort {
    /// Its name; empty where the object names none.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A service, and where it leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Virtual addresses (`clusterIPs`); none for a headless service.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `sessionAffinity: ClientIP`.
    pub client_affinity: bool,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Protocol.
    pub protocol: Protocol,
    /// The service's port.
    pub port: u16,
    /// Ready backends: address and endpoint port, both families.
    pub backends: Vec<(IpAddr, u16)>,
}

// === impl Service ===

impl Service {
    /// Whether it is the one behind which the Kubernetes API is.
    pub fn is_apiserver(&self) -> bool {
        self.namespace == "default" && self.name == "kubernetes"
    }

    /// Whether an address is one of its backends.
    pub fn leads_to(&self, address: IpAddr) -> bool {
        self.ports
            .iter()
            .flat_map(|port| &port.backends)
            .any(|(backend, _)| *backend == address)
    }
}

// === impl Pod ===

impl Pod {
    /// `NAMESPACE/NAME`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
