//! Edges as policy objects: a NetworkPolicy, or where there are requests or pings a
//! CiliumNetworkPolicy.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::{Map, Value, json};

use super::{
    ANNOTATION, Proposal,
    template::{escaped, patterns},
    traffic::{Edge, Other, Traffic},
    workload::{Workload, match_labels},
};
use crate::model::Direction;

/// From so many outside addresses on, a note says so.
const MANY_ADDRESSES: usize = 16;
/// Echo requests (RFC 792, RFC 4443).
const PING: [(&str, u8); 2] = [("IPv4", 8), ("IPv6", 128)];

pub(super) fn proposal(
    traffic: &Traffic,
    workload: &Workload,
    name: &str,
    only: Option<Direction>,
) -> Proposal {
    let directions: Vec<Direction> = Direction::BOTH
        .into_iter()
        .filter(|direction| only.is_none_or(|only| only == *direction))
        .collect();
    let cilium = directions.iter().any(|direction| {
        let mut edges = traffic.edges(workload, *direction);
        edges.any(|(other, edge)| {
            // A NetworkPolicy has no word for nodes: an `ipBlock` is of one node, and to Cilium
            // of none.
            let entity = matches!(other, Other::Nodes | Other::Apiserver);
            entity || edge.ping || !edge.requests.is_empty()
        })
    });
    let mut notes = Vec::new();
    if let Some(other) = workload.shadowing(&traffic.known) {
        let labels: Vec<String> = other
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        notes.push(format!(
            "it selects {}/{} too, which has all of its labels and more",
            other.namespace,
            labels.join(",")
        ));
    }
    for direction in &directions {
        let outside = traffic.edges(workload, *direction);
        let outside = outside.filter(|(other, _)| matches!(other, Other::Outside(_)));
        let count = outside.count();
        if count >= MANY_ADDRESSES {
            notes.push(format!(
                "{direction} lists {count} outside addresses one by one: a prefix may be meant"
            ));
        }
    }
    let spec = match cilium {
        true => cilium_spec(traffic, workload, &directions),
        false => network_spec(traffic, workload, &directions),
    };
    let flows = traffic.count(workload);
    let (version, kind) = match cilium {
        true => ("cilium.io/v2", "CiliumNetworkPolicy"),
        false => ("networking.k8s.io/v1", "NetworkPolicy"),
    };
    let policy = json!({
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": workload.namespace,
            "annotations": {ANNOTATION: format!("from {flows} recorded flows")},
        },
        "spec": spec,
    });
    Proposal {
        policy,
        flows,
        notes,
    }
}

/// Other ends with the same edge stand in one rule.
fn grouped<'a>(
    traffic: &'a Traffic,
    workload: &Workload,
    direction: Direction,
) -> Vec<(&'a Edge, Vec<&'a Other>)> {
    let mut groups: BTreeMap<&Edge, Vec<&Other>> = BTreeMap::new();
    for (other, edge) in traffic.edges(workload, direction) {
        groups.entry(edge).or_default().push(other);
    }
    groups.into_iter().collect()
}

fn network_spec(traffic: &Traffic, workload: &Workload, directions: &[Direction]) -> Value {
    let types = directions.iter().map(|direction| match direction {
        Direction::Ingress => "Ingress",
        Direction::Egress => "Egress",
    });
    let mut spec = Map::from_iter([
        (
            "podSelector".to_owned(),
            match_labels(&workload.selector(&traffic.known)),
        ),
        ("policyTypes".to_owned(), types.collect()),
    ]);
    for direction in directions {
        let (section, peers) = match direction {
            Direction::Ingress => ("ingress", "from"),
            Direction::Egress => ("egress", "to"),
        };
        let rules: Vec<Value> = grouped(traffic, workload, *direction)
            .into_iter()
            .map(|(edge, others)| {
                let others = others.into_iter();
                let list: Vec<Value> = others.map(|o| network_peer(traffic, workload, o)).collect();
                let ports: Vec<Value> = edge
                    .plain_ports()
                    .into_iter()
                    .map(|(protocol, port)| json!({"protocol": protocol.to_string(), "port": port}))
                    .collect();
                json!({peers: list, "ports": ports})
            })
            .collect();
        if !rules.is_empty() {
            spec.insert(section.to_owned(), rules.into());
        }
    }
    spec.into()
}

