//! What the watches know, by kind.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::SystemTime,
};

use kube::core::DynamicObject;
use serde_json::Value;
use weir_policy::model::{PodName, PolicyKind, Problem};

use super::{RESOURCES, Resource, Stale};
use crate::{
    index::Index,
    objects::{Converted, Kind, Object, ObjectKey, convert},
    reading::SourceProblem,
};

/// Objects, and how far each kind is in step with the server.
#[derive(Debug)]
pub struct Store {
    index: Index,
    steps: HashMap<&'static str, Step>,
    /// What is wrong with each object that is not in force as written.
    problems: BTreeMap<ObjectKey, Vec<Problem>>,
    policies: BTreeMap<ObjectKey, PolicyState>,
}

/// How far a kind is in step.
#[derive(Debug, Default)]
struct Step {
    /// Listed whole once.
    synced: bool,
    /// Why it is not in step now.
    fault: Option<Stale>,
    /// While a list comes in: what was in it so far.
    listed: Option<HashSet<ObjectKey>>,
    /// Its objects in the index.
    held: HashSet<ObjectKey>,
}

/// A policy as the API shows it, for those who report on it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyState {
    /// Which kind.
    pub kind: PolicyKind,
    /// Empty where the kind is cluster-wide.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`: counts changes of its `spec`.
    pub generation: i64,
    /// `status` as it is.
    pub status: Value,
    /// What of it is not in force.
    pub problems: Vec<Problem>,
}

impl Store {
    /// Nothing is known yet, since `now`.
    pub fn new(now: SystemTime) -> Self {
        let waiting = |resource: &Resource| Step {
            fault: Some(Stale {
                kind: resource.plural,
                since: now,
                reason: "not listed yet".to_owned(),
            }),
            ..Step::default()
        };
        Self {
            index: Index::default(),
            steps: RESOURCES
                .iter()
                .map(|resource| (resource.plural, waiting(resource)))
                .collect(),
            problems: BTreeMap::new(),
            policies: BTreeMap::new(),
        }
    }

    /// The objects.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What is not in force as written.
    pub fn problems(&self) -> Vec<SourceProblem> {
        let all = self.problems.values().flatten();
        all.map(|problem| SourceProblem::at(String::new(), problem.clone()))
            .collect()
    }

    /// Policies with their states.
    pub fn policies(&self) -> Vec<PolicyState> {
        let states = self.policies.iter().map(|(key, state)| PolicyState {
            problems: self.problems.get(key).cloned().unwrap_or_default(),
            ..state.clone()
        });
        states.collect()
    }

    /// Kinds that were never listed whole.
    pub fn waiting(&self) -> Vec<(&'static str, String)> {
        let mut waiting: Vec<_> = self
            .steps
            .iter()
            .filter(|(_, step)| !step.synced)
            .map(|(kind, step)| (*kind, step.reason()))
            .collect();
        waiting.sort_unstable();
        waiting
    }

    /// Kinds that were in step and are not.
    pub fn stale(&self) -> Vec<Stale> {
        let steps = self.steps.values().filter(|step| step.synced);
        let mut stale: Vec<Stale> = steps.filter_map(|step| step.fault.clone()).collect();
        stale.sort_unstable_by_key(|stale| stale.kind);
        stale
    }

    /// Whether a pod is known by name and uid (empty: any).
    pub fn knows_pod(&self, pod: &PodName, uid: &str) -> bool {
        let known = self.uid_of_pod(pod);
        known.is_some_and(|known| uid.is_empty() || known == uid)
    }

    /// `metadata.uid` of a pod.
    pub fn uid_of_pod(&self, pod: &PodName) -> Option<String> {
        let key = ObjectKey {
            kind: Kind::Pod,
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        };
        match self.index.get(&key) {
            Some(Object::Pod(pod)) => Some(pod.placement.uid.clone()),
            _ => None,
        }
    }

    /// A list begins: what it does not hold at its end is gone.
    pub fn begin(&mut self, resource: &Resource) {
        self.step(resource).listed = Some(HashSet::new());
    }

    /// The list is whole. Tells whether anything changed.
    pub fn whole(&mut self, resource: &Resource) -> bool {
        let step = self.step(resource);
        let first = !std::mem::replace(&mut step.synced, true);
        let listed = step.listed.take().unwrap_or_default();
        let gone: Vec<ObjectKey> = step.held.difference(&listed).cloned().collect();
        for key in &gone {
            self.forget(resource, key);
        }
        first || !gone.is_empty()
    }

