//! Pods: what policy sees of them, and where they sit on this node.

use serde::Deserialize;
use weir_policy::model::{ContainerPort, Pod, PodName, Protocol};

use super::{Fault, Object, ObjectKey, Raw, address, or_default, protocol};

const INTERFACE: &str = "weir.dev/interface";
const NETNS: &str = "weir.dev/netns";
/// What the kubelet writes on the API's picture of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Condition of a pod that was found not to be under policy (docs/operate.md).
pub const UNDER_POLICY: &str = "weir.dev/UnderPolicy";
/// The longest name of a network interface (IFNAMSIZ without its zero).
const MAX_INTERFACE: usize = 15;

/// A pod as an object: the model's pod and what only the index needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodObject {
    /// What policy sees.
    pub pod: Pod,
    /// Where it sits.
    pub placement: PodPlacement,
    /// Phase `Succeeded` or `Failed`: its address may be another pod's by now.
    pub finished: bool,
    /// Its `Ready` condition, if it has one.
    pub ready: Option<bool>,
    /// A controller made it.
    pub owned: bool,
}

/// Where a pod sits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodPlacement {
    /// The pod.
    pub pod: PodName,
    /// The pod's veth on the node's side (annotation `weir.dev/interface`).
    pub interface: Option<String>,
    /// The pod's network namespace, a name or a path (annotation `weir.dev/netns`).
    pub netns: Option<String>,
    /// `spec.nodeName`, empty where unknown.
    pub node: String,
    /// `metadata.uid`, empty where unknown; of a static pod's mirror the uid that its node gave
    /// it, which is the one that the container runtime knows.
    pub uid: String,
    /// It is being deleted: its network may be gone already.
    pub terminating: bool,
    /// `metadata.uid` of the controller that made it; empty: none did.
    pub controller: String,
    /// Its condition [`UNDER_POLICY`], where somebody wrote one.
    pub under_policy: Option<UnderPolicy>,
}

/// The condition [`UNDER_POLICY`] of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderPolicy {
    /// Its status is `True`.
    pub holds: bool,
    /// Its message.
    pub message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawSpec {
    #[serde(deserialize_with = "or_default")]
    node_name: String,
    #[serde(deserialize_with = "or_default")]
    host_network: bool,
    #[serde(deserialize_with = "or_default")]
    service_account_name: String,
    #[serde(deserialize_with = "or_default")]
    service_account: String,
    #[serde(deserialize_with = "or_default")]
    containers: Vec<RawContainer>,
    #[serde(deserialize_with = "or_default")]
    init_containers: Vec<RawContainer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawContainer {
    #[serde(deserialize_with = "or_default")]
    restart_policy: String,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawPort>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default)]
    protocol: Option<String>,
    container_port: u16,
    #[serde(default)]
    host_port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawStatus {
    #[serde(deserialize_with = "or_default")]
    phase: String,
    #[serde(rename = "podIP", deserialize_with = "or_default")]
    pod_ip: String,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pod_ips: Vec<RawAddress>,
    #[serde(rename = "hostIP", deserialize_with = "or_default")]
    host_ip: String,
    #[serde(rename = "hostIPs", deserialize_with = "or_default")]
    host_ips: Vec<RawAddress>,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<RawCondition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawAddress {
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(deserialize_with = "or_default")]
    message: String,
}

pub(super) fn pod(key: &ObjectKey, raw: Raw<RawSpec, RawStatus>) -> Result<Object, Fault> {
    let Raw {
        metadata,
        spec,
        status,
        ..
    } = raw;
    let condition = |kind: &str| {
        let conditions = &status.conditions;
        conditions.iter().find(|condition| condition.kind == kind)
    };
    let placement = PodPlacement {
        pod: PodName::new(&key.namespace, &key.name),
        interface: metadata
            .annotations
            .get(INTERFACE)
            .map(|name| interface(name))
            .transpose()?,
        netns: metadata
            .annotations
            .get(NETNS)
            .filter(|name| !name.is_empty())
            .cloned(),
        node: spec.node_name.clone(),
        uid: match metadata.annotations.get(MIRROR) {
            Some(uid) => uid.clone(),
            None => metadata.uid,
        },
        terminating: metadata.deletion_timestamp.is_some(),
        controller: metadata
            .owner_references
            .iter()
            .find(|owner| owner.controller)
            .map_or_else(String::new, |owner| owner.uid.clone()),
        under_policy: condition(UNDER_POLICY).map(|condition| UnderPolicy {
            holds: condition.status == "True",
            message: condition.message.clone(),
        }),
    };
    let ready = condition("Ready").map(|condition| condition.status == "True");
    let finished = matches!(status.phase.as_str(), "Succeeded" | "Failed");
    let pod = Pod {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        labels: metadata.labels,
        service_account: account(&spec),
        addresses: addresses("status.podIP", &status.pod_ip, &status.pod_ips)?,
        host_addresses: addresses("status.hostIP", &status.host_ip, &status.host_ips)?,
        ports: ports(&spec)?,
        host_ports: host_ports(&spec)?,
        node: spec.node_name,
        host_network: spec.host_network,
        visibility: None,
    };
    Ok(Object::Pod(Box::new(PodObject {
        pod,
        placement,
        finished,
        ready,
        owned: !metadata.owner_references.is_empty(),
    })))
}

