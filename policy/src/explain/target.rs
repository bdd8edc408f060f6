//! Ends of flows as people write them.

use std::net::IpAddr;

use crate::{
    model::{Pod, Protocol, Service, World, address},
    verdict::Flow,
};

/// What an end's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// `NAMESPACE/POD` or an address.
    End(String),
    /// A service.
    Service(&'a Service),
}

/// A name that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// No pod or workload of this name.
    #[error(
        "`{field}`: no pod `{name}`{}; give NAMESPACE/POD, NAMESPACE/WORKLOAD, an address, or svc/NAME",
        known(candidates)
    )]
    NoPod {
        /// `from` or `to`.
        field: &'static str,
        /// As written.
        name: String,
        /// Pods that may be meant.
        candidates: Vec<String>,
    },
    /// No service of this name with an address.
    #[error("`{field}`: no service `{name}` with a virtual address; name its pod or its address")]
    NoService {
        /// `from` or `to`.
        field: &'static str,
        /// As written.
        name: String,
    },
    /// A service opens no connections.
    #[error("`from`: `{name}` is a service, which opens no connections; name a pod")]
    NoClient {
        /// The service.
        name: String,
    },
    /// The service has no such port.
    #[error("`port`: service {name} has no port {protocol}/{port}; it has {ports}")]
    NoServicePort {
        /// The service.
        name: String,
        /// The flow's protocol.
        protocol: Protocol,
        /// The flow's port.
        port: u16,
        /// Those it has.
        ports: String,
    },
    /// Nothing there has a port of this name.
    #[error("`port`: {name} has no {protocol} port named {port:?}; it has {ports}")]
    NoNamedPort {
        /// The pod or the service.
        name: String,
        /// The flow's protocol.
        protocol: Protocol,
        /// The name.
        port: String,
        /// Those it has.
        ports: String,
    },
    /// The service leads nowhere.
    #[error("`to`: port {protocol}/{port} of service {name} has no ready backend")]
    NoBackend {
        /// The service.
        name: String,
        /// The flow's protocol.
        protocol: Protocol,
        /// The flow's port.
        port: u16,
    },
}

/// A service by whose way a flow goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Via {
    /// `NAMESPACE/NAME:PORT`.
    pub shown: String,
    /// Where it leads; never empty.
    pub backends: Vec<(IpAddr, u16)>,
}

/// What a name stands for: an address, `[NAMESPACE/]POD`, `[NAMESPACE/]pod/POD`, a workload's name in
/// place of its pod's, `node/NAME`, `[NAMESPACE/]deploy/NAME`, `[NAMESPACE/]svc/NAME`, `svc/NAME.NAMESPACE`, and a
/// service's DNS name: `NAME.NAMESPACE.svc`, with the cluster's domain or without.
///
/// # Errors
/// [`TargetError`] where nothing has this name.
pub fn resolve<'a>(
    world: &'a World,
    field: &'static str,
    text: &str,
) -> Result<Target<'a>, TargetError> {
    if let Ok(address) = address::parse(text) {
        return Ok(Target::End(address.to_string()));
    }
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        ["svc" | "service", name] => {
            let (name, namespace) = name.split_once('.').unwrap_or((name, "default"));
            service(world, field, namespace, name)
        }
        [namespace, "svc" | "service", name] => service(world, field, namespace, name),
        ["node" | "nodes" | "no", name] => node(world, field, name, text),
        ["pod" | "pods" | "po", name] => pod(world, field, "default", name, text),
        [namespace, "pod" | "pods" | "po", name] => pod(world, field, namespace, name, text),
        [name] if dns_name(name).is_some() => {
            let (name, namespace) = dns_name(name).unwrap_or_default();
            service(world, field, namespace, name)
        }
        [kind, name] if is_workload(kind) => pod(world, field, "default", name, text),
        [namespace, kind, name] if is_workload(kind) => pod(world, field, namespace, name, text),
        [namespace, name] => pod(world, field, namespace, name, text),
        [name] => pod(world, field, "default", name, text),
        _ => Err(TargetError::NoPod {
            field,
            name: text.to_owned(),
            candidates: Vec::new(),
        }),
    }
}

/// Puts a port's number in the place of its name.
pub(super) fn name_port(world: &World, flow: &mut Flow) -> Result<(), TargetError> {
    let Some(wanted) = flow.port_name.take() else {
        return Ok(());
    };
    let (name, ports): (String, Vec<(&str, Protocol, u16)>) = match resolve(world, "to", &flow.to)?
    {
        Target::Service(service) => {
            let ports = service.ports.iter();
            let ports = ports.map(|has| (has.name.as_str(), has.protocol, has.port));
            let name = format!("service {}/{}", service.namespace, service.name);
            (name, ports.collect())
        }
        Target::End(name) => {
            let pod = world.pods.iter().find(|pod| pod.id() == *name);
            let ports = pod.iter().flat_map(|pod| &pod.ports);
            let ports = ports.map(|has| (has.name.as_str(), has.protocol, has.port));
            (name.clone(), ports.collect())
        }
    };
    let mut found = ports.iter();
    let found = found.find(|(name, protocol, _)| (*name, *protocol) == (&*wanted, flow.protocol));
    if let Some((_, _, port)) = found {
        flow.port = Some(*port);
        return Ok(());
    }
    let named = ports.iter().filter(|(name, ..)| !name.is_empty());
    let named: Vec<&str> = named.map(|(name, ..)| *name).collect();
    Err(TargetError::NoNamedPort {
        name,
        protocol: flow.protocol,
        port: wanted,
        ports: match named.is_empty() {
            true => "none".to_owned(),
            false => named.join(", "),
        },
    })
}

