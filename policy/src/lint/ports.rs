//! Ports that no selected pod has.

use serde_json::Value;

use super::{
    Report,
    context::{Context, RuleIn},
    registry::{PORT_NOT_EXPOSED, SERVICE_PORT},
};
use crate::model::{ContainerPort, Direction, Peer, Peers, Pod, Port, PortMatch, Protocol};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    for rule in context.rules() {
        let Some(destinations) = destinations(context, rule) else {
            continue;
        };
        for (index, port) in rule.rule.ports.iter().enumerate() {
            // A Cilium port without a protocol is three; they are one mistake.
            let before = rule.rule.ports.iter().take(index);
            if !before.clone().any(|other| other.port == port.port) {
                one(context, rule, &destinations, port, report);
            }
        }
    }
}

/// The pods that a rule's ports are of; `None` where they may be no pods of the manifests.
fn destinations<'a>(context: &Context<'a>, rule: RuleIn<'_>) -> Option<Vec<&'a Pod>> {
    if rule.direction == Direction::Ingress {
        return rule
            .spec
            .subject
            .pods()
            .map(|_| context.subjects(rule.spec));
    }
    let Peers::OneOf(peers) = &rule.rule.peers else {
        return None;
    };
    let mut pods = Vec::new();
    for peer in peers {
        let Peer::Pods(selector) = peer else {
            return None;
        };
        if !context.knows(selector) {
            return None;
        }
        pods.extend(context.selected(selector));
    }
    Some(pods)
}

fn one(
    context: &Context<'_>,
    rule: RuleIn<'_>,
    destinations: &[&Pod],
    port: &PortMatch,
    report: &mut Report,
) {
    if matches!(port.protocol, Protocol::Icmp | Protocol::Icmpv6) {
        return;
    }
    // A pod that tells no ports may listen on any; ranges are wide on purpose.
    let telling: Vec<&&Pod> = destinations
        .iter()
        .filter(|p| !p.ports.is_empty())
        .collect();
    if telling.is_empty() {
        return;
    }
    let same = rule
        .rule
        .ports
        .iter()
        .filter(|other| other.port == port.port);
    let protocols: Vec<Protocol> = same.map(|other| other.protocol).collect();
    let exposed = |fits: &dyn Fn(&ContainerPort) -> bool| {
        telling
            .iter()
            .flat_map(|pod| &pod.ports)
            .any(|given| protocols.contains(&given.protocol) && fits(given))
    };
    let (shown, found) = match &port.port {
        Port::Range(number, last) if number == last => {
            (number.to_string(), exposed(&|given| given.port == *number))
        }
        Port::Named(name) => (name.clone(), exposed(&|given| given.name == *name)),
        _ => return,
    };
    if found {
        return;
    }
    let field = field(context, rule, &shown);
    if let Port::Range(number, _) = &port.port
        && let Some((service, target)) = behind(context, destinations, *number)
    {
        report.add(
            &SERVICE_PORT,
            field,
            format!(
                "{number} is the port of service {service}; policies mean the pod's own, {target}"
            ),
            format!("write {target}"),
        );
        return;
    }
    let listed: Vec<String> = telling
        .iter()
        .flat_map(|pod| &pod.ports)
        .map(|given| match given.name.as_str() {
            "" => format!("{}/{}", given.protocol, given.port),
            name => format!("{}/{} ({name})", given.protocol, given.port),
        })
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .take(5)
        .collect();
    report.add(
        &PORT_NOT_EXPOSED,
        field,
        format!(
            "no pod that it is about exposes {}/{shown}; they expose {}",
            protocols
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("/"),
            listed.join(", ")
        ),
        "write the pod's own port, or add it to the pod's `containerPort`s",
    );
}

/// The service with this port that leads to one of the pods on another, and that other.
fn behind(context: &Context<'_>, destinations: &[&Pod], number: u16) -> Option<(String, u16)> {
    let addresses: Vec<_> = destinations.iter().flat_map(|pod| &pod.addresses).collect();
    context.world().services.iter().find_map(|service| {
        let ports = service.ports.iter().filter(|port| port.port == number);
        let (_, target) = ports
            .flat_map(|port| &port.backends)
            .find(|(address, target)| *target != number && addresses.contains(&address))?;
        Some((format!("{}/{}", service.namespace, service.name), *target))
    })
}

/// The field of a port as it is written.
pub(super) fn field(context: &Context<'_>, rule: RuleIn<'_>, shown: &str) -> String {
    let list = format!("{}.ports", rule.rule.place);
    let items = context.at(&list).and_then(Value::as_array);
    let is = |item: &Value| match item.get("port") {
        Some(Value::String(text)) => text.eq_ignore_ascii_case(shown),
        Some(Value::Number(number)) => number.to_string() == shown,
        _ => false,
    };
    match items.and_then(|items| items.iter().position(is)) {
        Some(index) => format!("{list}[{index}].port"),
        None => rule.rule.place.clone(),
    }
}
