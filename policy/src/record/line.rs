//! One line of recorded flows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Recorded, Seen};
use crate::{
    model::{Entity, Labels, Protocol},
    verdict::HttpRequest,
};

/// A line that is no flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a flow: {reason}")]
pub struct RecordError {
    /// What is wrong with it.
    pub reason: String,
}

/// The flow of a line; `None` for what says nothing to policy: replies, lost events, node
/// status, translations in a socket, protocols that are not known.
///
/// # Errors
/// [`RecordError`] where the line is not JSON.
pub fn read(line: &str) -> Result<Option<Recorded>, RecordError> {
    let value: Value = serde_json::from_str(line).map_err(|error| RecordError {
        reason: error.to_string(),
    })?;
    if !value.is_object() {
        return Err(RecordError {
            reason: "must be a JSON object".to_owned(),
        });
    }
    let flow = value.get("flow").unwrap_or(&value);
    Ok(recorded(flow))
}

fn recorded(flow: &Value) -> Option<Recorded> {
    let flag = |value: &Value| match value {
        // protobuf's wrapper, as some writers spell it.
        Value::Object(map) => map.get("value").and_then(Value::as_bool),
        other => other.as_bool(),
    };
    let at = |pointer: &str| flow.pointer(pointer).unwrap_or(&Value::Null);
    if flag(at("/is_reply")) == Some(true) || at("/Type").as_str() == Some("SOCK") {
        return None;
    }
    if at("/l7/type")
        .as_str()
        .is_some_and(|kind| kind != "REQUEST")
    {
        return None;
    }
    let (protocol, port) = destination(at("/l4"), at("/is_reply").is_null())?;
    let request = at("/l7/http");
    Some(Recorded {
        from: seen(at("/source"), at("/IP/source")),
        to: seen(at("/destination"), at("/IP/destination")),
        protocol,
        port,
        http: request.is_object().then(|| http(request)),
        passed: !matches!(
            at("/verdict").as_str(),
            Some("DROPPED" | "ERROR" | "DENIED")
        ),
    })
}

/// Protocol and port; `None` for a packet that opens nothing.
fn destination(l4: &Value, reply_unknown: bool) -> Option<(Protocol, u16)> {
    for (name, protocol) in [
        ("TCP", Protocol::Tcp),
        ("UDP", Protocol::Udp),
        ("SCTP", Protocol::Sctp),
    ] {
        let Some(transport) = l4.get(name).filter(|value| value.is_object()) else {
            continue;
        };
        let flags = &transport["flags"];
        let set = |flag: &str| flags[flag].as_bool() == Some(true);
        let opens = set("SYN") && !set("ACK");
        if reply_unknown && flags.is_object() && !opens {
            return None;
        }
        let port = &transport["destination_port"];
        let port = port.as_u64().or_else(|| port.as_str()?.parse().ok())?;
        return Some((protocol, u16::try_from(port).ok()?));
    }
    let icmp = |name: &str| l4.get(name).is_some_and(Value::is_object);
    (icmp("ICMPv4") || icmp("ICMPv6")).then_some((Protocol::Icmp, 0))
}

fn seen(end: &Value, address: &Value) -> Seen {
    let text = |name: &str| end[name].as_str().unwrap_or_default().to_owned();
    Seen {
        namespace: text("namespace"),
        pod: text("pod_name"),
        labels: end["labels"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter_map(label)
            .collect::<Labels>(),
        address: address.as_str().unwrap_or_default().to_owned(),
        entities: entities(end),
    }
}

/// By the end's labels and by the number of its identity, as Cilium numbers them.
fn entities(end: &Value) -> BTreeSet<Entity> {
    let labels = end["labels"].as_array().into_iter().flatten();
    let labels = labels.filter_map(|label| label.as_str()?.strip_prefix("reserved:"));
    let numbers = [&end["identity"], &end["ID"]].into_iter();
    let number = numbers.filter_map(Value::as_u64).next();
    let number = number.map(|number| match number {
        1 => "host",
        6 => "remote-node",
        7 => "kube-apiserver",
        _ => "",
    });
    let found = labels.chain(number).filter_map(|name| match name {
        "host" => Some(Entity::Host),
        "remote-node" => Some(Entity::RemoteNode),
        "kube-apiserver" => Some(Entity::KubeApiserver),
        _ => None,
    });
    found.collect()
}

/// `k8s:app=sleep`; what Cilium adds of namespace and cluster is no label of the pod.
fn label(text: &str) -> Option<(String, String)> {
    let text = text.strip_prefix("k8s:").unwrap_or(text);
    let (key, value) = text.split_once('=')?;
    let added = key.starts_with("io.cilium.") || key == "io.kubernetes.pod.namespace";
    let source = key.split_once(':').is_some();
    (!added && !source).then(|| (key.to_owned(), value.to_owned()))
}

fn http(request: &Value) -> HttpRequest {
    let url = request["url"].as_str().unwrap_or("/");
    let (host, path) = match url.split_once("://") {
        Some((_, rest)) => match rest.find(['/', '?']) {
            Some(start) => rest.split_at(start),
            None => (rest, "/"),
        },
        None => ("", url),
    };
    let mut headers = BTreeMap::new();
    for header in request["headers"].as_array().into_iter().flatten() {
        let text = |name: &str| header[name].as_str().unwrap_or_default().to_owned();
        let key = text("key");
        if !key.is_empty() && !key.starts_with(':') {
            headers.insert(key.to_ascii_lowercase(), text("value"));
        }
    }
    let path = match path.starts_with('/') || path == "*" {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    HttpRequest {
        method: request["method"].as_str().unwrap_or("GET").to_owned(),
        path,
        host: (!host.is_empty()).then(|| host.to_owned()),
        headers,
    }
}
