//! The pods that objects ask for, with the names that their controllers would give them.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use weir_policy::model::PodName;

use crate::names;
use crate::node::Node;
use crate::object::{Key, Object};

/// A pod that should exist.
#[derive(Debug, Clone)]
pub struct PodPlan {
    pub namespace: String,
    pub name: String,
    /// `Kind/NAME` of what asks for it.
    pub owner: Option<String>,
    /// Its place in its owner, the same when a replica is deleted and made again.
    pub slot: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub spec: PodSpec,
    /// Where it runs: what `spec.nodeName` says, or the first node.
    pub node: Node,
    /// Where a mistake in it is.
    pub source: String,
    pub fingerprint: u64,
}

/// What a controller makes of one template.
struct Replicas {
    template: PodTemplateSpec,
    names: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// How the pods of one object are named: by what it is and how often it was made anew.
struct Naming<'a> {
    object: &'a Object,
    incarnations: &'a BTreeMap<String, u32>,
}

// === impl PodPlan ===

impl PodPlan {
    /// What it is called.
    pub fn id(&self) -> PodName {
        PodName::new(&self.namespace, &self.name)
    }
}

// === impl Naming ===

impl Naming<'_> {
    /// The object itself, whose number says how often it was restarted.
    fn owner(&self) -> String {
        owner_slot(&self.object.key)
    }

    fn slot(&self, index: i32) -> String {
        format!("{}/{index}", self.owner())
    }

    fn incarnation(&self, index: i32) -> String {
        let of = |slot: &String| self.incarnations.get(slot).copied().unwrap_or(0);
        format!("{}.{}", of(&self.owner()), of(&self.slot(index)))
    }

    /// As long as Kubernetes' own; a restart changes it as it changes the template there.
    fn template_hash(&self) -> String {
        let template = self.object.value["spec"]["template"].to_string();
        let restarts = self.incarnations.get(&self.owner()).copied().unwrap_or(0);
        let hash = names::hash(&[&template, &restarts.to_string()]);
        names::suffix(hash, 10)
    }

    /// The last letters of a replica's name.
    fn random(&self, prefix: &str, index: i32) -> String {
        let parts = [prefix, &self.slot(index), &self.incarnation(index)];
        names::suffix(names::hash(&parts), 5)
    }
}

/// The place under which a restart of an object is counted.
pub fn owner_slot(key: &Key) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    format!("{}/{namespace}/{}", key.kind, key.name)
}

/// All pods, in the order of their objects.
pub fn plan(objects: &[Object], incarnations: &BTreeMap<String, u32>) -> Result<Vec<PodPlan>> {
    let mut plans = Vec::new();
    for object in objects {
        let naming = Naming {
            object,
            incarnations,
        };
        if object.key.kind == "Pod" {
            let pod: Pod = object.parse()?;
            plans.push(one(&naming, 0, pod.metadata, pod.spec.unwrap_or_default())?);
            continue;
        }
        let Some(replicas) = replicas(&naming)? else {
            continue;
        };
        for (index, name) in (0..).zip(&replicas.names) {
            let mut metadata = replicas.template.metadata.clone().unwrap_or_default();
            metadata.name = Some(name.clone());
            metadata
                .labels
                .get_or_insert_default()
                .extend(replicas.labels.clone());
            let spec = replicas.template.spec.clone().unwrap_or_default();
            let mut plan = one(&naming, index, metadata, spec)?;
            plan.owner = Some(format!("{}/{}", object.key.kind, object.key.name));
            plans.push(plan);
        }
    }
    let mut seen = BTreeMap::new();
    for plan in &plans {
        let id = (plan.namespace.clone(), plan.name.clone());
        if let Some(other) = seen.insert(id, &plan.source) {
            bail!(
                "{}: pod {}/{} exists already, from {other}",
                plan.source,
                plan.namespace,
                plan.name
            );
        }
    }
    Ok(plans)
}

