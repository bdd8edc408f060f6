//! The node as an endpoint: what host policies select, and what they never deny.

use std::{borrow::Cow, net::IpAddr, str::FromStr};

use super::{
    Direction, Pod, Policy, Protocol,
    place::LINK_LOCAL,
    world::{Node, World},
};

/// What becomes of host policies: parts of policies that select nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum HostPolicies {
    /// Nothing.
    Off,
    /// They deny nothing, and what they would deny is reported.
    Audit,
    /// They are enforced.
    #[default]
    Enforce,
}

/// None of [`HostPolicies::WORDS`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of off, audit and enforce")]
pub struct NotAMode(String);

/// Where the kubelet serves (`KubeletConfiguration.port`).
const KUBELET: u16 = 10250;

/// A flow of a node, seen from it.
#[derive(Debug, Clone, Copy)]
pub struct HostFlow {
    /// Its direction.
    pub direction: Direction,
    /// The node's address.
    pub own: IpAddr,
    /// The other end.
    pub peer: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Destination port.
    pub port: u16,
}

// === impl HostPolicies ===

impl HostPolicies {
    /// As options say it, in order.
    pub const WORDS: [&str; 3] = ["off", "audit", "enforce"];

    /// As options say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Enforce => "enforce",
        }
    }
}

impl FromStr for HostPolicies {
    type Err = NotAMode;

    fn from_str(text: &str) -> Result<Self, NotAMode> {
        let all = [Self::Off, Self::Audit, Self::Enforce];
        let found = all.into_iter().find(|mode| mode.word() == text);
        found.ok_or_else(|| NotAMode(text.to_owned()))
    }
}

// === impl World ===

impl World {
    /// A node as what policies select: a pod without a namespace, which has the node's name, labels
    /// and addresses.
    pub fn host(&self, node: &str) -> Option<Pod> {
        let found = self.nodes.iter().find(|of| of.name == node)?;
        Some(Pod {
            name: found.name.clone(),
            node: found.name.clone(),
            labels: found.labels.clone(),
            addresses: found.addresses.clone(),
            host_network: true,
            ..Pod::default()
        })
    }

    /// What policies see of an end: a pod by its name, or a node by an address of it.
    pub(crate) fn endpoint(&self, name: &str) -> Option<Cow<'_, Pod>> {
        if let Ok(address) = name.parse() {
            return self.host(self.node_of(address)?).map(Cow::Owned);
        }
        let pod = self.pods.iter().find(|pod| pod.id() == *name);
        pod.map(Cow::Borrowed)
    }

    /// Policies of which some part selects nodes.
    pub fn policies_of_nodes(&self) -> impl Iterator<Item = &Policy> {
        let policies = self.policies.iter();
        policies.filter(|policy| {
            policy
                .specs
                .iter()
                .any(|spec| spec.subject.pods().is_none())
        })
    }

    /// Whether a policy denies nothing, of itself or because it selects nodes alone.
    pub fn only_reports(&self, policy: &Policy) -> bool {
        let mut specs = policy.specs.iter();
        let of_nodes = !policy.specs.is_empty() && specs.all(|spec| spec.subject.pods().is_none());
        policy.audit || of_nodes && self.host_policies == HostPolicies::Audit
    }

    /// The node that an address is of, and no pod's.
    pub fn node_of(&self, address: IpAddr) -> Option<&str> {
        let owner = self.nodes.iter().find(|node| node.owns(address));
        let of_pods = || {
            let mut pods = self.pods.iter();
            pods.find(|pod| pod.host_addresses.contains(&address))
        };
        let owner = owner.map(|node: &Node| node.name.as_str());
        owner.or_else(|| of_pods().map(|pod| pod.node.as_str()))
    }

    /// Why host policies of a node never deny a flow of it; `None`: they may. The same as
    /// `is_never_cut` in `ebpf/src/host/guard.rs`.
    pub fn never_cut(&self, node: &str, flow: HostFlow) -> Option<&'static str> {
        let egress = flow.direction == Direction::Egress;
        let own_pod = |pod: &Pod| !pod.host_network && pod.node == node;
        let is_api = |address, port| {
            let mut services = self.services.iter().filter(|of| of.is_apiserver());
            let leads = |(to, at): &(IpAddr, u16)| (*to, *at) == (address, port);
            flow.protocol == Protocol::Tcp
                && services.any(|of| of.ports.iter().any(|of| of.backends.iter().any(leads)))
        };
        if egress && self.pods_at(flow.peer).any(own_pod) {
            return Some("the kubelet's probes");
        }
        let api = match egress {
            true => is_api(flow.peer, flow.port),
            false => is_api(flow.own, flow.port),
        };
        if api {
            return Some("the Kubernetes API");
        }
        if flow.protocol == Protocol::Udp {
            let dhcp = match (egress, flow.peer.is_ipv6()) {
                (true, false) => 67,
                (true, true) => 547,
                (false, false) => 68,
                (false, true) => 546,
            };
            return (flow.port == dhcp).then_some("DHCP");
        }
        let kubelet = !egress && flow.protocol == Protocol::Tcp && flow.port == KUBELET;
        (kubelet && self.is_of_cluster(flow.peer)).then_some("the kubelet, for the cluster")
    }

    /// Whether an address is a pod's or a node's, or the Kubernetes API is behind it.
    fn is_of_cluster(&self, address: IpAddr) -> bool {
        !LINK_LOCAL.contains(&address)
            && (self.pods_at(address).next().is_some()
                || self.node_of(address).is_some()
                || self.is_apiserver(address))
    }

    fn pods_at(&self, address: IpAddr) -> impl Iterator<Item = &Pod> {
        let pods = self.pods.iter();
        pods.filter(move |pod| !pod.host_network && pod.addresses.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_it_is_written() {
        for word in HostPolicies::WORDS {
            assert_eq!(
                word.parse::<HostPolicies>().map(HostPolicies::word),
                Ok(word)
            );
        }
        let error = "on".parse::<HostPolicies>().unwrap_err().to_string();
        assert!(
            error.contains("`on` is none of off, audit and enforce"),
            "{error}"
        );
    }
}
