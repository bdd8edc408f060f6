//! Nodes: their addresses, and the ranges that their pods' addresses are of.

use ipnet::IpNet;
use serde::Deserialize;
use weir_policy::model::{Node, address::parse_prefix};

use super::{Fault, Object, ObjectKey, Raw, address, or_default};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSpec {
    #[serde(rename = "podCIDR", deserialize_with = "or_default")]
    pod_cidr: String,
    #[serde(rename = "podCIDRs", deserialize_with = "or_default")]
    pod_cidrs: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawStatus {
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<RawAddress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

pub(super) fn node(key: &ObjectKey, raw: Raw<RawSpec, RawStatus>) -> Result<Object, Fault> {
    let mut addresses = Vec::new();
    for (index, given) in raw.status.addresses.iter().enumerate() {
        // The others are names.
        if matches!(given.kind.as_str(), "InternalIP" | "ExternalIP") {
            let field = || format!("status.addresses[{index}].address");
            addresses.push(address(&given.address, field)?);
        }
    }
    let mut pod_ranges = Vec::new();
    // The list repeats the single one.
    for text in std::iter::once(&raw.spec.pod_cidr).chain(&raw.spec.pod_cidrs) {
        if !text.is_empty() {
            let range = prefix(text, || "spec.podCIDRs".to_owned())?;
            if !pod_ranges.contains(&range) {
                pod_ranges.push(range);
            }
        }
    }
    Ok(Object::Node(Node {
        name: key.name.clone(),
        labels: raw.metadata.labels,
        addresses,
        pod_ranges,
        ..Node::default()
    }))
}

fn prefix(text: &str, field: impl FnOnce() -> String) -> Result<IpNet, Fault> {
    parse_prefix(text).map_err(|error| (field(), error.to_string()))
}
