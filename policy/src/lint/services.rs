//! Services in place of what is behind them: rules are asked after a service was translated.

use ipnet::IpNet;

use super::{
    Report,
    context::{Context, RuleIn},
    ports,
    registry::{APISERVER_PORT, SERVICE_ADDRESS},
};
use crate::model::{Direction, Entity, Peer, Peers, Port, Service};

/// The port of the service `default/kubernetes`.
const SERVICE: u16 = 443;
/// What API servers listen on themselves, most often.
const USUAL: u16 = 6443;
/// Prefixes that are shorter are networks in which there happen to be services.
const SHORTEST_V4: u8 = 12;
const SHORTEST_V6: u8 = 64;

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    for rule in context.rules() {
        if rule.direction != Direction::Egress {
            continue;
        }
        apiserver(context, rule, report);
        for (field, peer) in context.each_peer(rule.rule) {
            if let Peer::Cidr { cidr, .. } = peer {
                prefix(context, field, peer, cidr, report);
            }
        }
    }
}

fn apiserver(context: &Context<'_>, rule: RuleIn<'_>, report: &mut Report) {
    let Peers::OneOf(peers) = &rule.rule.peers else {
        return;
    };
    let opens = |number: u16| {
        let mut ports = rule.rule.ports.iter();
        ports.any(|port| match &port.port {
            Port::All => true,
            Port::Range(first, last) => (*first..=*last).contains(&number),
            Port::Named(_) => false,
        })
    };
    if !peers.contains(&Peer::Entity(Entity::KubeApiserver)) || !opens(SERVICE) {
        return;
    }
    let services = context.world().services.iter();
    let behind = services.filter(|service| service.is_apiserver());
    let behind = behind.flat_map(|service| &service.ports);
    let known: Vec<u16> = behind
        .flat_map(|port| &port.backends)
        .map(|(_, port)| *port)
        .collect();
    let (right, why) = match known.first() {
        _ if known.iter().any(|port| opens(*port)) => return,
        Some(port) => (*port, format!("the API server listens on {port}")),
        None if opens(USUAL) => return,
        None => (
            USUAL,
            format!("most API servers listen on {USUAL} themselves"),
        ),
    };
    report.add(
        &APISERVER_PORT,
        ports::field(context, rule, &SERVICE.to_string()),
        format!("{SERVICE} is the port of the service `kubernetes`, and rules mean what is behind it: {why}"),
        format!("write {right}"),
    );
}

fn prefix(context: &Context<'_>, field: String, peer: &Peer, cidr: &IpNet, report: &mut Report) {
    let shortest = match cidr {
        IpNet::V4(_) => SHORTEST_V4,
        IpNet::V6(_) => SHORTEST_V6,
    };
    let input = context.input;
    // One that has pods, too, means these.
    let pods = input.pod_addresses.iter().any(|pod| peer.contains(*pod));
    if cidr.prefix_len() < shortest || pods {
        return;
    }
    let of = |service: &&Service| {
        let mut fronts = service.fronts();
        fronts.any(|front| input.service_addresses.contains(&front) && peer.contains(front))
    };
    let Some(service) = context.world().services.iter().find(of) else {
        return;
    };
    let verb = match cidr.prefix_len() == cidr.max_prefix_len() {
        true => "is the address",
        false => "has the address",
    };
    report.add(
        &SERVICE_ADDRESS,
        field,
        format!(
            "`{cidr}` {verb} of service {}/{}, and rules are asked about the pods behind it: it matches none of them",
            service.namespace, service.name
        ),
        "name the pods by label, or the service by `toServices` in a CiliumNetworkPolicy",
    );
}