/// A pod of a workload's template, without an address.
pub(super) fn of_template(
    namespace: &str,
    labels: weir_policy::model::Labels,
    spec: &RawSpec,
) -> Result<PodObject, Fault> {
    Ok(PodObject {
        pod: Pod {
            namespace: namespace.to_owned(),
            labels,
            service_account: account(spec),
            ports: ports(spec)?,
            host_ports: host_ports(spec)?,
            node: spec.node_name.clone(),
            host_network: spec.host_network,
            ..Pod::default()
        },
        placement: PodPlacement {
            pod: PodName::new(namespace, ""),
            node: spec.node_name.clone(),
            ..PodPlacement::default()
        },
        owned: true,
        ..PodObject::default()
    })
}

fn account(spec: &RawSpec) -> String {
    [&spec.service_account_name, &spec.service_account]
        .into_iter()
        .find(|name| !name.is_empty())
        .map_or_else(|| "default".to_owned(), String::clone)
}

/// The single address and the list, which repeats it.
fn addresses(field: &str, one: &str, list: &[RawAddress]) -> Result<Vec<std::net::IpAddr>, Fault> {
    let mut found = Vec::with_capacity(list.len());
    if !one.is_empty() {
        found.push(address(one, || field.to_owned())?);
    }
    for (index, entry) in list.iter().enumerate() {
        let address = address(&entry.ip, || format!("{field}s[{index}].ip"))?;
        if !found.contains(&address) {
            found.push(address);
        }
    }
    Ok(found)
}

/// Ports of the node that lead to the pod's.
fn host_ports(spec: &RawSpec) -> Result<Vec<(Protocol, u16)>, Fault> {
    let given = each_port(spec).filter_map(|(field, port)| Some((field, port, port.host_port?)));
    given
        .filter(|(.., number)| *number != 0)
        .map(|(field, port, number)| {
            let protocol = protocol(port.protocol.as_deref(), || field("protocol"))?;
            Ok((protocol, number))
        })
        .collect()
}

/// Ports of the containers, and of init containers that stay.
fn ports(spec: &RawSpec) -> Result<Vec<ContainerPort>, Fault> {
    each_port(spec)
        .map(|(field, port)| {
            if port.container_port == 0 {
                return Err((field("containerPort"), "`0` is not a port".to_owned()));
            }
            Ok(ContainerPort {
                name: port.name.clone(),
                protocol: protocol(port.protocol.as_deref(), || field("protocol"))?,
                port: port.container_port,
            })
        })
        .collect()
}

/// Each port, with how the path of a field of it is written.
fn each_port(spec: &RawSpec) -> impl Iterator<Item = (impl Fn(&str) -> String, &RawPort)> {
    let staying = spec
        .init_containers
        .iter()
        .enumerate()
        .filter(|(_, container)| container.restart_policy == "Always")
        .map(|(index, container)| ("initContainers", index, container));
    let containers = spec
        .containers
        .iter()
        .enumerate()
        .map(|(index, container)| ("containers", index, container));
    containers
        .chain(staying)
        .flat_map(|(list, index, container)| {
            let ports = container.ports.iter().enumerate();
            ports.map(move |(at, port)| {
                let field = move |name: &str| format!("spec.{list}[{index}].ports[{at}].{name}");
                (field, port)
            })
        })
}

fn interface(name: &str) -> Result<String, Fault> {
    let good = !name.is_empty()
        && name.len() <= MAX_INTERFACE
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
    if good {
        return Ok(name.to_owned());
    }
    Err((
        format!("metadata.annotations[{INTERFACE}]"),
        format!("`{}` is not the name of an interface", name.escape_debug()),
    ))
}
