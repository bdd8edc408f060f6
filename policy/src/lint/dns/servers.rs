//! The servers of a cluster's DNS, and whether a rule's peers are they.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::{
    lint::context::{Context, matches},
    model::{
        Entity, Labels, Peer, Peers, Pod, PodSelector, ServiceSelector, WhichServices,
        selector::Subject,
    },
};

/// How a rule opens the port of DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It names the port, so that it means DNS, if perhaps other servers than the cluster's.
    Port,
    /// It opens every port.
    Everything,
}

/// The servers of a kind of cluster.
#[derive(Debug)]
pub struct Servers {
    /// What the pods listen on; their service's port is 53 everywhere.
    pub port: u16,
    namespace: &'static str,
    label: (&'static str, &'static str),
    account: &'static str,
    service: &'static str,
    /// Rules that name the port may mean servers of one's own.
    others: bool,
}

/// Those of Kubernetes, whatever the make, and OpenShift's.
pub const SERVERS: [Servers; 2] = [
    Servers {
        port: 53,
        namespace: "kube-system",
        label: ("k8s-app", "kube-dns"),
        account: "coredns",
        service: "kube-dns",
        others: true,
    },
    Servers {
        port: 5353,
        namespace: "openshift-dns",
        label: ("dns.operator.openshift.io/daemonset-dns", "default"),
        account: "dns",
        service: "dns-default",
        others: false,
    },
];

/// Addresses that distributions give the service: those of kubeadm, EKS, k3s, OpenShift and
/// MicroK8s. Rules are asked after the service was translated, so they never see them.
const SERVICE_ADDRESSES: [Ipv4Addr; 6] = [
    Ipv4Addr::new(10, 96, 0, 10),
    Ipv4Addr::new(10, 100, 0, 10),
    Ipv4Addr::new(172, 20, 0, 10),
    Ipv4Addr::new(10, 43, 0, 10),
    Ipv4Addr::new(172, 30, 0, 10),
    Ipv4Addr::new(10, 152, 183, 10),
];

/// Where pods' addresses are from, most often (RFC 1918).
const POD_RANGES: [IpNet; 3] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
];

/// From this length on a prefix is that of some servers, not of a network.
const NARROW_V4: u8 = 16;
const NARROW_V6: u8 = 48;

// === impl Servers ===

impl Servers {
    /// Whether they, or other servers that the rule may mean, are among the peers.
    pub fn among(&self, context: &Context<'_>, peers: &Peers, reach: Reach) -> bool {
        match peers {
            Peers::Any => true,
            Peers::OneOf(peers) => peers.iter().any(|peer| self.are(context, peer, reach)),
        }
    }

    fn are(&self, context: &Context<'_>, peer: &Peer, reach: Reach) -> bool {
        let others = self.others && reach == Reach::Port;
        match peer {
            Peer::Pods(selector) => others || self.selected(context, selector),
            Peer::Entity(Entity::All | Entity::Cluster) => true,
            // A cache on the node answers there.
            Peer::Entity(Entity::Host) => others,
            Peer::Service(services) => self.served(context, services),
            Peer::Cidr {
                cidr, cluster_too, ..
            } => {
                let narrow = match cidr {
                    IpNet::V4(v4) => v4.prefix_len() >= NARROW_V4,
                    IpNet::V6(v6) => v6.prefix_len() >= NARROW_V6,
                };
                match others && narrow {
                    true => !is_service(context, cidr),
                    false => *cluster_too && self.within(context, peer),
                }
            }
            Peer::CidrGroup(_) | Peer::Nodes(_) | Peer::Entity(_) | Peer::Name(_) => false,
        }
    }

    fn pods<'a>(&self, context: &Context<'a>) -> Vec<&'a Pod> {
        let (key, value) = self.label;
        let pods = context.world().pods.iter();
        pods.filter(|pod| {
            let labelled = pod.labels.get(key).is_some_and(|label| label == value);
            labelled && (self.others || pod.namespace == self.namespace)
        })
        .collect()
    }

    /// By their label, or where the manifests have none of them, those that a cluster has.
    fn selected(&self, context: &Context<'_>, selector: &PodSelector) -> bool {
        let servers = self.pods(context);
        if !servers.is_empty() {
            let world = context.world();
            return servers.iter().any(|pod| matches(world, selector, pod));
        }
        let label = |(key, value): (&str, &str)| Labels::from([(key.to_owned(), value.to_owned())]);
        selector.matches(Subject {
            namespace: self.namespace,
            namespace_labels: &label(("kubernetes.io/metadata.name", self.namespace)),
            labels: &label(self.label),
            service_account: self.account,
            cluster: context.world().cluster.as_str(),
            is_node: false,
        })
    }

    fn served(&self, context: &Context<'_>, services: &ServiceSelector) -> bool {
        let namespace = services.namespace.as_deref();
        let (key, value) = self.label;
        let usual = namespace.is_none_or(|of| of == self.namespace)
            && match &services.which {
                WhichServices::Named(name) => name == self.service,
                WhichServices::Matching(selector) => {
                    selector.matches_labels(&Labels::from([(key.to_owned(), value.to_owned())]))
                }
            };
        let pods = self.pods(context);
        let mut addresses = pods.iter().flat_map(|pod| &pod.addresses);
        usual || addresses.any(|address| services.contains(&context.world().services, *address))
    }

    /// Whether a prefix has their addresses: those that the manifests tell, or else those that pods
    /// may have.
    fn within(&self, context: &Context<'_>, peer: &Peer) -> bool {
        let real = |address: &&IpAddr| context.input.pod_addresses.contains(*address);
        let pods = self.pods(context);
        let told: Vec<&IpAddr> = pods
            .iter()
            .flat_map(|pod| &pod.addresses)
            .filter(real)
            .collect();
        if !told.is_empty() {
            return told.into_iter().any(|address| peer.contains(*address));
        }
        let Peer::Cidr { cidr, except, .. } = peer else {
            return false;
        };
        let nodes = context
            .world()
            .nodes
            .iter()
            .flat_map(|node| &node.pod_ranges);
        let of_nodes: Vec<IpNet> = nodes.copied().collect();
        let ranges = match of_nodes.as_slice() {
            [] => POD_RANGES.as_slice(),
            told => told,
        };
        let meets = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
        ranges
            .iter()
            .any(|range| cidr.contains(range) && !except.iter().any(|part| meets(part, range)))
    }
}

/// Whether a prefix is a service's address.
fn is_service(context: &Context<'_>, cidr: &IpNet) -> bool {
    if cidr.prefix_len() != cidr.max_prefix_len() {
        return false;
    }
    let address = cidr.addr();
    let services = &context.world().services;
    let usual = SERVICE_ADDRESSES.iter().any(|usual| address == *usual);
    usual || services.iter().any(|of| of.addresses.contains(&address))
}
