use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir_policy::model::{PolicyKind, Problem};

use super::*;
use crate::kubernetes::PolicyState;

const NOW: &str = "2026-01-01T00:00:00Z";

fn policy(status: Value) -> PolicyState {
    PolicyState {
        kind: PolicyKind::CiliumNetworkPolicy,
        namespace: "default".into(),
        name: "p".into(),
        uid: "u".into(),
        generation: 2,
        status,
        problems: Vec::new(),
    }
}

fn nodes(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What the server has after a patch.
fn patched(mut status: Value, patch: Option<Value>) -> Value {
    fn merge(into: &mut Value, patch: &Value) {
        match (into.as_object_mut(), patch.as_object()) {
            (Some(into), Some(patch)) => {
                for (name, value) in patch {
                    match value.is_null() {
                        true => drop(into.remove(name)),
                        false => merge(into.entry(name).or_insert(json!({})), value),
                    }
                }
            }
            _ => into.clone_from(patch),
        }
    }
    if let Some(patch) = patch {
        merge(&mut status, &patch["status"]);
    }
    status
}

#[test]
fn nodes_come_to_agree_in_every_order_and_then_are_silent() {
    let names = ["a", "b", "c"];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let all = nodes(&names);
        let mut status = json!({});
        // At first all of them speak at once, none knowing of the others.
        let blind = policy(status.clone());
        for place in order {
            status = patched(status, status_patch(&blind, names[place], &all, true, NOW));
        }
        for _ in 0..2 {
            for place in order {
                let seen = policy(status.clone());
                status = patched(status, status_patch(&seen, names[place], &all, true, NOW));
            }
        }
        assert_eq!(status["weir"]["enforced"], "3/3", "{order:?}: {status}");
        assert_eq!(status["weir"]["nodesEnforced"], 3);
        assert_eq!(status["conditions"][0]["status"], "True");
        for name in names {
            assert_eq!(
                status_patch(&policy(status.clone()), name, &all, true, NOW),
                None
            );
        }
        // A node goes.
        let left = nodes(&["b", "c"]);
        for name in ["c", "b"] {
            let seen = policy(status.clone());
            status = patched(status, status_patch(&seen, name, &left, true, NOW));
        }
        assert_eq!(status["weir"]["enforced"], "2/2", "{status}");
        assert!(status["weir"]["nodes"]["a"].is_null());
    }
}

#[test]
fn a_node_that_is_behind_does_not_count() {
    let all = nodes(&["a", "b"]);
    let status = json!({"weir": {"nodes": {"a": 1, "b": 2}}});
    let patch = status_patch(&policy(status.clone()), "a", &all, false, NOW);
    let status = patched(status, patch);
    assert_eq!(status["weir"]["enforced"], "1/2");
}

#[test]
fn what_is_refused_is_said() {
    let mut refused = policy(json!({}));
    refused.problems = vec![Problem {
        object: "CiliumNetworkPolicy/default/p".into(),
        field: "spec.ingress".into(),
        reason: "must be a list".into(),
    }];
    let all = nodes(&["a"]);
    let status = patched(json!({}), status_patch(&refused, "a", &all, true, NOW));
    let condition = &status["conditions"][0];
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["message"], "spec.ingress: must be a list");
    assert_eq!(condition["observedGeneration"], 2);
    // The time of the change stays while only the message changes.
    refused.problems[0].reason = "must be another list".into();
    refused.status = status;
    let patch = status_patch(&refused, "a", &all, true, "later").unwrap();
    assert_eq!(patch["status"]["conditions"][0]["lastTransitionTime"], NOW);
}

#[test]
fn kinds_without_a_status_and_large_clusters_are_spared() {
    let mut other = policy(json!({}));
    other.kind = PolicyKind::NetworkPolicy;
    assert_eq!(status_patch(&other, "a", &nodes(&["a"]), true, NOW), None);
    let many: BTreeSet<String> = (0..101).map(|number| format!("n{number}")).collect();
    let patch = status_patch(&policy(json!({})), "n0", &many, true, NOW).unwrap();
    assert!(patch["status"]["weir"].is_null());
    assert!(patch["status"]["conditions"].is_array());
}
