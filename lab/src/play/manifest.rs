//! The folder that the agent watches: what an API server would hold once everything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};
use weir_policy::model::PodName;

use super::endpoints::{Ready, pod_port, selected};
use super::pods::PodPlan;
use super::service::ServicePlan;
use crate::names;
use crate::node::Node;
use crate::object::{Key, Object, kind};
use crate::state;

/// Where the agent finds a pod's link.
const INTERFACE: &str = "weir.dev/interface";

/// Everything that the agent should see, by file name.
pub fn render(
    nodes: &[Node],
    objects: &[Object],
    services: &[ServicePlan],
    plans: &[PodPlan],
    pods: &BTreeMap<PodName, state::Pod>,
    ready: &[Ready<'_>],
) -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    let mut put = |kind: &str, namespace: Option<&str>, name: &str, value: Value| {
        files.insert(Key::new(kind, namespace, name).file_name(), value);
    };
    for node in nodes {
        put("Node", None, node.name(), render_node(*node));
    }
    for (name, value) in namespaces(objects) {
        put("Namespace", None, &name, value);
    }
    for object in objects {
        let played = kind::owns_pods(&object.key.kind)
            || matches!(object.key.kind.as_str(), "Pod" | "Namespace" | "Service");
        if !played {
            let Key {
                kind,
                namespace,
                name,
            } = &object.key;
            put(kind, namespace.as_deref(), name, object.value.clone());
        }
    }
    for plan in plans {
        if let Some(running) = pods.get(&plan.id()) {
            let value = pod(plan, running);
            put("Pod", Some(&plan.namespace), &plan.name, value);
        }
    }
    for plan in services {
        let key = Key::new("Service", Some(&plan.namespace), &plan.name);
        if let Some(object) = objects.iter().find(|object| object.key == key) {
            let value = service(object, plan);
            put("Service", Some(&plan.namespace), &plan.name, value);
        }
        for (name, value) in slices(plan, ready) {
            put("EndpointSlice", Some(&plan.namespace), &name, value);
        }
    }
    files
}

fn render_node(node: Node) -> Value {
    let [v4, v6] = node.addresses();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name(),
            "labels": { "kubernetes.io/hostname": node.name(), "kubernetes.io/os": "linux" },
        },
        "spec": { "podCIDR": node.pod_cidrs()[0], "podCIDRs": node.pod_cidrs() },
        "status": {
            "addresses": [
                { "type": "InternalIP", "address": v4 },
                { "type": "InternalIP", "address": v6 },
                { "type": "Hostname", "address": node.name() },
            ],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

/// Those that are declared and those that are only mentioned.
fn namespaces(objects: &[Object]) -> BTreeMap<String, Value> {
    let mentioned: BTreeSet<&str> = objects
        .iter()
        .filter_map(|object| object.key.namespace.as_deref())
        .chain(["default"])
        .collect();
    let mut found: BTreeMap<String, Value> = mentioned
        .into_iter()
        .map(|name| {
            let value =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            (name.to_owned(), value)
        })
        .collect();
    for object in objects.iter().filter(|o| o.key.kind == "Namespace") {
        found.insert(object.key.name.clone(), object.value.clone());
    }
    for (name, value) in &mut found {
        // The API server puts this label on every namespace.
        value["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
        value["status"] = json!({ "phase": "Active" });
    }
    found
}

fn pod(plan: &PodPlan, running: &state::Pod) -> Value {
    let mut annotations = plan.annotations.clone();
    if let Some(interface) = &running.interface {
        annotations.insert(INTERFACE.to_owned(), interface.clone());
    }
    let mut spec = serde_json::to_value(&plan.spec).unwrap_or_default();
    spec["nodeName"] = json!(plan.node.name());
    let addresses = |addresses: &[IpAddr]| -> Vec<Value> {
        addresses.iter().map(|ip| json!({ "ip": ip })).collect()
    };
    let conditions: Vec<Value> = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .iter()
        .map(|kind| json!({ "type": kind, "status": "True" }))
        .collect();
    let uid = names::hash(&[&running.netns, &running.fingerprint.to_string()]);
    let mut value = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": plan.name,
            "namespace": plan.namespace,
            "uid": format!("00000000-0000-4000-8000-{:012x}", uid & 0xffff_ffff_ffff),
            "labels": plan.labels,
            "annotations": annotations,
        },
        "spec": spec,
        "status": {
            "phase": "Running",
            "podIP": running.addresses.first(),
            "podIPs": addresses(&running.addresses),
            "hostIP": plan.node.addresses()[0],
            "hostIPs": addresses(&plan.node.addresses()),
            "conditions": conditions,
        },
    });
    if let Some((kind, name)) = plan
        .owner
        .as_deref()
        .and_then(|owner| owner.split_once('/'))
    {
        value["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true }]);
    }
    value
}

fn service(object: &Object, plan: &ServicePlan) -> Value {
    let mut value = object.value.clone();
    let families: Vec<&str> = [("IPv4", plan.families[0]), ("IPv6", plan.families[1])]
        .iter()
        .filter_map(|(name, has)| has.then_some(*name))
        .collect();
    let addresses: Vec<String> = match plan.headless {
        true => vec!["None".to_owned()],
        false => plan.addresses.iter().map(IpAddr::to_string).collect(),
    };
    value["spec"]["clusterIP"] = json!(addresses.first());
    value["spec"]["clusterIPs"] = json!(addresses);
    value["spec"]["ipFamilies"] = json!(families);
    for (index, port) in plan.ports.iter().enumerate() {
        if let Some(number) = port.node_port {
            value["spec"]["ports"][index]["nodePort"] = json!(number);
        }
    }
    value
}

/// One slice for each family and each set of port numbers: pods may resolve a named port unlike.
fn slices(service: &ServicePlan, ready: &[Ready<'_>]) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (v6, family) in [(false, "IPv4"), (true, "IPv6")] {
        if !service.has_family(v6) {
            continue;
        }
        let mut groups: BTreeMap<Vec<Option<u16>>, Vec<Value>> = BTreeMap::new();
        for pod in selected(service, ready) {
            let Some(address) = pod.addresses.iter().find(|a| a.is_ipv6() == v6) else {
                continue;
            };
            let numbers: Vec<Option<u16>> = service
                .ports
                .iter()
                .map(|port| pod_port(pod.plan, port))
                .collect();
            groups.entry(numbers).or_default().push(json!({
                "addresses": [address],
                "conditions": { "ready": true, "serving": true, "terminating": false },
                "nodeName": pod.plan.node.name(),
                "targetRef": {
                    "kind": "Pod", "namespace": pod.plan.namespace, "name": pod.plan.name,
                },
            }));
        }
        for (numbers, endpoints) in groups {
            let parts = format!("{family}{numbers:?}");
            let suffix = names::suffix(names::hash(&[&service.id(), &parts]), 5);
            let name = format!("{}-{suffix}", service.name);
            let ports: Vec<Value> = service
                .ports
                .iter()
                .zip(numbers)
                .filter_map(|(port, number)| {
                    Some(json!({
                        "name": port.name.as_deref().unwrap_or_default(),
                        "port": number?,
                        "protocol": port.protocol,
                    }))
                })
                .collect();
            let value = json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name,
                    "namespace": service.namespace,
                    "labels": { "kubernetes.io/service-name": service.name },
                },
                "addressType": family,
                "endpoints": endpoints,
                "ports": ports,
            });
            found.push((name, value));
        }
    }
    found
}
