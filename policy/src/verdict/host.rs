//! The side of an end whose traffic is a node's.

use std::sync::Arc;

use super::{End, Flow, Outcome, SideVerdict, Simulator};
use crate::{
    model::{Direction, HostFlow, Pod},
    nearest::View,
    reason::Reason,
};

impl<'a> Simulator<'a> {
    /// The verdict of host policies, where some select the node.
    pub(super) fn host_side(
        &mut self,
        flow: &Flow,
        direction: Direction,
        own: End<'a>,
        peer: End<'a>,
        port: u16,
        node: &str,
    ) -> SideVerdict {
        let Some(host) = self.host(own) else {
            let reason = match own.pod {
                Some(_) => Reason::HostNetwork,
                None => Reason::NoEndpoint,
            };
            return SideVerdict::new(Outcome::Allow, &reason);
        };
        let world = self.world;
        let view = View::new(world, flow, direction, (&host, own.address), peer, port);
        let verdict = self.by_rules(flow, node, &view);
        if verdict.verdict == Outcome::Allow && !verdict.audit {
            return verdict;
        }
        let asked = HostFlow {
            direction,
            own: own.address,
            peer: peer.address,
            protocol: flow.protocol,
            port,
        };
        match world.never_cut(node, asked) {
            Some(what) => SideVerdict::new(Outcome::Allow, &Reason::NeverCut(what)),
            None => verdict,
        }
    }

    /// The node as an endpoint, where an end's traffic is a node's that host policies select.
    pub(crate) fn host(&mut self, own: End<'a>) -> Option<Arc<Pod>> {
        let node = self.node_of(own)?;
        let host = self.hosts.get(node).cloned()?;
        let selected = self.of_node(node).snapshot.host().is_some();
        selected.then_some(host)
    }

    /// The node whose traffic an end's is.
    pub(super) fn node_of(&self, end: End<'a>) -> Option<&'a str> {
        match end.pod {
            Some(pod) => pod.host_network.then_some(pod.node.as_str()),
            None => self.world.node_of(end.address),
        }
    }
}
