//! What the agent tells about itself.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value, json};
use weir_cluster::SourceProblem;
use weir_redirector::Unmanaged;

use super::Agent;

/// Everything an operator looks at first.
pub fn status(agent: &Agent) -> Value {
    let counters: Map<String, Value> = match agent.redirector.counters() {
        Ok(counters) => counters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
        Err(error) => Map::from_iter([("error".to_owned(), error.to_string().into())]),
    };
    let time_wait: Map<String, Value> = match agent.redirector.time_wait() {
        Ok(sides) => sides
            .into_iter()
            .map(|(direction, count)| (direction.to_string(), count.into()))
            .collect(),
        Err(error) => Map::from_iter([("error".to_owned(), error.to_string().into())]),
    };
    let tracked = agent.redirector.tracked();
    json!({
        "ok": agent.state.failure.is_none(),
        "failure": agent.state.failure,
        "revision": agent.state.snapshot.revision,
        "endpoints": agent.state.places.len(),
        "policies": agent.state.world.policies.len(),
        "classes": agent.state.snapshot.classes.len(),
        "refused": agent.state.problems.len(),
        "problems": problems(&agent.state.problems),
        "unmanaged": unmanaged(&agent.state.unmanaged),
        "orphans": agent.state.orphans,
        "unowned": agent.redirector.unowned(),
        "lookups_failed": agent.lookups_failed(),
        "stale": stale(agent),
        "maps": agent.fill(tracked).into_iter().map(|(map, held, room)| {
            json!({"map": map, "entries": held, "room": room})
        }).collect::<Value>(),
        "proxy": {
            "revision": agent.proxy.revision(),
            "pid": agent.proxy.pid(),
            "listens": agent.proxy.listens(),
            "counters": agent.proxy.counters,
        },
        "tracked_flows": tracked.flows,
        "self_check": {
            "checked": agent.checks.checked.load(Relaxed),
            "mismatches": agent.checks.mismatches.load(Relaxed),
        },
        "time_wait": time_wait,
        "counters": counters,
    })
}

pub fn problems(problems: &[SourceProblem]) -> Value {
    problems
        .iter()
        .map(|problem| {
            json!({
                "file": problem.place,
                "object": problem.object,
                "field": problem.field,
                "reason": problem.reason,
            })
        })
        .collect()
}

pub fn unmanaged(pods: &[Unmanaged]) -> Value {
    pods.iter()
        .map(|pod| json!({"pod": pod.pod, "reason": pod.reason}))
        .collect()
}

/// Kinds of the API that are out of step, and since when (seconds since the Unix epoch).
fn stale(agent: &Agent) -> Value {
    let stale = agent.source.stale().into_iter().map(|stale| {
        let since = stale.since.duration_since(std::time::UNIX_EPOCH);
        json!({
            "kind": stale.kind,
            "since": since.map_or(0, |since| since.as_secs()),
            "reason": stale.reason,
        })
    });
    stale.collect()
}

/// The pods of this node.
pub fn endpoints(agent: &Agent) -> Value {
    let snapshot = &agent.state.snapshot;
    let list = agent
        .state
        .places
        .iter()
        .filter_map(|(namespace, name, interface)| {
            let endpoint = snapshot.endpoint(namespace, name)?;
            let set = snapshot.sets.get(&endpoint.set)?;
            let side = |side: &weir_policy::compile::DirectionSet| {
                let mut policies: Vec<String> = side
                    .rules
                    .iter()
                    .map(|rule| rule.object.to_string())
                    .collect();
                policies.sort();
                policies.dedup();
                json!({"enforced": side.enforced(), "policies": policies})
            };
            let pods = &agent.state.world.pods;
            let pod = pods
                .iter()
                .find(|pod| pod.namespace == namespace && pod.name == name);
            Some(json!({
                "namespace": namespace,
                "name": name,
                "interface": interface,
                "addresses": endpoint.addresses,
                "labels": pod.map(|pod| &pod.labels),
                "orphan": agent.state.orphans.contains(&format!("{namespace}/{name}")),
                "ingress": side(&set.ingress),
                "egress": side(&set.egress),
            }))
        });
    json!({
        "ok": true,
        "revision": snapshot.revision,
        "endpoints": list.collect::<Value>(),
        "unmanaged": unmanaged(&agent.state.unmanaged),
    })
}

/// Policies, and what is not in force of them.
pub fn policies(agent: &Agent) -> Value {
    let list = agent.state.world.policies.iter().map(|policy| {
        let object = policy.object.to_string();
        let problems: Vec<_> = agent
            .state
            .problems
            .iter()
            .filter(|problem| problem.object == object)
            .collect();
        let generation = agent.policies.iter().find(|state| {
            (state.kind, &state.namespace, &state.name)
                == (
                    policy.object.kind,
                    &policy.object.namespace,
                    &policy.object.name,
                )
        });
        json!({
            "policy": object,
            "kind": policy.object.kind.as_str(),
            "namespace": policy.object.namespace,
            "name": policy.object.name,
            "audit": policy.audit,
            "generation": generation.map(|state| state.generation),
            "problems": problems.iter().map(|problem| {
                json!({"field": problem.field, "reason": problem.reason})
            }).collect::<Value>(),
        })
    });
    json!({
        "ok": agent.state.failure.is_none(),
        "revision": agent.state.snapshot.revision,
        "policies": list.collect::<Value>(),
    })
}
