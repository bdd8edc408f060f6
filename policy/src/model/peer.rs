//! The other end of a flow, as rules name it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    group::WhichGroups,
    selector::{PodSelector, Selector},
    world::Service,
};
use crate::names::NamePattern;

/// The other end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peers {
    /// Anyone, inside the cluster or out.
    Any,
    /// Those that one of these matches; an empty list matches nobody.
    OneOf(Vec<Peer>),
}

/// One kind of other end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// Pods by label. Never a host-network pod, a node or an outside address.
    Pods(PodSelector),
    /// Addresses by prefix.
    Cidr {
        /// The prefix, host bits zero.
        cidr: IpNet,
        /// Parts of it that are not meant.
        except: Vec<IpNet>,
        /// Whether pod and node addresses inside the prefix are meant: yes for the `ipBlock` of
        /// a NetworkPolicy, no for Cilium's CIDR fields.
        cluster_too: bool,
    },
    /// The prefixes of CIDR groups. It matches nobody itself: [`super::Policy::with_groups`] puts them
    /// beside it.
    CidrGroup(WhichGroups),
    /// Nodes by label, but for the endpoint's own, which is the entity `host`.
    Nodes(Selector),
    /// A named group of addresses.
    Entity(Entity),
    /// The backends of services, at any port.
    Service(ServiceSelector),
    /// Addresses outside the cluster that pods which the same policies select have got as answers
    /// to DNS queries for these names.
    Name(NamePattern),
}

/// Services, by name or by label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceSelector {
    /// Namespace of the services; `None`: every one.
    pub namespace: Option<String>,
    /// Which of them.
    pub which: WhichServices,
}

/// Which services a [`ServiceSelector`] means.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WhichServices {
    /// The one of this name.
    Named(String),
    /// Those whose labels match.
    Matching(Selector),
}

/// Cilium's entities, as far as they are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// Everything.
    All,
    /// Addresses outside the cluster: neither pod nor node.
    World,
    /// The IPv4 part of `World`.
    WorldIpv4,
    /// The IPv6 part of `World`.
    WorldIpv6,
    /// Every pod and node.
    Cluster,
    /// The endpoint's own node.
    Host,
    /// The other nodes.
    RemoteNode,
    /// The backends of the service `default/kubernetes`.
    KubeApiserver,
}

// === impl Peer ===

impl Peer {
    /// Whether an address lies in a CIDR peer; `false` for the other kinds.
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::Cidr { cidr, except, .. } => {
                cidr.contains(&address) && !except.iter().any(|part| part.contains(&address))
            }
            Self::Pods(_)
            | Self::CidrGroup(_)
            | Self::Nodes(_)
            | Self::Entity(_)
            | Self::Service(_)
            | Self::Name(_) => false,
        }
    }
}

// === impl ServiceSelector ===

impl ServiceSelector {
    /// Whether a service is meant.
    pub fn matches(&self, service: &Service) -> bool {
        self.namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == service.namespace)
            && match &self.which {
                WhichServices::Named(name) => *name == service.name,
                WhichServices::Matching(selector) => selector.matches_labels(&service.labels),
            }
    }

    /// Whether an address is a backend of a service that is meant.
    pub fn contains(&self, services: &[Service], address: IpAddr) -> bool {
        services
            .iter()
            .filter(|service| self.matches(service))
            .any(|service| service.leads_to(address))
    }
}