fn network_peer(traffic: &Traffic, own: &Workload, other: &Other) -> Value {
    match other {
        Other::Workload(other) => {
            let pods = match_labels(&other.selector(&traffic.known));
            if other.namespace == own.namespace {
                return json!({"podSelector": pods});
            }
            let namespace =
                json!({"matchLabels": {"kubernetes.io/metadata.name": other.namespace}});
            json!({"podSelector": pods, "namespaceSelector": namespace})
        }
        Other::Outside(address) => json!({"ipBlock": {"cidr": single(*address)}}),
        // Where there are any it is no NetworkPolicy.
        Other::Nodes | Other::Apiserver => Value::Null,
    }
}

fn cilium_spec(traffic: &Traffic, workload: &Workload, directions: &[Direction]) -> Value {
    let mut spec = Map::from_iter([(
        "endpointSelector".to_owned(),
        match_labels(&workload.selector(&traffic.known)),
    )]);
    for direction in directions {
        let (section, prefix) = match direction {
            Direction::Ingress => ("ingress", "from"),
            Direction::Egress => ("egress", "to"),
        };
        let mut rules = Vec::new();
        for (edge, others) in grouped(traffic, workload, *direction) {
            // A rule has one kind of peers only.
            for (field, list) in cilium_peers(traffic, workload, prefix, &others) {
                let to_ports = to_ports(edge);
                if !to_ports.is_empty() {
                    rules.push(json!({field.as_str(): list, "toPorts": to_ports}));
                }
                if edge.ping {
                    let fields: Vec<Value> = PING
                        .iter()
                        .map(|(family, kind)| json!({"family": family, "type": kind}))
                        .collect();
                    rules.push(json!({field.as_str(): list, "icmps": [{"fields": fields}]}));
                }
            }
        }
        if rules.is_empty() {
            // Denies by default and allows nothing.
            rules.push(json!({}));
        }
        spec.insert(section.to_owned(), rules.into());
    }
    spec.into()
}

fn to_ports(edge: &Edge) -> Vec<Value> {
    let mut to_ports = Vec::new();
    let plain: Vec<Value> = edge
        .plain_ports()
        .into_iter()
        .map(|(protocol, port)| json!({"port": port.to_string(), "protocol": protocol.to_string()}))
        .collect();
    if !plain.is_empty() {
        to_ports.push(json!({"ports": plain}));
    }
    for (port, requests) in &edge.requests {
        let http: Vec<Value> = patterns(requests)
            .into_iter()
            .map(|(path, methods)| {
                let methods: Vec<String> = methods.iter().map(|method| escaped(method)).collect();
                json!({"method": methods.join("|"), "path": path})
            })
            .collect();
        to_ports.push(json!({
            "ports": [{"port": port.to_string(), "protocol": "TCP"}],
            "rules": {"http": http},
        }));
    }
    to_ports
}

/// The peers by the field that takes them.
fn cilium_peers(
    traffic: &Traffic,
    own: &Workload,
    prefix: &str,
    others: &[&Other],
) -> BTreeMap<String, Vec<Value>> {
    let mut fields: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for other in others {
        match other {
            Other::Workload(other) => {
                let mut labels = other.selector(&traffic.known);
                if other.namespace != own.namespace {
                    let key = "io.kubernetes.pod.namespace".to_owned();
                    labels.insert(key, other.namespace.clone());
                }
                let list = fields.entry(format!("{prefix}Endpoints")).or_default();
                list.push(match_labels(&labels));
            }
            Other::Nodes | Other::Apiserver => {
                let entities: &[&str] = match other {
                    Other::Nodes => &["host", "remote-node"],
                    _ => &["kube-apiserver"],
                };
                let list = fields.entry(format!("{prefix}Entities")).or_default();
                list.extend(entities.iter().map(|entity| json!(entity)));
            }
            Other::Outside(address) => {
                let list = fields.entry(format!("{prefix}CIDR")).or_default();
                list.push(json!(single(*address)));
            }
        }
    }
    fields
}

fn single(address: IpAddr) -> String {
    let length = if address.is_ipv6() { 128 } else { 32 };
    format!("{address}/{length}")
}
