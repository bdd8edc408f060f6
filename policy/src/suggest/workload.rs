//! Workloads: pods that one policy is about, and the labels that select them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::model::Labels;

/// Labels that name a workload, the best first; those of one entry go together.
const NAMING: [&[&str]; 8] = [
    &[
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
    ],
    &["app.kubernetes.io/name", "app.kubernetes.io/instance"],
    &["app.kubernetes.io/name", "app.kubernetes.io/component"],
    &["app.kubernetes.io/name"],
    &["app"],
    &["k8s-app"],
    &["name"],
    &["app", "tier"],
];
const MAX_NAME: usize = 50;

/// Pods with the same lasting labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Workload {
    pub namespace: String,
    pub labels: Labels,
}

// === impl Workload ===

impl Workload {
    /// The fewest labels that select it and none of the others of its namespace; all of them
    /// where that cannot be had.
    pub fn selector(&self, others: &BTreeSet<Self>) -> Labels {
        let alone = |labels: &Labels| {
            !others.iter().any(|other| {
                other.namespace == self.namespace
                    && other.labels != self.labels
                    && labels
                        .iter()
                        .all(|(key, value)| other.labels.get(key) == Some(value))
            })
        };
        let mut choices: Vec<Labels> = NAMING
            .iter()
            .filter_map(|keys| {
                let pick = |key: &&str| Some(((*key).to_owned(), self.labels.get(*key)?.clone()));
                keys.iter().map(pick).collect::<Option<Labels>>()
            })
            .collect();
        choices.sort_by_key(Labels::len);
        choices
            .into_iter()
            .find(alone)
            .unwrap_or_else(|| self.labels.clone())
    }

    /// Others that its selector selects too, because they have all of its labels and more.
    pub fn shadowing<'a>(&self, others: &'a BTreeSet<Self>) -> Option<&'a Self> {
        others.iter().find(|other| {
            other.namespace == self.namespace
                && other.labels != self.labels
                && self
                    .labels
                    .iter()
                    .all(|(key, value)| other.labels.get(key) == Some(value))
        })
    }

    /// A name for its policy.
    pub fn name(&self) -> String {
        let value = NAMING
            .iter()
            .filter_map(|keys| keys.first())
            .find_map(|key| self.labels.get(*key))
            .or_else(|| self.labels.values().next());
        let value = value.map_or("pods", String::as_str).to_ascii_lowercase();
        let plain: String = value
            .chars()
            .take(MAX_NAME)
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        match plain.trim_matches('-') {
            "" => "pods-proposal".to_owned(),
            plain => format!("{plain}-proposal"),
        }
    }
}

/// Labels as an object has them.
pub(super) fn match_labels(labels: &Labels) -> Value {
    let map: Map<String, Value> = labels
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    json!({ "matchLabels": map })
}
