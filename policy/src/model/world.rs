//! What policies speak about: namespaces, pods, nodes, services.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    cluster::ClusterName,
    group::CidrGroups,
    host::HostPolicies,
    place::Place,
    pod::{Pod, PodName},
    policy::{Policy, Protocol},
    selector::Labels,
    visibility::Visibility,
};
use crate::objects::PolicyLog;

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
    /// Policies, with the prefixes of the groups that they name.
    pub policies: Vec<Policy>,
    /// CIDR groups.
    pub cidr_groups: CidrGroups,
    /// What policies want to be written beside their flows, by `Kind/NAMESPACE/NAME`.
    pub logs: BTreeMap<String, Vec<PolicyLog>>,
    /// Prefixes whose addresses are pods', beside those that nodes tell of.
    pub pod_ranges: BTreeSet<IpNet>,
    /// What becomes of policies that select nodes.
    pub host_policies: HostPolicies,
}

/// Addresses by the pod that asked, and by the name that it asked for. They count for the pods that
/// the same policies select, and for nobody else.
pub type Answers = BTreeMap<PodName, BTreeMap<String, BTreeSet<IpAddr>>>;

/// A Kubernetes namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels, `kubernetes.io/metadata.name` included.
    pub labels: Labels,
    /// What is to be seen of the traffic of its pods.
    pub visibility: Visibility,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, as far as they are known: of the agent's own node every one, of others those
    /// that its object tells.
    pub addresses: Vec<IpAddr>,
    /// Prefixes of which it takes every address for its own (local routes).
    pub prefixes: Vec<IpNet>,
    /// `spec.podCIDRs`: the addresses of its pods are of these.
    pub pod_ranges: Vec<IpNet>,
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
    /// Its other addresses, which lead to the same ports: `externalIPs` and those of its load
    /// balancer.
    pub external: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `sessionAffinity: ClientIP`.
    pub client_affinity: bool,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty where the object names none.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// The service's port.
    pub port: u16,
    /// The port of every node that leads here, in the families of the service.
    pub node_port: Option<u16>,
    /// Ready backends: address and their own port, both families.
    pub backends: Vec<(IpAddr, u16)>,
}

// === impl Service ===

impl Service {
    /// Whether it is the one behind which the Kubernetes API is.
    pub fn is_apiserver(&self) -> bool {
        self.namespace == "default" && self.name == "kubernetes"
    }

    /// Every address that is the service's own; node ports are on the nodes'.
    pub fn fronts(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().chain(&self.external).copied()
    }

    /// Whether it has addresses of a family.
    pub fn has_family(&self, v6: bool) -> bool {
        self.addresses.iter().any(|address| address.is_ipv6() == v6)
    }

    /// Whether an address is one of its backends.
    pub fn leads_to(&self, address: IpAddr) -> bool {
        self.ports
            .iter()
            .flat_map(|port| &port.backends)
            .any(|(backend, _)| *backend == address)
    }
}

// === impl ServicePort ===

impl ServicePort {
    /// The backends of a family.
    pub fn backends_of(&self, v6: bool) -> impl Iterator<Item = (IpAddr, u16)> + '_ {
        let backends = self.backends.iter().copied();
        backends.filter(move |(address, _)| address.is_ipv6() == v6)
    }
}

// === impl World ===

impl World {
    /// What is to be seen of a pod's traffic: what it asks for itself, else its namespace.
    pub fn visibility(&self, pod: &Pod) -> Visibility {
        let of_namespace = || self.namespaces.get(&pod.namespace).map(|of| of.visibility);
        pod.visibility.or_else(of_namespace).unwrap_or_default()
    }

    /// Whether an address is behind the Kubernetes API.
    pub fn is_apiserver(&self, address: IpAddr) -> bool {
        let mut services = self.services.iter().filter(|of| of.is_apiserver());
        services.any(|service| service.leads_to(address))
    }

    /// The service that a flow to an address and a port goes by, as it is translated on the way
    /// out of a pod: a virtual address comes before another service's external one, and both
    /// before a node port.
    pub fn service_at(
        &self,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Option<(&Service, &ServicePort)> {
        let v6 = address.is_ipv6();
        let ready = |port: &&ServicePort| port.backends_of(v6).next().is_some();
        let at = |has: fn(&Service) -> &[IpAddr]| {
            self.services.iter().find_map(|service| {
                let of = has(service).contains(&address);
                let mut ports = service.ports.iter().filter(|_| of).filter(ready);
                let found = ports.find(|of| (of.protocol, of.port) == (protocol, port))?;
                Some((service, found))
            })
        };
        at(|service| &service.addresses)
            .or_else(|| at(|service| &service.external))
            .or_else(|| self.node_port(address, protocol, port))
    }

    fn node_port(
        &self,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Option<(&Service, &ServicePort)> {
        let v6 = address.is_ipv6();
        let mut services = self.services.iter().filter(|of| of.has_family(v6));
        let found = services.find_map(|service| {
            let found = service.ports.iter().find(|of| {
                (of.protocol, of.node_port) == (protocol, Some(port))
                    && of.backends_of(v6).next().is_some()
            })?;
            Some((service, found))
        })?;
        let of_pod = |pod: &Pod| !pod.host_network && pod.addresses.contains(&address);
        let of_node = matches!(self.place(address, ""), Place::Node { .. });
        (of_node && !self.pods.iter().any(of_pod)).then_some(found)
    }
}
