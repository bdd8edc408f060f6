//! What `kubectl` asks before anything else: which kinds there are.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::Path,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    answers,
    objects::{namespaced, resources},
};

pub async fn version() -> Json<Value> {
    Json(json!({"major": "1", "minor": "35", "gitVersion": "v1.35.0-double"}))
}

pub async fn core() -> Json<Value> {
    Json(json!({"kind": "APIVersions", "versions": ["v1"]}))
}

pub async fn groups() -> Json<Value> {
    let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
    for resource in resources().filter(|resource| !resource.group.is_empty()) {
        groups.insert(resource.group, resource.version);
    }
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|(group, version)| {
            let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
            json!({"name": group, "versions": [version], "preferredVersion": version})
        })
        .collect();
    Json(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

pub async fn core_kinds() -> Response {
    kinds("", "v1")
}

pub async fn group_kinds(Path((group, version)): Path<(String, String)>) -> Response {
    kinds(&group, &version)
}

fn kinds(group: &str, version: &str) -> Response {
    let verbs = [
        "create", "delete", "get", "list", "patch", "update", "watch",
    ];
    let list: Vec<Value> = resources()
        .filter(|resource| resource.group == group && resource.version == version)
        .map(|resource| {
            json!({
                "name": resource.plural, "singularName": resource.kind.to_lowercase(),
                "namespaced": namespaced(resource), "kind": resource.kind, "verbs": verbs,
            })
        })
        .collect();
    if list.is_empty() {
        return answers::not_found(group);
    }
    let version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    Json(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list,
    }))
    .into_response()
}
