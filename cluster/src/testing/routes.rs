//! Paths and verbs.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, Request, State},
    http::{
        HeaderMap, Method, Uri,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use serde_json::{Value, json};

use super::{
    Shared, answers, discovery,
    objects::{Objects, resource},
    pods, stream,
};
use crate::kubernetes::Resource;

pub type Params = HashMap<String, String>;

/// The server's routes, for connections that are made from now until it is away.
pub fn router(shared: Arc<Shared>) -> Router {
    let epoch = shared.lock().epoch;
    Router::new()
        .route("/version", get(discovery::version))
        .route("/api", get(discovery::core))
        .route("/apis", get(discovery::groups))
        .route("/api/v1", get(discovery::core_kinds))
        .route("/apis/{group}/{version}", get(discovery::group_kinds))
        .route("/double/asked", get(asked))
        .route(
            "/api/v1/namespaces/{namespace}/pods/{pod}/portforward",
            get(pods::portforward),
        )
        .route(
            "/api/v1/namespaces/{namespace}/pods/{pod}/exec",
            get(pods::exec),
        )
        .fallback(any(object))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            authorize,
        ))
        .layer(middleware::from_fn_with_state(
            (Arc::clone(&shared), epoch),
            fail_if_told,
        ))
        .with_state(shared)
}

async fn fail_if_told(
    State((shared, epoch)): State<(Arc<Shared>, u64)>,
    request: Request,
    next: Next,
) -> Response {
    shared.note(format!("{} {}", request.method(), request.uri()));
    let told = {
        let objects = shared.lock();
        // A connection from before the server was away is dead.
        match objects.epoch == epoch {
            true => objects.faults.status,
            false => Some(503),
        }
    };
    match told {
        Some(code) => answers::failure(code, "ServiceUnavailable", "told to fail"),
        None => next.run(request).await,
    }
}

async fn authorize(
    State(shared): State<Arc<Shared>>,
    Query(params): Query<Params>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(access) = &shared.access {
        let header = request.headers().get(AUTHORIZATION);
        let token = header.and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "));
        let target = target(request.uri().path());
        let judged = access.lock().unwrap_or_else(PoisonError::into_inner).judge(
            token,
            request.method(),
            target.as_ref(),
            &params,
        );
        if let Err(refusal) = judged {
            return *refusal;
        }
    }
    next.run(request).await
}

/// What was used of the role, and what was refused.
async fn asked(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let access = shared.access.as_ref();
    let access = access.map(|access| access.lock().unwrap_or_else(PoisonError::into_inner));
    Json(access.map_or(
        Value::Null,
        |access| json!({"used": access.used, "refused": access.refused}),
    ))
}

/// What a path is about.
pub struct Target {
    pub resource: &'static Resource,
    namespace: Option<String>,
    pub name: Option<String>,
    /// A part of it with a path of its own, such as `status`.
    part: Option<String>,
}

impl Target {
    /// As roles name it.
    pub fn resource_name(&self) -> String {
        match &self.part {
            Some(part) => format!("{}/{part}", self.resource.plural),
            None => self.resource.plural.to_owned(),
        }
    }

    fn is_status(&self) -> bool {
        self.part.as_deref() == Some("status")
    }
}

fn target(path: &str) -> Option<Target> {
    let mut parts = path.trim_matches('/').split('/');
    match parts.next()? {
        "api" => parts.next(),
        "apis" => parts.next().and_then(|_| parts.next()),
        _ => None,
    }?;
    let rest: Vec<&str> = parts.collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, plural, rest @ ..] if resource(plural).is_some() => {
            (Some((*namespace).to_owned()), [&[*plural], rest].concat())
        }
        rest => (None, rest.to_vec()),
    };
    let (plural, rest) = rest.split_first()?;
    Some(Target {
        resource: resource(plural)?,
        namespace,
        name: rest.first().map(|name| (*name).to_owned()),
        part: rest.get(1).map(|part| (*part).to_owned()),
    })
}

async fn object(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(target) = target(uri.path()) else {
        return answers::not_found(uri.path());
    };
    let plural = target.resource.plural;
    if shared
        .lock()
        .faults
        .not_installed
        .iter()
        .any(|kind| kind == plural)
    {
        return answers::not_found("the server could not find the requested resource:");
    }
    if method == Method::GET && target.name.is_none() {
        return match params
            .get("watch")
            .is_some_and(|watch| watch == "true" || watch == "1")
        {
            true => stream::watch(shared, target.resource, target.namespace, &params),
            false => list(&shared.lock(), &target, &params),
        };
    }
    let strategic = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/strategic-merge-patch+json");
    if strategic && target.resource.optional {
        // Only Kubernetes' own kinds say how their lists are merged.
        return answers::failure(415, "UnsupportedMediaType", "no strategic merge patch");
    }
    let response = one(&mut shared.lock(), &method, &target, &body, strategic);
    shared.news.send_modify(|count| *count += 1);
    response
}

