//! What the agent answers its tools.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use weir_cluster::SourceProblem;
use weir_link::tools::{
    Counted, Endpoint, EndpointSide, Endpoints, Failed, MapFill, Policies, Policy, PolicyProblem,
    Problem, ProxyStatus, Stale, Status, Synced, Unmanaged,
};
use weir_policy::{
    compile::DirectionSet,
    explain::{Explainer, Explanation},
    model::PodName,
    verdict::Flow,
};
use weir_redirector::Placement;

use crate::{Agent, change::State};

/// What is in force after the objects were read.
pub fn synced(state: &State, proxy: bool) -> Result<Synced, String> {
    match &state.failure {
        Some(reason) => Err(reason.clone()),
        None => Ok(Synced {
            revision: state.snapshot.revision,
            endpoints: state.places.len() as u64,
            problems: problems(&state.problems),
            unmanaged: unmanaged(state),
            proxy,
        }),
    }
}

/// Everything an operator looks at first.
pub fn status(agent: &Agent) -> Status {
    let (state, kernel) = (&agent.enforcement.state, &agent.kernel);
    let tracked = kernel.tracked();
    let fill = kernel.fill(tracked).into_iter();
    Status {
        failure: state.failure.clone(),
        revision: state.snapshot.revision,
        endpoints: state.places.len() as u64,
        policies: state.world.policies.len() as u64,
        classes: state.snapshot.classes.len() as u64,
        refused: state.problems.len() as u64,
        problems: problems(&state.problems),
        unmanaged: unmanaged(state),
        orphans: state.orphans.clone(),
        unowned: kernel.unowned() as u64,
        lookups_failed: agent.lookups_failed(),
        stale: stale(agent),
        maps: fill
            .map(|fill| MapFill {
                map: fill.map.to_owned(),
                entries: fill.entries,
                room: fill.room,
            })
            .collect(),
        proxy: ProxyStatus {
            revision: agent.proxies.revision(),
            pid: agent.proxies.pid(),
            listens: agent.proxies.listens(),
            counters: agent.proxies.counters.clone(),
        },
        tracked_flows: tracked.flows,
        self_check: agent.checked.counts(),
        time_wait: counted(kernel.time_wait().map(|sides| {
            let sides = sides.into_iter();
            sides.map(|(direction, count)| (direction.to_string(), count))
        })),
        counters: counted(kernel.counters().map(|counters| {
            let named: Vec<_> = counters.named().collect();
            named
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
        })),
    }
}

fn counted<E: ToString>(read: Result<impl Iterator<Item = (String, u64)>, E>) -> Counted {
    match read {
        Ok(numbers) => Counted::Numbers(numbers.collect::<BTreeMap<_, _>>()),
        Err(error) => Counted::Failed(Failed {
            error: error.to_string(),
        }),
    }
}

fn problems(problems: &[SourceProblem]) -> Vec<Problem> {
    let problems = problems.iter().map(|problem| Problem {
        file: problem.place.clone(),
        object: problem.object.clone(),
        field: problem.field.clone(),
        reason: problem.reason.clone(),
    });
    problems.collect()
}

fn unmanaged(state: &State) -> Vec<Unmanaged> {
    let pods = state.unmanaged.iter().map(|unmanaged| Unmanaged {
        pod: unmanaged.pod.clone(),
        reason: unmanaged.reason.clone(),
    });
    pods.collect()
}

fn stale(agent: &Agent) -> Vec<Stale> {
    let stale = agent.source.stale().into_iter().map(|stale| Stale {
        kind: stale.kind.to_owned(),
        since: stale
            .since
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        reason: stale.reason,
    });
    stale.collect()
}

/// The pods of this node.
pub fn endpoints(state: &State) -> Endpoints {
    let side = |side: &DirectionSet| EndpointSide {
        enforced: side.enforced(),
        policies: side
            .rules
            .iter()
            .map(|rule| rule.object.to_string())
            .collect(),
    };
    let endpoint = |(pod, _, interface): (&PodName, Placement, &str)| {
        let endpoint = state.snapshot.endpoint(pod)?;
        let set = state.snapshot.sets.get(&endpoint.set)?;
        let mut pods = state.world.pods.iter();
        let object = pods.find(|of| of.id() == *pod);
        Some(Endpoint {
            pod: pod.clone(),
            interface: interface.to_owned(),
            addresses: endpoint.addresses.clone(),
            labels: object.map(|object| object.labels.clone()),
            orphan: state.orphans.contains(pod),
            ingress: side(&set.ingress),
            egress: side(&set.egress),
        })
    };
    Endpoints {
        revision: state.snapshot.revision,
        endpoints: state.places.iter().filter_map(endpoint).collect(),
        unmanaged: unmanaged(state),
    }
}

/// Policies, and what is not in force of them.
pub fn policies(agent: &Agent) -> Policies {
    let state = &agent.enforcement.state;
    let policy = |policy: &weir_policy::model::Policy| {
        let object = policy.object.to_string();
        let own = state.problems.iter().filter(|of| of.object == object);
        let problems = own
            .map(|problem| PolicyProblem {
                field: problem.field.clone(),
                reason: problem.reason.clone(),
            })
            .collect();
        let of = &policy.object;
        let shown = agent.policies.iter().find(|shown| {
            (shown.kind, &shown.namespace, &shown.name) == (of.kind, &of.namespace, &of.name)
        });
        Policy {
            policy: object,
            kind: of.kind.as_str().to_owned(),
            namespace: of.namespace.clone(),
            name: of.name.clone(),
            audit: state.world.only_reports(policy),
            generation: shown.map(|shown| shown.generation),
            problems,
        }
    };
    Policies {
        revision: state.snapshot.revision,
        policies: state.world.policies.iter().map(policy).collect(),
    }
}

/// The verdict on a flow, and why.
pub fn explain(state: &State, flow: &Flow) -> Result<Explanation, String> {
    let explained = Explainer::new(&state.world).explain(flow);
    explained.map_err(|error| error.to_string())
}
