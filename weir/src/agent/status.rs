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
        "proxy": {
            "revision": agent.proxy.revision(),
            "pid": agent.proxy.pid(),
            "counters": agent.proxy.counters,
        },
        "tracked_flows": agent.redirector.tracked(),
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
