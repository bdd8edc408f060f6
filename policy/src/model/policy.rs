//! Policies, both kinds, in one shape.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    l7::{HttpRule, L7},
    peer::Peers,
    selector::Subjects,
};

/// Which object a policy came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `cilium.io/v2` CiliumNetworkPolicy.
    CiliumNetworkPolicy,
    /// `cilium.io/v2` CiliumClusterwideNetworkPolicy.
    CiliumClusterwideNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy.
    ClusterNetworkPolicy,
}

/// Names a policy object; prints as `Kind/NAMESPACE/NAME` (`Kind/NAME` where cluster-wide).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Kind of the object.
    pub kind: PolicyKind,
    /// Its namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A policy object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The object it came from.
    pub object: ObjectRef,
    /// Nothing is denied because of it; what it would deny is reported
    /// (annotation `weir.dev/mode: audit`).
    pub audit: bool,
    /// Its parts: one for a NetworkPolicy, one for each entry of `spec`/`specs` of a Cilium one.
    pub specs: Vec<PolicySpec>,
}

/// One part of a policy: whom it is about, and what it says for each direction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicySpec {
    /// When it is asked.
    pub tier: Tier,
    /// The endpoints it selects.
    pub subject: Subjects,
    /// What it says about traffic towards them.
    pub ingress: Section,
    /// What it says about traffic from them.
    pub egress: Section,
}

/// Tiers are asked one after the other, and the first that decides is the last that is asked. In
/// the Admin and Baseline tiers the first rule that matches decides, by priority (lowest first).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Before everything else; with its priority, 0 to 1000.
    Admin(u16),
    /// NetworkPolicies and Cilium's policies.
    #[default]
    Normal,
    /// Where no policy of the normal tier isolates the endpoint; with its priority, 0 to 1000.
    Baseline(u16),
}

/// What a policy says about one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Section {
    /// Whether selecting an endpoint makes this direction deny by default
    /// (`policyTypes`; `enableDefaultDeny` of a Cilium policy).
    pub isolates: bool,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// From the endpoint's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Let it pass (through the proxy where the rule has L7 rules).
    Allow,
    /// Drop it, whatever any allow says.
    Deny,
    /// Ask the next tier (Admin and Baseline tier only).
    Pass,
}

/// One allow or deny entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Where in the object it stands, as a field path: `spec.ingress[0].toPorts[1]`.
    pub place: String,
    /// Allow or deny.
    pub action: Action,
    /// The other end.
    pub peers: Peers,
    /// Protocols and ports of the flow's destination; empty means every protocol and port, ICMP included.
    pub ports: Vec<PortMatch>,
    /// `Some`: flows pass the proxy, which decides on what is said on them. Never with `Deny`.
    pub l7: Option<L7>,
}

/// A transport protocol, by IANA number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// 6.
    #[serde(rename = "TCP")]
    Tcp,
    /// 17.
    #[serde(rename = "UDP")]
    Udp,
    /// 132.
    #[serde(rename = "SCTP")]
    Sctp,
    /// 1; its ports are message types.
    #[serde(rename = "ICMP")]
    Icmp,
    /// 58, ICMP for IPv6; its ports are message types.
    #[serde(rename = "ICMPv6")]
    Icmpv6,
}

/// One protocol and its ports. A Cilium port without a protocol (ANY) becomes three of these.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortMatch {
    /// Its protocol.
    pub protocol: Protocol,
    /// The judged port: the serving end's own, never a service's; the message type of ICMP and
    /// ICMPv6.
    pub port: Port,
}

/// Ports of a [`PortMatch`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// All of them.
    All,
    /// First and last, both included.
    Range(u16, u16),
    /// The destination pod's container port of this name and protocol.
    Named(String),
}

/// What is wrong with an object, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{object}: {field}: {reason}")]
pub struct Problem {
    /// `Kind/NAMESPACE/NAME` of the object.
    pub object: String,
    /// The field, as a path: `spec.ingress[0].from[1].ipBlock.cidr`.
    pub field: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

// === impl ObjectRef ===

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

// === impl PolicyKind ===

impl PolicyKind {
    /// The kind as objects write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::CiliumClusterwideNetworkPolicy => "CiliumClusterwideNetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
        }
    }

    /// Whether its objects live in no namespace.
    pub fn is_cluster_wide(self) -> bool {
        matches!(
            self,
            Self::CiliumClusterwideNetworkPolicy | Self::ClusterNetworkPolicy
        )
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl PolicySpec ===

impl PolicySpec {
    /// The section of a direction.
    pub fn section(&self, direction: Direction) -> &Section {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

// === impl Direction ===

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

// === impl Protocol ===

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
            Self::Icmpv6 => "ICMPv6",
        })
    }
}

// === impl Rule ===

impl Rule {
    /// Its L7 rules, if it is about requests.
    pub fn http(&self) -> Option<&[HttpRule]> {
        match &self.l7 {
            Some(L7::Http(rules)) => Some(rules),
            _ => None,
        }
    }
}
