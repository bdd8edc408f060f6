//! What the API is told of policies and pods: conditions, counts of nodes, events.
//!
//! Every agent writes for its own node and lets others' words stand, so no leader is needed: a
//! condition says the same from everywhere, each node has its own key, the sums are set right by
//! the first node of the list, and an event's name is made of what it says, so that a second one
//! is refused by the server.

mod events;
mod pods;
mod policies;

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use kube::{
    Api, Client, Error,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::Value;
use tokio::sync::watch;

pub use events::Event;
pub use pods::{enforcing, pod_patch};
pub use policies::status_patch;

use super::Resource;

/// Between two requests: a node that starts does not flood the server.
const PACE: Duration = Duration::from_millis(20);

/// What is to be told now; what was told once is not told again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Patches of policies' and pods' statuses, by kind, namespace and name.
    pub statuses: BTreeMap<(&'static str, String, String), Value>,
    /// Events.
    pub events: Vec<Event>,
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
            match events::emit(&client, &node, &event).await {
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
    // Conditions of built-in kinds are merged by their type; custom kinds know only whole lists.
    let patch = match resource.optional {
        true => Patch::Merge(patch),
        false => Patch::Strategic(patch),
    };
    api.patch_status(name, &PatchParams::default(), &patch)
        .await
        .map(drop)
}
