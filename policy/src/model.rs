//! The model: what policies and the things they speak about look like once parsed.
//!
//! NetworkPolicy and CiliumNetworkPolicy become the same [`Policy`]; what differs between them
//! (whether a CIDR reaches pods, which protocol a missing one means) is settled while parsing.

pub mod address;
pub mod cluster;
pub mod group;
pub mod host;
pub mod l7;
pub mod peer;
pub mod place;
pub mod pod;
pub mod policy;
pub mod selector;
pub mod visibility;
pub mod world;

pub use cluster::{ClusterName, NotAClusterName};
pub use group::{CidrGroup, CidrGroups, WhichGroups};
pub use host::{HostFlow, HostPolicies};
pub use l7::{HeaderMatch, HeaderRule, HttpRule, L7, Mismatch};
pub use peer::{Entity, Peer, Peers, ServiceSelector, WhichServices};
pub use place::Place;
pub use pod::{ContainerPort, NotAPodName, Pod, PodName};
pub use policy::{
    Action, Direction, ObjectRef, Policy, PolicyKind, PolicySpec, Port, PortMatch, Problem,
    Protocol, Rule, Section, Tier,
};
pub use selector::{
    Key, Labels, NamespaceScope, Operator, PodSelector, Requirement, Selector, Subjects,
};
pub use visibility::{UnknownVisibility, VISIBILITY, Visibility};
pub use world::{Answers, Namespace, Node, Service, ServicePort, World};