fn replicas(naming: &Naming<'_>) -> Result<Option<Replicas>> {
    let object = naming.object;
    let name = &object.key.name;
    let hash = naming.template_hash();
    let random = |prefix: &str, index: i32| format!("{prefix}-{}", naming.random(prefix, index));
    let hashed = |key: &str| BTreeMap::from([(key.to_owned(), hash.clone())]);
    let (template, selector, names, labels) = match object.key.kind.as_str() {
        "Deployment" => {
            let spec = object.parse::<Deployment>()?.spec.unwrap_or_default();
            let prefix = format!("{name}-{hash}");
            let names = (0..count(object, spec.replicas)?)
                .map(|index| random(&prefix, index))
                .collect();
            let labels = hashed("pod-template-hash");
            (spec.template, spec.selector, names, labels)
        }
        "ReplicaSet" => {
            let spec = object.parse::<ReplicaSet>()?.spec.unwrap_or_default();
            let names = (0..count(object, spec.replicas)?)
                .map(|index| random(name, index))
                .collect();
            let template = spec.template.unwrap_or_default();
            (template, spec.selector, names, BTreeMap::new())
        }
        "StatefulSet" => {
            let spec = object.parse::<StatefulSet>()?.spec.unwrap_or_default();
            let names = (0..count(object, spec.replicas)?)
                .map(|index| format!("{name}-{index}"))
                .collect();
            let labels = hashed("controller-revision-hash");
            (spec.template, spec.selector, names, labels)
        }
        "DaemonSet" => {
            let spec = object.parse::<DaemonSet>()?.spec.unwrap_or_default();
            let labels = hashed("controller-revision-hash");
            (spec.template, spec.selector, vec![random(name, 0)], labels)
        }
        _ => return Ok(None),
    };
    let own = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.clone())
        .unwrap_or_default();
    for (key, value) in selector.match_labels.iter().flatten() {
        if own.get(key) != Some(value) {
            let reason = format!("{key}={value} is not a label of spec.template");
            return Err(object.wrong("spec.selector.matchLabels", reason));
        }
    }
    Ok(Some(Replicas {
        template,
        names,
        labels,
    }))
}

fn count(object: &Object, replicas: Option<i32>) -> Result<i32> {
    let count = replicas.unwrap_or(1);
    if !(0..=250).contains(&count) {
        return Err(object.wrong("spec.replicas", format!("{count} is not within 0 to 250")));
    }
    Ok(count)
}

fn one(naming: &Naming<'_>, index: i32, metadata: ObjectMeta, spec: PodSpec) -> Result<PodPlan> {
    let object = naming.object;
    let slot = naming.slot(index);
    let field = if object.key.kind == "Pod" {
        "spec"
    } else {
        "spec.template.spec"
    };
    if spec.containers.is_empty() {
        let field = format!("{field}.containers");
        return Err(object.wrong(&field, "at least one container is needed"));
    }
    let all = [
        ("initContainers", spec.init_containers.as_deref()),
        ("containers", Some(spec.containers.as_slice())),
    ];
    for (list, containers) in all {
        for (index, container) in containers.unwrap_or_default().iter().enumerate() {
            for (at, port) in container.ports.iter().flatten().enumerate() {
                if !(1..=65535).contains(&port.container_port) {
                    return Err(object.wrong(
                        &format!("{field}.{list}[{index}].ports[{at}].containerPort"),
                        format!("{} is not a port", port.container_port),
                    ));
                }
            }
        }
    }
    let node = match spec.node_name.as_deref() {
        None => Node::FIRST,
        Some(name) => Node::by_name(name).ok_or_else(|| {
            object.wrong(
                &format!("{field}.nodeName"),
                format!("there is no node {name}"),
            )
        })?,
    };
    let content = serde_json::to_value(&spec).unwrap_or(Value::Null);
    Ok(PodPlan {
        namespace: object.key.namespace.clone().unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        owner: None,
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
        fingerprint: names::hash(&[&content.to_string(), &slot, &naming.incarnation(index)]),
        slot,
        node,
        spec,
        source: object.source.clone(),
    })
}

#[cfg(test)]
mod tests;