/// Writes the flow's destination as the simulator takes it; tells the service it goes by.
pub(super) fn destination(world: &World, flow: &mut Flow) -> Result<Option<Via>, TargetError> {
    match resolve(world, "to", &flow.to)? {
        Target::End(name) => {
            let address: Option<IpAddr> = name.parse().ok();
            flow.to = name;
            let by = |(address, port)| via(world, address, flow.protocol, port);
            Ok(address.zip(flow.port).and_then(by))
        }
        Target::Service(service) => named(world, flow, service),
    }
}

/// The service whose way an address and a port go; `None`: the address itself is the other end.
fn via(world: &World, address: IpAddr, protocol: Protocol, port: u16) -> Option<Via> {
    let (service, found) = world.service_at(address, protocol, port)?;
    Some(Via {
        shown: format!("{}/{}:{}", service.namespace, service.name, found.port),
        backends: found.backends_of(address.is_ipv6()).collect(),
    })
}

/// A service by its name, which is what a client sends as the host.
fn named(world: &World, flow: &mut Flow, service: &Service) -> Result<Option<Via>, TargetError> {
    let port = flow.port.filter(|port| *port != 80);
    let host = port.map_or(service.name.clone(), |port| {
        format!("{}:{port}", service.name)
    });
    if let Some(http) = &mut flow.http {
        http.host.get_or_insert(host);
    }
    let Some(address) = family(service, &flow.from) else {
        return Err(TargetError::NoService {
            field: "to",
            name: service.name.clone(),
        });
    };
    flow.to = address.to_string();
    let Some(port) = flow.port else {
        return Ok(None);
    };
    let name = format!("{}/{}", service.namespace, service.name);
    let protocol = flow.protocol;
    let mut ports = service.ports.iter();
    if !ports.any(|has| (has.protocol, has.port) == (protocol, port)) {
        let ports: Vec<String> = service
            .ports
            .iter()
            .map(|port| format!("{}/{}", port.protocol, port.port))
            .collect();
        return Err(TargetError::NoServicePort {
            name,
            protocol,
            port,
            ports: ports.join(", "),
        });
    }
    let found = via(world, address, protocol, port);
    found.map(Some).ok_or(TargetError::NoBackend {
        name,
        protocol,
        port,
    })
}

/// An address as people name it: its pod's name where it is a pod's.
pub(super) fn name_of(world: &World, address: IpAddr) -> String {
    world
        .pods
        .iter()
        .find(|pod| !pod.host_network && pod.addresses.contains(&address))
        .map_or_else(|| address.to_string(), |pod| pod.id().to_string())
}

/// The service's address of the client's family; any where the client is a pod.
fn family(service: &Service, from: &str) -> Option<IpAddr> {
    let wanted = from.parse::<IpAddr>().ok().map(|from| from.is_ipv6());
    service
        .addresses
        .iter()
        .copied()
        .find(|address| wanted.is_none_or(|v6| address.is_ipv6() == v6))
}

/// Name and namespace in a service's DNS name.
fn dns_name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.trim_end_matches('.').split_once('.')?;
    let (namespace, rest) = rest.split_once('.')?;
    (rest == "svc" || rest.starts_with("svc.")).then_some((name, namespace))
}

fn is_workload(word: &str) -> bool {
    matches!(
        word,
        "deploy"
            | "deployment"
            | "sts"
            | "statefulset"
            | "ds"
            | "daemonset"
            | "rs"
            | "replicaset"
            | "job"
            | "cj"
            | "cronjob"
    )
}

fn service<'a>(
    world: &'a World,
    field: &'static str,
    namespace: &str,
    name: &str,
) -> Result<Target<'a>, TargetError> {
    world
        .services
        .iter()
        .find(|service| service.namespace == namespace && service.name == name)
        .map(Target::Service)
        .ok_or_else(|| TargetError::NoService {
            field,
            name: format!("{namespace}/{name}"),
        })
}

/// The pod of this name, or else the first pod of the workload of this name.
fn pod<'a>(
    world: &'a World,
    field: &'static str,
    namespace: &str,
    name: &str,
    text: &str,
) -> Result<Target<'a>, TargetError> {
    let of_namespace = || world.pods.iter().filter(|pod| pod.namespace == namespace);
    let made = |pod: &&Pod| {
        pod.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    let found = of_namespace()
        .find(|pod| pod.name == name)
        .or_else(|| of_namespace().find(made));
    found
        .map(|pod| Target::End(pod.id().to_string()))
        .ok_or_else(|| TargetError::NoPod {
            field,
            name: text.to_owned(),
            candidates: world
                .pods
                .iter()
                .filter(|pod| pod.namespace == namespace || pod.name.starts_with(name))
                .map(|pod| pod.id().to_string())
                .take(5)
                .collect(),
        })
}

/// A node, by the first of its addresses.
fn node<'a>(
    world: &'a World,
    field: &'static str,
    name: &str,
    text: &str,
) -> Result<Target<'a>, TargetError> {
    let found = world.nodes.iter().find(|node| node.name == name);
    let address = found.and_then(|node| node.addresses.first());
    address
        .map(|address| Target::End(address.to_string()))
        .ok_or_else(|| TargetError::NoPod {
            field,
            name: text.to_owned(),
            candidates: (world.nodes.iter())
                .map(|node| format!("node/{}", node.name))
                .take(5)
                .collect(),
        })
}

fn known(candidates: &[String]) -> String {
    match candidates {
        [] => String::new(),
        some => format!(" (there is {})", some.join(", ")),
    }
}
