//! Parts that select nodes: host policies. They judge connections only, as Cilium's do.

use super::peers;
use crate::model::{Action, Direction, NamespaceScope, Peer, Peers, Port, Rule, Section, Subjects};
use crate::objects::{
    field::{Fault, Field},
    labels,
};

/// The nodes that a part selects; `None`, with a fault, where it is not in force: whoever cannot
/// tell which nodes are meant cuts none of them.
pub(super) fn subject(
    nodes: &Field<'_>,
    scope: &NamespaceScope,
    faults: &mut Vec<Fault>,
) -> Option<Subjects> {
    if *scope != NamespaceScope::All {
        faults.push(nodes.fault(
            "belongs into a CiliumClusterwideNetworkPolicy: nothing of this part is in force, and it \
             selects no pod",
        ));
        return None;
    }
    match labels::selector(nodes, peers::node_key) {
        Ok(selector) => Some(Subjects::Nodes(selector)),
        Err(mut fault) => {
            fault.reason.push_str(": nothing of this part is in force");
            faults.push(fault);
            None
        }
    }
}

/// Takes out of a section what has no meaning for a node. An allow goes; a deny loses what narrows it.
pub(super) fn limit(section: &mut Section, direction: Direction, faults: &mut Vec<Fault>) {
    section.rules.retain_mut(|rule| {
        let Some(reason) = meaningless(rule, direction) else {
            return true;
        };
        faults.push(Fault {
            field: rule.place.clone(),
            reason: reason.to_owned(),
        });
        rule.ports.clear();
        rule.action == Action::Deny
    });
}

fn meaningless(rule: &Rule, direction: Direction) -> Option<&'static str> {
    let names = |peer: &Peer| matches!(peer, Peer::Name(_));
    if rule.l7.is_some() {
        return Some(
            "a host policy judges connections only: requests, server names and queries of a node are \
             not looked into",
        );
    }
    if matches!(&rule.peers, Peers::OneOf(peers) if peers.iter().any(names)) {
        return Some("`toFQDNs` has no meaning in a host policy: what a node asks DNS is not seen");
    }
    let named = |port: &crate::model::PortMatch| matches!(port.port, Port::Named(_));
    if direction == Direction::Ingress && rule.ports.iter().any(named) {
        return Some("a node has no named ports: give the number");
    }
    None
}