    /// The kind is in step with the server. Tells whether it was not.
    pub fn in_step(&mut self, resource: &Resource) -> bool {
        self.step(resource).fault.take().is_some()
    }

    /// The kind is out of step. Tells whether that is new.
    pub fn failed(&mut self, resource: &Resource, reason: String, now: SystemTime) -> bool {
        let step = self.step(resource);
        step.listed = None;
        let since = step.fault.as_ref().map_or(now, |fault| fault.since);
        let new = step
            .fault
            .as_ref()
            .is_none_or(|fault| fault.reason != reason);
        step.fault = Some(Stale {
            kind: resource.plural,
            since,
            reason,
        });
        new
    }

    /// Whether objects of the kind are known.
    pub fn holds_any(&self, resource: &Resource) -> bool {
        self.steps
            .get(resource.plural)
            .is_some_and(|step| !step.held.is_empty())
    }

    /// Takes an object in. Tells whether anything changed that policy or its report depends on.
    pub fn apply(&mut self, resource: &Resource, object: DynamicObject) -> bool {
        let value = value(resource, object);
        let (key, object, problems) = match convert(&value) {
            Converted::Good {
                key,
                object,
                problems,
            } => (key, Some(object), problems),
            Converted::Bad {
                key,
                stand_in,
                problems,
            } => {
                // The last good version stays in force.
                let stand_in = stand_in.filter(|_| self.index.get(&key).is_none());
                (key, stand_in, problems)
            }
            // A watch brings objects of its kind only.
            Converted::Alien { .. } | Converted::Ignored { .. } => return false,
        };
        let step = self.step(resource);
        if let Some(listed) = &mut step.listed {
            listed.insert(key.clone());
        }
        step.held.insert(key.clone());
        let mut changed = self.report(&key, &value);
        changed |= match problems.is_empty() {
            true => self.problems.remove(&key).is_some(),
            false => {
                self.problems.insert(key.clone(), problems.clone()).as_ref() != Some(&problems)
            }
        };
        if let Some(object) = object {
            changed |= self.index.apply(key, object);
        }
        changed
    }

    /// An object is gone. Tells whether it was known.
    pub fn remove(&mut self, resource: &Resource, object: DynamicObject) -> bool {
        match convert(&value(resource, object)) {
            Converted::Good { key, .. } | Converted::Bad { key, .. } => self.forget(resource, &key),
            Converted::Alien { .. } | Converted::Ignored { .. } => false,
        }
    }

    fn forget(&mut self, resource: &Resource, key: &ObjectKey) -> bool {
        self.step(resource).held.remove(key);
        self.problems.remove(key);
        self.policies.remove(key);
        self.index.remove(key)
    }

    /// Notes what a report on a policy needs.
    fn report(&mut self, key: &ObjectKey, value: &Value) -> bool {
        let Kind::Policy(kind) = key.kind else {
            return false;
        };
        let text = |path| value.pointer(path).and_then(Value::as_str);
        let state = PolicyState {
            kind,
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: text("/metadata/uid").unwrap_or_default().to_owned(),
            generation: value
                .pointer("/metadata/generation")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            status: value.get("status").cloned().unwrap_or_default(),
            problems: Vec::new(),
        };
        self.policies.insert(key.clone(), state.clone()).as_ref() != Some(&state)
    }

    fn step(&mut self, resource: &Resource) -> &mut Step {
        self.steps.entry(resource.plural).or_default()
    }
}

impl Step {
    fn reason(&self) -> String {
        let fault = self.fault.as_ref();
        fault.map_or_else(String::new, |fault| fault.reason.clone())
    }
}

/// An object as its YAML says it. Items of a list do not name their kind: the watch knows it.
fn value(resource: &Resource, mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    let mut value = object.data;
    if let Value::Object(fields) = &mut value {
        fields.insert("apiVersion".into(), resource.api_version().into());
        fields.insert("kind".into(), resource.kind.into());
        let metadata = serde_json::to_value(object.metadata).unwrap_or_default();
        fields.insert("metadata".into(), metadata);
    }
    value
}
