//! A lab's objects as an API server would show them: with what it and its controllers add.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Lab;
use crate::converge::Plan;
use crate::names;
use crate::object::{Key, kind};
use crate::state::{Pod, State};

impl Lab {
    /// All objects: those that were applied, their pods, and what the lab itself has.
    ///
    /// # Errors
    /// The lab's state cannot be read.
    pub fn view(&self) -> Result<Vec<Value>> {
        let mut state = self.state()?;
        let plan = Plan::of(&mut state)?;
        let mut objects = plan.view(&state);
        let shown: Vec<Key> = objects.iter().map(key).collect();
        let rest = state
            .objects
            .iter()
            .filter(|object| !shown.contains(&object.key) && object.key.kind != "Pod");
        objects.extend(rest.map(|object| object.value.clone()));
        let first = state.created.values().min().copied().unwrap_or(0);
        for object in &mut objects {
            let key = key(object);
            let pod = state.pods.values().find(|pod| is(&key, pod));
            if let Some(pod) = pod {
                add_pod_status(object, pod);
            }
            if kind::owns_pods(&key.kind) {
                add_owner_status(object, &key, &state);
            }
            let created = pod.map(|pod| pod.created);
            let created = created.or_else(|| state.created.get(&key.to_string()).copied());
            add_identity(object, &key, created.unwrap_or(first));
        }
        objects.sort_by_cached_key(key);
        Ok(objects)
    }
}

fn key(object: &Value) -> Key {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    Key::new(
        text("/kind").unwrap_or_default(),
        text("/metadata/namespace"),
        text("/metadata/name").unwrap_or_default(),
    )
}

fn is(key: &Key, pod: &Pod) -> bool {
    key.kind == "Pod" && key.namespace.as_ref() == Some(&pod.namespace) && key.name == pod.name
}

fn time(seconds: i64) -> Value {
    Timestamp::from_second(seconds).map_or(Value::Null, |time| json!(time.to_string()))
}

fn add_identity(object: &mut Value, key: &Key, created: i64) {
    let metadata = &mut object["metadata"];
    metadata["creationTimestamp"] = time(created);
    if metadata["uid"].is_null() {
        let uid = names::hash(&[&key.to_string(), &created.to_string()]);
        let uid = format!("00000000-0000-4000-8000-{:012x}", uid & 0xffff_ffff_ffff);
        metadata["uid"] = json!(uid);
    }
}

fn add_pod_status(object: &mut Value, pod: &Pod) {
    let of = |list: &str| -> Vec<Value> {
        let containers = object["spec"][list].as_array().cloned().unwrap_or_default();
        let stays =
            |container: &&Value| list == "containers" || container["restartPolicy"] == "Always";
        let status = |container: &Value| {
            json!({
                "name": container["name"],
                "image": container["image"],
                "ready": pod.started,
                "started": pod.started,
                "restartCount": 0,
                "state": { "running": { "startedAt": time(pod.created) } },
            })
        };
        containers.iter().filter(stays).map(status).collect()
    };
    let (sidecars, own) = (of("initContainers"), of("containers"));
    let status = &mut object["status"];
    status["startTime"] = time(pod.created);
    status["containerStatuses"] = json!(own);
    if !sidecars.is_empty() {
        status["initContainerStatuses"] = json!(sidecars);
    }
    if !pod.started {
        status["phase"] = json!("Pending");
    }
}

/// The pods of an owner, and those of them that are ready.
fn add_owner_status(object: &mut Value, key: &Key, state: &State) {
    let owner = format!("{}/{}", key.kind, key.name);
    let pods: Vec<&Pod> = state
        .pods
        .values()
        .filter(|pod| Some(&pod.namespace) == key.namespace.as_ref())
        .filter(|pod| pod.owner.as_ref() == Some(&owner))
        .collect();
    let ready = pods.iter().filter(|pod| pod.started).count();
    let generation = object["metadata"]["generation"].clone();
    object["status"] = match key.kind.as_str() {
        "DaemonSet" => json!({
            "observedGeneration": generation,
            "currentNumberScheduled": pods.len(),
            "desiredNumberScheduled": pods.len(),
            "updatedNumberScheduled": pods.len(),
            "numberReady": ready,
            "numberAvailable": ready,
        }),
        _ => {
            if object["spec"]["replicas"].is_null() {
                object["spec"]["replicas"] = json!(1);
            }
            json!({
                "observedGeneration": generation,
                "replicas": pods.len(),
                "updatedReplicas": pods.len(),
                "readyReplicas": ready,
                "availableReplicas": ready,
            })
        }
    };
}
