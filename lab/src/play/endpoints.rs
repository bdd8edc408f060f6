//! The ready pods behind each service port.

use std::net::IpAddr;

use super::image::{Asked, containers};
use super::pods::PodPlan;
use super::service::{ServicePlan, ServicePort, Target};

/// A pod with the addresses it has.
#[derive(Debug, Clone)]
pub struct Ready<'a> {
    pub plan: &'a PodPlan,
    pub addresses: &'a [IpAddr],
}

/// One backend of a service port.
#[derive(Debug, Clone)]
pub struct Backend {
    pub address: IpAddr,
    pub port: u16,
}

/// The pods that a service selects. A service without selector selects none: somebody else says
/// where it leads.
pub fn selected<'a>(service: &ServicePlan, pods: &'a [Ready<'a>]) -> Vec<&'a Ready<'a>> {
    pods.iter()
        .filter(|pod| selects(service, pod.plan))
        .collect()
}

fn selects(service: &ServicePlan, pod: &PodPlan) -> bool {
    let mut selector = service.selector.iter();
    !service.selector.is_empty()
        && pod.namespace == service.namespace
        && selector.all(|(key, value)| pod.labels.get(key) == Some(value))
}

/// The ports that services ask of a pod. A name is no port where no container says what it means.
pub fn asked(pod: &PodPlan, services: &[ServicePlan]) -> Asked {
    let mut asked = Asked::default();
    for service in services.iter().filter(|service| selects(service, pod)) {
        for port in &service.ports {
            let Target::Number(number) = port.target else {
                continue;
            };
            match port.protocol.as_str() {
                "UDP" => asked.udp.insert(number),
                "SCTP" => asked.sctp.insert(number),
                _ => asked.tcp.insert(number),
            };
        }
    }
    asked
}

/// The backends of one port in one family.
pub fn backends(
    service: &ServicePlan,
    port: &ServicePort,
    v6: bool,
    pods: &[Ready<'_>],
) -> Vec<Backend> {
    selected(service, pods)
        .into_iter()
        .filter_map(|pod| {
            Some(Backend {
                address: *pod.addresses.iter().find(|a| a.is_ipv6() == v6)?,
                port: pod_port(pod.plan, port)?,
            })
        })
        .collect()
}

/// The port of a pod that a service port means; `None` when the pod has no port of that name.
pub fn pod_port(pod: &PodPlan, port: &ServicePort) -> Option<u16> {
    match &port.target {
        Target::Number(number) => Some(*number),
        Target::Name(name) => containers(&pod.spec)
            .flat_map(|container| container.ports.iter().flatten())
            .find(|candidate| {
                candidate.name.as_ref() == Some(name)
                    && candidate.protocol.as_deref().unwrap_or("TCP") == port.protocol
            })
            .and_then(|found| u16::try_from(found.container_port).ok()),
    }
}
