//! Policies, both kinds, in one shape.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::names::NamePattern;

use super::{
    selector::{PodSelector, Selector},
    world::Service,
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
    pub subject: PodSelector,
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
    /// Let it pass (through the proxy where the rule has HTTP rules).
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

/// What the proxy lets pass on the flows of a rule. An empty list lets nothing pass (all its
/// entries were refused).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum L7 {
    /// TCP: requests that match one of these.
    Http(Vec<HttpRule>),
    /// TCP: TLS connections to one of these server names.
    Tls(Vec<NamePattern>),
    /// UDP and TCP: DNS queries for one of these names.
    Dns(Vec<NamePattern>),
}

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
    /// A named group of addresses.
    Entity(Entity),
    /// The backends of services, at any port.
    Service(ServiceSelector),
    /// Addresses outside the cluster that endpoints have got as answers to DNS queries for these
    /// names.
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
    /// The destination port at the endpoint, never the port of a service; the message type of
    /// ICMP and ICMPv6.
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

/// One HTTP rule: its fields are ANDed, and a field that is `None` matches everything.
///
/// Patterns are regular expressions that must match in full (RE2 syntax). INVARIANT: they compile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpRule {
    /// Where in the object it stands: `spec.ingress[0].toPorts[0].rules.http[0]`.
    pub place: String,
    /// Matches the request's method.
    pub method: Option<String>,
    /// Matches the path with its query string.
    pub path: Option<String>,
    /// Matches the host, with its port where the client sends one.
    pub host: Option<String>,
    /// All must be present.
    pub headers: Vec<HeaderMatch>,
    /// Headers that must have a value, and what to do where one has not.
    pub header_rules: Vec<HeaderRule>,
}

/// A header that should have a value (`headerMatches`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderRule {
    /// Its name, as written.
    pub name: String,
    /// The value; several lines of a header count as one with `,` between them.
    pub value: String,
    /// What to do where it has another value or is missing; `None`: the rule does not match.
    pub mismatch: Option<Mismatch>,
}

/// What a [`HeaderRule`] does with a request that lacks its value. The request matches all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mismatch {
    /// Report it.
    Log,
    /// Append the header with the value.
    Add,
    /// Take the header out.
    Delete,
    /// Take the header out and append it with the value.
    Replace,
}

/// A header that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Its name, lower case.
    pub name: String,
    /// Its exact value; `None`: present with any value.
    pub value: Option<String>,
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
    /// Its HTTP rules, if it is about requests.
    pub fn http(&self) -> Option<&[HttpRule]> {
        match &self.l7 {
            Some(L7::Http(rules)) => Some(rules),
            _ => None,
        }
    }
}

// === impl L7 ===

impl L7 {
    /// Whether flows of a protocol can be what it is about; those of others it never opens.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        match self {
            Self::Http(_) | Self::Tls(_) => protocol == Protocol::Tcp,
            Self::Dns(_) => matches!(protocol, Protocol::Tcp | Protocol::Udp),
        }
    }
}

// === impl Peer ===

impl Peer {
    /// Whether an address lies in a CIDR peer; `false` for the other kinds.
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::Cidr { cidr, except, .. } => {
                cidr.contains(&address) && !except.iter().any(|part| part.contains(&address))
            }
            Self::Pods(_) | Self::Entity(_) | Self::Service(_) | Self::Name(_) => false,
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
