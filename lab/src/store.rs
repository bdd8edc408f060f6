//! The lab's objects: what `apply` puts in and `delete` takes out.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::lab::Change;
use crate::object::{Key, Object};
use crate::play::pods;
use crate::state::{State, now};

/// Puts objects in; says for each whether it is new, changed or the same.
pub fn store(state: &mut State, objects: Vec<Object>) -> Vec<Change> {
    objects
        .into_iter()
        .map(|mut object| {
            let resource = object.resource();
            let old = state.objects.iter_mut().find(|old| old.key == object.key);
            let before = old.as_deref().map_or(0, generation);
            set_generation(&mut object, before);
            let what = match old {
                None => {
                    set_generation(&mut object, 1);
                    state.created.insert(object.key.to_string(), now());
                    state.objects.push(object);
                    "created"
                }
                Some(old) if old.value == object.value => "unchanged",
                Some(old) => {
                    let respecified = old.value["spec"] != object.value["spec"];
                    set_generation(&mut object, before + i64::from(respecified));
                    *old = object;
                    "configured"
                }
            };
            Change { resource, what }
        })
        .collect()
}

/// Counts the changes of an object's spec, as the API server does.
fn set_generation(object: &mut Object, generation: i64) {
    object.value["metadata"]["generation"] = generation.into();
}

fn generation(object: &Object) -> i64 {
    object.value["metadata"]["generation"].as_i64().unwrap_or(0)
}

/// Puts objects in that are not there yet.
///
/// # Errors
/// One of them is there; then none is put in.
pub fn create(state: &mut State, objects: Vec<Object>) -> Result<Vec<Change>> {
    if let Some(there) = objects.iter().find(|new| exists(state, &new.key)) {
        let key = &there.key;
        bail!(
            "Error from server (AlreadyExists): {} {:?} already exists",
            key.resources(),
            key.name
        );
    }
    Ok(store(state, objects))
}

/// Whether there is such an object; namespaces that others only mention are there as well.
pub fn exists(state: &State, key: &Key) -> bool {
    let mentions = |object: &Object| object.key.namespace.as_ref() == Some(&key.name);
    state.object(key).is_some()
        || key.kind == "Namespace" && (key.name == "default" || state.objects.iter().any(mentions))
}

/// Takes objects out. A namespace takes all that is in it along; a replica of something comes
/// back under another name.
pub fn delete(state: &mut State, keys: &[Key]) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for key in keys {
        if key.kind == "Namespace" && delete_namespace(state, &key.name) {
            changes.push(deleted(format!("namespace/{}", key.name)));
        } else if let Some(at) = state.objects.iter().position(|object| &object.key == key) {
            changes.push(deleted(state.objects.remove(at).resource()));
        } else if key.kind == "Pod" && replace_replica(state, key)? {
            changes.push(deleted(format!("pod/{}", key.name)));
        } else {
            return Err(key.not_found());
        }
    }
    let State {
        created, objects, ..
    } = state;
    created.retain(|name, _| objects.iter().any(|object| object.key.to_string() == *name));
    Ok(changes)
}

/// Asks for new pods in the place of an object's pods.
pub fn restart(state: &mut State, key: &Key) -> Result<Vec<Change>> {
    let resource = match state.object(key) {
        Some(object) => object.resource(),
        None => return Err(key.not_found()),
    };
    *state.incarnations.entry(pods::owner_slot(key)).or_insert(0) += 1;
    Ok(vec![Change {
        resource,
        what: "restarted",
    }])
}

fn deleted(resource: String) -> Change {
    Change {
        resource,
        what: "deleted",
    }
}

/// Whether there was such a namespace, declared or only mentioned.
fn delete_namespace(state: &mut State, name: &str) -> bool {
    let before = state.objects.len();
    state.objects.retain(|object| {
        let key = &object.key;
        key.namespace.as_deref() != Some(name) && !(key.kind == "Namespace" && key.name == name)
    });
    state.objects.len() < before
}

fn replace_replica(state: &mut State, key: &Key) -> Result<bool> {
    let plans = pods::plan(&state.objects, &state.incarnations)?;
    let slots: BTreeSet<String> = plans
        .into_iter()
        .filter(|plan| Some(&plan.namespace) == key.namespace.as_ref() && plan.name == key.name)
        .map(|plan| plan.slot)
        .collect();
    for slot in &slots {
        *state.incarnations.entry(slot.clone()).or_insert(0) += 1;
    }
    Ok(!slots.is_empty())
}
