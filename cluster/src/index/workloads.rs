//! The pods that workloads would make.

use std::collections::{BTreeMap, BTreeSet};

use weir_policy::model::{Node, PodName};

use crate::objects::{Object, ObjectKey, PodObject, Workload};

/// Adds the pods `WORKLOAD-0`, `WORKLOAD-1`, …, unless a cluster has made them already (they
/// then stand among the objects, with an owner and the template's labels).
pub(super) fn expand(
    objects: &BTreeMap<ObjectKey, Object>,
    nodes: &[Node],
    pods: &mut Vec<PodObject>,
) {
    let mut taken: BTreeSet<PodName> = pods.iter().map(|pod| pod.pod.id()).collect();
    let mut made = Vec::new();
    for (key, object) in objects {
        let Object::Workload(workload) = object else {
            continue;
        };
        if workload.owned || exists(workload, pods) {
            continue;
        }
        let hosts = nodes.iter().map(|node| Some(node.name.as_str()));
        let places: Vec<Option<&str>> = match workload.replicas {
            Some(count) => (0..count).map(|_| None).collect(),
            None if nodes.is_empty() => vec![None],
            None => hosts.collect(),
        };
        for (index, node) in places.into_iter().enumerate() {
            let name = format!("{}-{index}", key.name);
            if taken.insert(PodName::new(&key.namespace, &name)) {
                made.push(replica(workload, name, node));
            }
        }
    }
    pods.append(&mut made);
    pods.sort_by_cached_key(|pod| pod.pod.id());
}

fn exists(workload: &Workload, pods: &[PodObject]) -> bool {
    let template = &workload.template.pod;
    pods.iter().any(|pod| {
        pod.owned
            && pod.pod.namespace == template.namespace
            && template
                .labels
                .iter()
                .all(|(key, value)| pod.pod.labels.get(key) == Some(value))
    })
}

fn replica(workload: &Workload, name: String, node: Option<&str>) -> PodObject {
    let mut pod = workload.template.clone();
    if let Some(node) = node {
        node.clone_into(&mut pod.pod.node);
        node.clone_into(&mut pod.placement.node);
    }
    pod.placement.pod.name.clone_from(&name);
    pod.pod.name = name;
    pod
}
