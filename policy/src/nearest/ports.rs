//! Why a port is none of a rule's ports.

use super::miss::{Miss, MissKind, View};
use crate::model::{Direction, Pod, Port, PortMatch, Protocol, ServicePort};

/// What does not fit; `None` where some port does.
pub(super) fn miss(view: &View<'_>, ports: &[PortMatch]) -> Option<Miss> {
    if ports.is_empty() || ports.iter().any(|port| fits(view, port)) {
        return None;
    }
    let listed: Vec<String> = ports.iter().map(shown).collect();
    let listed = listed.join(", ");
    let icmp = matches!(view.protocol, Protocol::Icmp | Protocol::Icmpv6);
    if icmp && !ports.iter().any(|port| port.protocol == view.protocol) {
        let text = format!(
            "the rule allows {listed}, and {} has no ports",
            view.protocol
        );
        return Some(Miss::new(MissKind::Protocol, text));
    }
    if !ports.iter().any(|port| port.protocol == view.protocol) {
        let text = format!("the flow is {}, the rule allows {listed}", view.protocol);
        return Some(Miss::new(MissKind::Protocol, text));
    }
    let text = format!("{}/{} is not among {listed}", view.protocol, view.port);
    let miss = Miss::new(MissKind::Port, text);
    let hint = named(view, ports).or_else(|| of_service(view, ports));
    Some(match hint {
        Some(hint) => miss.hint(hint),
        None => miss,
    })
}

fn fits(view: &View<'_>, port: &PortMatch) -> bool {
    port.protocol == view.protocol
        && match &port.port {
            Port::All => true,
            Port::Range(first, last) => (*first..=*last).contains(&view.port),
            Port::Named(name) => number(view, name, port.protocol) == Some(view.port),
        }
}

fn destination<'a>(view: &View<'a>) -> Option<&'a Pod> {
    match view.direction {
        Direction::Ingress => Some(view.own),
        Direction::Egress => view.peer.filter(|pod| !pod.host_network),
    }
}

fn number(view: &View<'_>, name: &str, protocol: Protocol) -> Option<u16> {
    let ports = &destination(view)?.ports;
    ports
        .iter()
        .find(|port| port.name == name && port.protocol == protocol)
        .map(|port| port.port)
}

/// A named port that the destination lacks or has elsewhere.
fn named(view: &View<'_>, ports: &[PortMatch]) -> Option<String> {
    ports.iter().find_map(|port| {
        let Port::Named(name) = &port.port else {
            return None;
        };
        let whose = destination(view)
            .map_or_else(|| view.destination.to_string(), |pod| pod.id().to_string());
        Some(match number(view, name, port.protocol) {
            Some(number) => format!("port `{name}` of {whose} is {number}"),
            None => format!("{whose} has no {} port named `{name}`", port.protocol),
        })
    })
}

/// A service's port where the endpoint's own is meant, in the rule or in the flow.
fn of_service(view: &View<'_>, ports: &[PortMatch]) -> Option<String> {
    let leads = |port: &ServicePort, number: u16| {
        port.protocol == view.protocol && port.backends.contains(&(view.destination, number))
    };
    for service in &view.world.services {
        let name = format!("{}/{}", service.namespace, service.name);
        for port in &service.ports {
            let in_rule = ports.iter().any(|candidate| {
                candidate.protocol == view.protocol
                    && matches!(candidate.port, Port::Range(first, last) if (first..=last).contains(&port.port))
            });
            if in_rule && leads(port, view.port) {
                return Some(format!(
                    "{} is the port of service {name}; policies mean the pod's own, {}",
                    port.port, view.port
                ));
            }
            let behind = port
                .backends
                .iter()
                .find(|(address, number)| *address == view.destination && *number != view.port);
            if let (true, Some((_, number))) = (port.port == view.port, behind) {
                return Some(format!(
                    "{} is the port of service {name}; the pod's own is {number}",
                    view.port
                ));
            }
        }
    }
    None
}

fn shown(port: &PortMatch) -> String {
    let number = match &port.port {
        Port::All => "any port".to_owned(),
        Port::Range(first, last) if first == last => first.to_string(),
        Port::Range(first, last) => format!("{first}-{last}"),
        Port::Named(name) => format!("`{name}`"),
    };
    format!("{}/{number}", port.protocol)
}