fn list(objects: &Objects, target: &Target, params: &Params) -> Response {
    let number = |name: &str| params.get(name).and_then(|text| text.parse::<usize>().ok());
    let all = objects.all(target.resource.plural);
    let mut items: Vec<Value> = all
        .into_iter()
        .filter(|item| in_namespace(item, target.namespace.as_deref()))
        .filter(|item| {
            params
                .get("labelSelector")
                .is_none_or(|of| selected(item, of))
        })
        .filter(|item| {
            let of = params.get("fieldSelector");
            let name = of.and_then(|of| of.strip_prefix("metadata.name="));
            name.is_none_or(|name| item["metadata"]["name"] == name)
        })
        .collect();
    let begin = number("continue").unwrap_or(0);
    let page = objects
        .faults
        .page
        .or(number("limit"))
        .unwrap_or(usize::MAX);
    let more = items.len() > begin.saturating_add(page);
    items = items.into_iter().skip(begin).take(page).collect();
    let next = more.then(|| (begin + page).to_string());
    // As in a real list, the items do not name their kind.
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.remove("kind");
        item.remove("apiVersion");
    }
    Json(json!({
        "kind": format!("{}List", target.resource.kind),
        "apiVersion": target.resource.api_version(),
        "metadata": {"resourceVersion": objects.version.to_string(), "continue": next.unwrap_or_default()},
        "items": items,
    }))
    .into_response()
}

pub fn in_namespace(object: &Value, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|namespace| object["metadata"]["namespace"] == namespace)
}

/// By labels that must be equal: `a=b,c=d`.
fn selected(object: &Value, selector: &str) -> bool {
    let labels = &object["metadata"]["labels"];
    selector.split(',').all(|one| {
        let (key, value) = one.split_once('=').unwrap_or((one, ""));
        labels[key] == value
    })
}

fn one(
    objects: &mut Objects,
    method: &Method,
    target: &Target,
    body: &[u8],
    strategic: bool,
) -> Response {
    let plural = target.resource.plural;
    let namespace = target.namespace.clone().unwrap_or_default();
    let name = target.name.clone().unwrap_or_default();
    let held = objects.get(plural, &namespace, &name);
    let given = match (method.as_str(), serde_yaml_ng::from_slice::<Value>(body)) {
        ("GET", _) if objects.faults.no_get => {
            return answers::failure(403, "Forbidden", "this role has no verb get");
        }
        ("GET", _) => {
            return held.map_or_else(|| answers::not_found(&name), |o| Json(o).into_response());
        }
        ("DELETE", _) => {
            let gone = objects.delete(plural, &namespace, &name);
            return gone.map_or_else(|| answers::not_found(&name), |o| Json(o).into_response());
        }
        (_, Err(error)) => return answers::failure(400, "BadRequest", &error.to_string()),
        (_, Ok(given)) => given,
    };
    let mut new = match (method.as_str(), held) {
        ("PATCH", Some(mut held)) => {
            // A real server keeps `status` apart: patches of one do not touch the other.
            let kept = match target.is_status() {
                true => "spec",
                false => "status",
            };
            let before = held.get(kept).cloned();
            merge(&mut held, &given, strategic);
            match before {
                Some(before) => held[kept] = before,
                None => drop(held.as_object_mut().and_then(|held| held.remove(kept))),
            }
            held
        }
        ("PATCH", None) if target.is_status() => return answers::not_found(&name),
        (_, _) => given,
    };
    new["kind"] = target.resource.kind.into();
    new["apiVersion"] = target.resource.api_version().into();
    if target.namespace.is_some() {
        new["metadata"]["namespace"] = namespace.into();
    }
    let created = method == Method::POST;
    match objects.put(new) {
        Some(object) if created => (axum::http::StatusCode::CREATED, Json(object)).into_response(),
        Some(object) => Json(object).into_response(),
        None => answers::not_found(plural),
    }
}

/// JSON merge patch (RFC 7396). Server-side apply of what one manager owns comes to the same here.
/// `strategic`: a list of conditions is merged by their types, as Kubernetes does for its own kinds.
fn merge(into: &mut Value, patch: &Value, strategic: bool) {
    let (Some(fields), true) = (patch.as_object(), into.is_object()) else {
        *into = patch.clone();
        return;
    };
    for (name, value) in fields {
        match value {
            Value::Null => drop(into.as_object_mut().and_then(|into| into.remove(name))),
            Value::Array(new) if strategic && name == "conditions" => {
                let old = into[name].as_array().cloned().unwrap_or_default();
                into[name] = by_type(old, new).into();
            }
            value => merge(&mut into[name], value, strategic),
        }
    }
}

fn by_type(mut conditions: Vec<Value>, new: &[Value]) -> Vec<Value> {
    for patch in new {
        match conditions
            .iter_mut()
            .find(|old| old["type"] == patch["type"])
        {
            Some(old) => merge(old, patch, true),
            None => conditions.push(patch.clone()),
        }
    }
    conditions
}
