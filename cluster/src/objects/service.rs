//! Services, and the slices and endpoints that say where they lead.

use std::net::IpAddr;

use serde::Deserialize;
use weir_policy::model::{Labels, Protocol};

use super::{Fault, Meta, Object, ObjectKey, Raw, address, or_default, protocol};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A service as written, before its backends are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceObject {
    pub labels: Labels,
    /// Virtual addresses; empty for headless and external services.
    pub addresses: Vec<IpAddr>,
    /// `externalIPs`, and addresses of its load balancer that the nodes answer for.
    pub external: Vec<IpAddr>,
    /// Neither headless nor external: a cluster gives it an address.
    pub virtual_address: bool,
    pub ports: Vec<ServicePortObject>,
    /// The pods behind it; `None` where something else fills the slices.
    pub selector: Option<Labels>,
    /// `sessionAffinity: ClientIP`.
    pub client_affinity: bool,
}

/// One port of a service as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePortObject {
    /// Empty where the service names none.
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
    /// The port of every node that leads here.
    pub node_port: Option<u16>,
    pub target: TargetPort,
}

/// Where a service's port leads in a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    Number(u16),
    /// The container port of this name.
    Name(String),
}

/// An EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SliceObject {
    /// The service it belongs to; empty where it belongs to none.
    pub service: String,
    pub ports: Vec<SlicePort>,
    /// Addresses of the ready endpoints.
    pub ready: Vec<IpAddr>,
}

/// A port of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// The service port's name.
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawSpec {
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(rename = "clusterIP", deserialize_with = "or_default")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    cluster_ips: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawPort>,
    #[serde(deserialize_with = "or_default")]
    selector: Labels,
    #[serde(deserialize_with = "or_default")]
    session_affinity: String,
    #[serde(rename = "externalIPs", deserialize_with = "or_default")]
    external_ips: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawStatus {
    #[serde(deserialize_with = "or_default")]
    load_balancer: RawBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawBalancer {
    #[serde(deserialize_with = "or_default")]
    ingress: Vec<RawIngress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawIngress {
    #[serde(deserialize_with = "or_default")]
    ip: String,
    #[serde(deserialize_with = "or_default")]
    ip_mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default)]
    protocol: Option<String>,
    port: u16,
    #[serde(default)]
    node_port: Option<u16>,
    #[serde(default)]
    target_port: Option<RawTarget>,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a port number or the name of a container port"
)]
enum RawTarget {
    Number(u16),
    Name(String),
}

/// An EndpointSlice, whose fields stand beside its metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawSlice {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    address_type: String,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawSlicePort>,
    #[serde(deserialize_with = "or_default")]
    endpoints: Vec<RawEndpoint>,
}

