//! What a flow lacks for a rule.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{peers, ports};
use crate::{
    compile::Slot,
    model::{Direction, ObjectRef, Pod, Protocol, Rule, World},
    verdict::{End, Flow, judged_port, slot},
};

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// What it is about.
    pub kind: MissKind,
    /// What does not fit.
    pub text: String,
    /// What to do about it, where that can be guessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What a [`Miss`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissKind {
    /// The peer's namespace.
    Namespace,
    /// A label of the peer.
    Label,
    /// The peer's address.
    Cidr,
    /// The peer is of another kind.
    Peer,
    /// The port.
    Port,
    /// The protocol.
    Protocol,
    /// The request's method.
    Method,
    /// The request's path.
    Path,
    /// The request's host.
    Host,
    /// A header of the request.
    Header,
    /// The request's body.
    Body,
    /// Something else.
    Other,
}

/// A flow as one side's rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub world: &'a World,
    pub direction: Direction,
    pub own: &'a Pod,
    pub peer: Option<&'a Pod>,
    /// Address of the other end.
    pub address: IpAddr,
    /// Address of the destination.
    pub destination: IpAddr,
    pub protocol: Protocol,
    pub slot: Slot,
    /// The judged port.
    pub port: u16,
}

/// What does not fit of peers, protocol and port.
pub(super) fn of_rule(view: &View<'_>, object: &ObjectRef, rule: &Rule) -> Vec<Miss> {
    let mut misses = peers::misses(view, object, &rule.peers);
    misses.extend(ports::miss(view, &rule.ports));
    misses
}

/// How far away some misses are together; small is near.
pub(super) fn distance(misses: &[Miss]) -> usize {
    misses.iter().map(|miss| miss.kind.weight()).sum()
}

/// All as one phrase.
pub(super) fn phrase(misses: &[Miss]) -> String {
    let parts: Vec<String> = misses.iter().map(ToString::to_string).collect();
    parts.join("; and ")
}

// === impl View ===

impl<'a> View<'a> {
    /// The view of a pod, `own`, on a flow whose other end is `peer`.
    pub(crate) fn new(
        world: &'a World,
        flow: &Flow,
        direction: Direction,
        (own, address): (&'a Pod, IpAddr),
        peer: End<'a>,
        port: u16,
    ) -> Self {
        let slot = slot(flow.protocol, peer.address);
        Self {
            world,
            direction,
            own,
            peer: peer.pod.filter(|pod| !pod.host_network),
            address: peer.address,
            destination: match direction {
                Direction::Ingress => address,
                Direction::Egress => peer.address,
            },
            protocol: slot.protocol().unwrap_or(flow.protocol),
            slot,
            port: judged_port(flow, peer.address, port),
        }
    }
}

// === impl Miss ===

impl Miss {
    pub(crate) fn new(kind: MissKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.kind != MissKind::Other {
            write!(f, "{}: ", self.kind)?;
        }
        f.write_str(&self.text)?;
        self.hint.iter().try_for_each(|hint| write!(f, " ({hint})"))
    }
}

// === impl MissKind ===

impl MissKind {
    /// A request that differs is nearer than a port, a port nearer than another peer.
    fn weight(self) -> usize {
        match self {
            Self::Method | Self::Path | Self::Host | Self::Header | Self::Body => 2,
            Self::Namespace | Self::Label | Self::Port => 3,
            Self::Protocol => 4,
            Self::Cidr => 5,
            Self::Peer | Self::Other => 8,
        }
    }
}

impl std::fmt::Display for MissKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Namespace => "namespace",
            Self::Label => "label",
            Self::Cidr => "address",
            Self::Peer => "peer",
            Self::Port => "port",
            Self::Protocol => "protocol",
            Self::Method => "method",
            Self::Path => "path",
            Self::Host => "host",
            Self::Body => "body",
            Self::Header => "header",
            Self::Other => "other",
        })
    }
}
