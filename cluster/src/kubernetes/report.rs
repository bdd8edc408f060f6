//! What the API is told of policies and pods: conditions, counts of nodes, events.
//!
//! Every agent writes for its own node and lets others' words stand, so no leader is needed: a
//! condition says the same from everywhere, each node has its own key, the sums are set right by
//! the first node of the list, and an event's name is made of what it says, so that a second one
//! is refused by the server.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Error,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::sync::watch;
use weir_policy::model::PolicyKind;

use super::{PolicyState, Resource};

/// Between two requests: a node that starts does not flood the server.
const PACE: Duration = Duration::from_millis(20);
/// Past this many nodes, a policy does not list them: every change of the list is told to every
/// node (docs/decisions/0023).
const NODES: usize = 100;
/// The longest note of an event that servers take, in bytes (events.k8s.io/v1).
const LONGEST: usize = 1024;

/// What is to be told now; what was told once is not told again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Patches of policies' statuses, by kind, namespace and name.
    pub statuses: BTreeMap<(&'static str, String, String), Value>,
    /// Events.
    pub events: Vec<Event>,
}

/// Something that happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// `apiVersion` of the object.
    pub version: String,
    /// Kind of the object.
    pub kind: &'static str,
    /// Namespace of the object; empty where its kind is cluster-wide.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// `metadata.uid` of the object.
    pub uid: String,
    /// One word.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
}

/// Tells the API, as fast as the API likes; the newest report replaces one that waits.
#[derive(Debug)]
pub struct Reporter {
    newest: watch::Sender<Report>,
}

impl Reporter {
    /// Starts to report for a node.
    pub fn start(client: Client, node: &str) -> Self {
        let (newest, reports) = watch::channel(Report::default());
        tokio::spawn(run(client, node.to_owned(), reports));
        Self { newest }
    }

    /// Has a report told; what could not be told of an earlier one is in it again.
    pub fn tell(&self, report: Report) {
        self.newest.send_replace(report);
    }
}

async fn run(client: Client, node: String, mut reports: watch::Receiver<Report>) {
    let mut told: HashSet<Event> = HashSet::new();
    while reports.changed().await.is_ok() {
        let report = reports.borrow_and_update().clone();
        for ((kind, namespace, name), patch) in report.statuses {
            tokio::time::sleep(PACE).await;
            if let Err(error) = status(&client, kind, &namespace, &name, &patch).await {
                tracing::debug!(kind, namespace, name, %error, "status not written");
            }
        }
        told.retain(|event| report.events.contains(event));
        for event in report.events {
            if told.contains(&event) {
                continue;
            }
            tokio::time::sleep(PACE).await;
            match emit(&client, &node, &event).await {
                Ok(()) => drop(told.insert(event)),
                Err(error) => tracing::debug!(?event, %error, "event not written"),
            }
        }
    }
}

async fn status(
    client: &Client,
    kind: &str,
    namespace: &str,
    name: &str,
    patch: &Value,
) -> Result<(), Error> {
    let Some(resource) = Resource::of_kind(kind) else {
        return Ok(());
    };
    let api: Api<DynamicObject> = match namespace {
        "" => Api::all_with(client.clone(), &resource.api()),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource.api()),
    };
    let parameters = PatchParams::default();
    api.patch_status(name, &parameters, &Patch::Merge(patch))
        .await
        .map(drop)
}

async fn emit(client: &Client, node: &str, event: &Event) -> Result<(), Error> {
    let kind = GroupVersionKind::gvk("events.k8s.io", "v1", "Event");
    let events = ApiResource::from_gvk(&kind);
    // Events of cluster-wide objects live in `default`, as Kubernetes' own do.
    let namespace = if event.namespace.is_empty() {
        "default"
    } else {
        &event.namespace
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &events);
    let now = Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string();
    let mut hash = DefaultHasher::new();
    event.hash(&mut hash);
    let message = cut(&event.message, LONGEST);
    let object = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{}.{:016x}", event.name, hash.finish()), "namespace": namespace},
        "type": "Warning",
        "reason": event.reason,
        "note": message,
        "action": "Enforce",
        "regarding": {
            "apiVersion": event.version, "kind": event.kind, "namespace": event.namespace,
            "name": event.name, "uid": event.uid,
        },
        "reportingController": "weir.dev/agent",
        "reportingInstance": cut(node, 128),
        "eventTime": now,
    });
    let object: DynamicObject = serde_json::from_value(object).map_err(Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        // Another node was first.
        Err(Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

/// The beginning of a text, of so many bytes at the most.
fn cut(text: &str, bytes: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes.min(text.len())).rev().find(fits).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// The patch that makes a policy's status true, as far as this node knows; `None`: it is, or its
/// kind has none. `in_force`: the policy's present generation decides on this node.
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
