//! One end's rules, one by one.

use super::{RuleResult, SelectingPolicy};
use crate::{
    model::{Direction, World},
    nearest::{Selecting, View, weigh},
    verdict::{End, Flow, Simulator},
};

/// The policies that select an end, with what the flow lacks for each of their rules.
pub(super) fn selected_by<'a>(
    world: &'a World,
    simulator: &mut Simulator<'a>,
    flow: &Flow,
    direction: Direction,
    own: End<'a>,
    peer: End<'a>,
) -> Vec<SelectingPolicy> {
    let host = simulator.host(own);
    let pod = match (&host, own.pod) {
        (Some(host), _) => &**host,
        (None, Some(pod)) if !pod.host_network => pod,
        (None, _) => return Vec::new(),
    };
    let port = flow.port.unwrap_or(0);
    let view = View::new(world, flow, direction, (pod, own.address), peer, port);
    let snapshot = simulator.snapshot(&pod.node);
    let set = snapshot
        .endpoint(&pod.id())
        .and_then(|endpoint| snapshot.sets.get(&endpoint.set));
    let atoms = snapshot
        .address(peer.address)
        .and_then(|entry| snapshot.classes.get(&entry.class));
    let (Some(set), Some(atoms)) = (set, atoms) else {
        return Vec::new();
    };
    let all = weigh(&view, set.side(direction), atoms);
    all.into_iter().map(shown).collect()
}

fn shown(selecting: Selecting<'_>) -> SelectingPolicy {
    let rules = selecting.rules.into_iter().map(|one| RuleResult {
        field: one.rule.place.clone(),
        action: one.rule.action,
        matches: one.misses.is_empty(),
        misses: one.misses,
    });
    SelectingPolicy {
        policy: selecting.policy.object.to_string(),
        isolates: selecting.isolates,
        audit: selecting.policy.audit,
        rules: rules.collect(),
    }
}