/// An Endpoints object, whose subsets stand beside its metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawEndpoints {
    #[serde(deserialize_with = "or_default")]
    subsets: Vec<RawSubset>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawSubset {
    /// The ready ones.
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<RawSubsetAddress>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawSlicePort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawSubsetAddress {
    #[serde(deserialize_with = "or_default")]
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawSlicePort {
    #[serde(deserialize_with = "or_default")]
    name: String,
    protocol: Option<String>,
    port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawEndpoint {
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    conditions: RawConditions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawConditions {
    ready: Option<bool>,
}

pub(super) fn service(_key: &ObjectKey, raw: Raw<RawSpec, RawStatus>) -> Result<Object, Fault> {
    let spec = raw.spec;
    let mut addresses = Vec::new();
    let given = std::iter::once(&spec.cluster_ip).chain(&spec.cluster_ips);
    let headless = given.clone().any(|text| text == "None");
    for text in given.filter(|text| !matches!(text.as_str(), "" | "None")) {
        let address = address(text, || "spec.clusterIPs".to_owned())?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if spec.kind == "ExternalName" {
        addresses.clear();
    }
    let virtual_address = !headless && spec.kind != "ExternalName";
    // A service without a virtual address has no others either: nobody translates them.
    let external = match virtual_address {
        true => external(&spec.external_ips, &raw.status)?,
        false => Vec::new(),
    };
    let mut ports = Vec::with_capacity(spec.ports.len());
    for (index, port) in spec.ports.into_iter().enumerate() {
        let field = || format!("spec.ports[{index}].protocol");
        ports.push(ServicePortObject {
            protocol: protocol(port.protocol.as_deref(), field)?,
            port: port.port,
            node_port: port
                .node_port
                .filter(|number| *number > 0 && virtual_address),
            target: match port.target_port {
                None | Some(RawTarget::Number(0)) => TargetPort::Number(port.port),
                Some(RawTarget::Number(number)) => TargetPort::Number(number),
                Some(RawTarget::Name(name)) => TargetPort::Name(name),
            },
            name: port.name,
        });
    }
    Ok(Object::Service(ServiceObject {
        labels: raw.metadata.labels,
        addresses,
        external,
        virtual_address,
        ports,
        selector: Some(spec.selector).filter(|selector| !selector.is_empty()),
        client_affinity: spec.session_affinity == "ClientIP",
    }))
}

fn external(given: &[String], status: &RawStatus) -> Result<Vec<IpAddr>, Fault> {
    let mut found = Vec::new();
    for (index, text) in given.iter().enumerate() {
        found.push(address(text, || format!("spec.externalIPs[{index}]"))?);
    }
    for (index, ingress) in status.load_balancer.ingress.iter().enumerate() {
        // Without an address it has a name. What is in mode `Proxy` goes to the balancer itself.
        if !ingress.ip.is_empty() && ingress.ip_mode != "Proxy" {
            let field = || format!("status.loadBalancer.ingress[{index}].ip");
            found.push(address(&ingress.ip, field)?);
        }
    }
    Ok(found)
}

/// An `Endpoints` object as the slices of its subsets: its name is its service's.
pub(super) fn endpoints(key: &ObjectKey, raw: RawEndpoints) -> Result<Object, Fault> {
    let mut slices = Vec::with_capacity(raw.subsets.len());
    for (index, subset) in raw.subsets.into_iter().enumerate() {
        let mut slice = SliceObject {
            service: key.name.clone(),
            ..SliceObject::default()
        };
        for (at, port) in subset.ports.into_iter().enumerate() {
            let field = || format!("subsets[{index}].ports[{at}].protocol");
            let protocol = protocol(port.protocol.as_deref(), field)?;
            slice.ports.extend(port.port.map(|number| SlicePort {
                name: port.name,
                protocol,
                port: number,
            }));
        }
        for given in &subset.addresses {
            let field = || format!("subsets[{index}].addresses");
            slice.ready.push(address(&given.ip, field)?);
        }
        slices.push(slice);
    }
    Ok(Object::Endpoints(slices))
}

pub(super) fn slice(_key: &ObjectKey, raw: RawSlice) -> Result<Object, Fault> {
    let mut slice = SliceObject {
        service: raw
            .metadata
            .labels
            .get(SERVICE_NAME)
            .cloned()
            .unwrap_or_default(),
        ..SliceObject::default()
    };
    if raw.address_type == "FQDN" {
        return Ok(Object::EndpointSlice(slice));
    }
    for (index, port) in raw.ports.into_iter().enumerate() {
        let field = || format!("ports[{index}].protocol");
        let protocol = protocol(port.protocol.as_deref(), field)?;
        // A slice port without a number leads nowhere that a service's port could mean.
        if let Some(number) = port.port {
            slice.ports.push(SlicePort {
                name: port.name,
                protocol,
                port: number,
            });
        }
    }
    for (index, endpoint) in raw.endpoints.iter().enumerate() {
        // A missing condition means ready.
        if endpoint.conditions.ready == Some(false) {
            continue;
        }
        for text in &endpoint.addresses {
            slice
                .ready
                .push(address(text, || format!("endpoints[{index}].addresses"))?);
        }
    }
    Ok(Object::EndpointSlice(slice))
}
