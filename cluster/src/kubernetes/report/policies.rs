//! What policies' statuses say: whether all of a policy is in force, and on how many nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weir_policy::model::PolicyKind;

use crate::kubernetes::PolicyState;

/// Past this many nodes, a policy does not list them: every change of the list is told to every
/// node (docs/decisions/0023).
const NODES: usize = 100;

/// The patch that makes a policy's status true, as far as this node knows; `None`: it is, or its
/// kind has none. `nodes`: those that an agent is meant for. `in_force`: the policy's present
/// generation decides on this node.
pub fn status_patch(
    policy: &PolicyState,
    node: &str,
    nodes: &BTreeSet<String>,
    in_force: bool,
    now: &str,
) -> Option<Value> {
    let cilium = matches!(
        policy.kind,
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy
    );
    if !cilium {
        return None;
    }
    let mut patch = json!({});
    if let Some(condition) = condition(policy, now) {
        patch["conditions"] = json!([condition]);
    }
    let said = policy.status["weir"]["nodes"].as_object();
    let mut known: BTreeMap<&str, i64> = said
        .into_iter()
        .flatten()
        .filter_map(|(node, generation)| Some((node.as_str(), generation.as_i64()?)))
        .collect();
    let listed = nodes.len() <= NODES;
    if listed && in_force && known.get(node) != Some(&policy.generation) {
        patch["weir"]["nodes"][node] = policy.generation.into();
        known.insert(node, policy.generation);
    }
    let gone: Vec<&str> = known
        .keys()
        .filter(|known| !nodes.contains(**known))
        .copied()
        .collect();
    // The first of those that speak sets right what depends on others.
    let first = known.keys().find(|known| nodes.contains(**known)) == Some(&node);
    if listed && (first || patch["weir"].is_object()) {
        for node in gone {
            known.remove(node);
            patch["weir"]["nodes"][node] = Value::Null;
        }
        let enforced = known
            .values()
            .filter(|generation| **generation == policy.generation);
        let (enforced, total) = (enforced.count(), nodes.len());
        let sums = [
            ("nodesEnforced", json!(enforced)),
            ("nodesTotal", json!(total)),
            ("revision", json!(policy.generation)),
            ("enforced", json!(format!("{enforced}/{total}"))),
        ];
        for (name, value) in sums {
            if policy.status["weir"][name] != value {
                patch["weir"][name] = value;
            }
        }
    }
    let empty = patch.as_object().is_some_and(serde_json::Map::is_empty);
    (!empty).then(|| json!({"status": patch}))
}

/// The condition `Valid`, where it is not said yet.
fn condition(policy: &PolicyState, now: &str) -> Option<Value> {
    let problems = policy.problems.iter();
    let said: Vec<String> = problems
        .map(|problem| format!("{}: {}", problem.field, problem.reason))
        .collect();
    let (status, reason, message) = match said.is_empty() {
        true => (
            "True",
            "Accepted",
            "The policy is in force as written.".to_owned(),
        ),
        false => ("False", "Refused", said.join("; ")),
    };
    let conditions = policy.status["conditions"].as_array();
    let before = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Valid");
    let same = before.is_some_and(|before| {
        before["status"] == status
            && before["message"] == message.as_str()
            && before["observedGeneration"].as_i64() == Some(policy.generation)
    });
    let since = before
        .filter(|before| before["status"] == status)
        .and_then(|before| before["lastTransitionTime"].as_str())
        .unwrap_or(now);
    (!same).then(|| {
        json!({
            "type": "Valid", "status": status, "reason": reason, "message": message,
            "observedGeneration": policy.generation, "lastTransitionTime": since,
        })
    })
}

#[cfg(test)]
mod tests;
