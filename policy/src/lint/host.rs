//! Host policies that would cut what a node lives by, or what it carries for its pods.

use super::{
    Report,
    context::Context,
    registry::{HOST_GUARD, HOST_OVERLAY},
};
use crate::model::{
    Action, Direction, Entity, Peer, Peers, PolicySpec, Port, PortMatch, Protocol, Rule,
};

/// What is never cut: what it is, its direction, who may be meant by a rule that allows it, and its port
/// where it has one.
const GUARDED: [(&str, Direction, &[Entity], Option<u16>); 2] = [
    (
        "the kubelet (TCP/10250)",
        Direction::Ingress,
        &[
            Entity::All,
            Entity::Cluster,
            Entity::RemoteNode,
            Entity::KubeApiserver,
        ],
        Some(10_250),
    ),
    (
        "the Kubernetes API",
        Direction::Egress,
        &[
            Entity::All,
            Entity::Cluster,
            Entity::RemoteNode,
            Entity::KubeApiserver,
        ],
        None,
    ),
];
/// IANA's ports of VXLAN and GENEVE, and Linux' own of VXLAN, which flannel has.
const OVERLAYS: [u16; 3] = [8472, 4789, 6081];

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    for spec in &context.policy.specs {
        if spec.subject.pods().is_some() {
            continue;
        }
        for (what, direction, entities, port) in GUARDED {
            let Some(field) = isolating(spec, direction) else {
                continue;
            };
            let protocol = Protocol::Tcp;
            if !allowed(context, direction, |rule| {
                means(rule, entities) && port.is_none_or(|port| has(rule, protocol, port))
            }) {
                report.add(
                    &HOST_GUARD,
                    field,
                    format!("does not allow {what}, which a node cannot live without: it passes all the same"),
                    "allow it, so that the policy says what holds",
                );
            }
        }
        overlay(context, spec, report);
    }
}

fn overlay(context: &Context<'_>, spec: &PolicySpec, report: &mut Report) {
    let Some(field) = isolating(spec, Direction::Ingress) else {
        return;
    };
    let nodes = [Entity::All, Entity::Cluster, Entity::RemoteNode];
    let carries = |rule: &Rule| {
        let any = OVERLAYS.iter().any(|port| has(rule, Protocol::Udp, *port));
        means(rule, &nodes) && any
    };
    if !allowed(context, Direction::Ingress, carries) {
        report.add(
            &HOST_OVERLAY,
            field,
            "allows no node to send by an overlay: where the CNI plugin has one, pods of different nodes do \
             not reach each other any more",
            "allow `fromEntities: [remote-node]` at the overlay's port (UDP 8472, 4789 or 6081), unless pods \
             are routed",
        );
    }
}

/// Where a part makes a direction deny by default.
fn isolating(spec: &PolicySpec, direction: Direction) -> Option<&'static str> {
    let field = match direction {
        Direction::Ingress => "spec.ingress",
        Direction::Egress => "spec.egress",
    };
    spec.section(direction).isolates.then_some(field)
}

/// Whether some host policy has such a rule.
fn allowed(context: &Context<'_>, direction: Direction, fits: impl Fn(&Rule) -> bool) -> bool {
    let specs = context.specs().filter(|spec| spec.subject.pods().is_none());
    let mut rules = specs.flat_map(|spec| &spec.section(direction).rules);
    rules.any(|rule| rule.action == Action::Allow && fits(rule))
}

/// Whether a rule means one of these entities, or nodes.
fn means(rule: &Rule, entities: &[Entity]) -> bool {
    let Peers::OneOf(peers) = &rule.peers else {
        return true;
    };
    peers.iter().any(|peer| match peer {
        Peer::Entity(entity) => entities.contains(entity),
        Peer::Nodes(_) => true,
        _ => false,
    })
}

fn has(rule: &Rule, protocol: Protocol, number: u16) -> bool {
    let covers = |of: &PortMatch| {
        of.protocol == protocol
            && match of.port {
                Port::All => true,
                Port::Range(first, last) => (first..=last).contains(&number),
                Port::Named(_) => false,
            }
    };
    rule.ports.is_empty() || rule.ports.iter().any(covers)
}
