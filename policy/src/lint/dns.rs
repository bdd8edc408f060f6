//! Egress that is limited and leaves DNS out.

use super::{
    Report,
    context::{Context, matches},
    registry::NO_DNS,
};
use crate::model::{
    Action, Entity, L7, Labels, Peer, Peers, Pod, Policy, PolicySpec, Port, Protocol, Rule, World,
    selector::Subject,
};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    for spec in &context.policy.specs {
        // Who allows nothing at all means it so.
        let allows = spec.egress.rules.iter().any(|r| r.action == Action::Allow);
        if !spec.egress.isolates || !allows {
            continue;
        }
        let pods = context.selected(&spec.subject);
        let lacking = match pods.is_empty() {
            true => (!section_allows(context, spec)).then(|| "its pods".to_owned()),
            false => pods
                .iter()
                .find(|pod| !pod_allows(context, pod))
                .map(|pod| pod.id().to_string()),
        };
        let Some(lacking) = lacking else { continue };
        let place = spec
            .egress
            .rules
            .first()
            .map_or("spec.egress", |r| &r.place);
        let field = place.split('[').next().unwrap_or(place);
        report.add(
            &NO_DNS,
            field,
            format!(
                "egress of {lacking} is limited, and no policy allows DNS: names do not resolve"
            ),
            "allow UDP and TCP port 53 to the pods `k8s-app: kube-dns` of namespace `kube-system`",
        );
    }
}

fn section_allows(context: &Context<'_>, spec: &PolicySpec) -> bool {
    let mut rules = spec.egress.rules.iter();
    rules.any(|rule| allows_dns(context.world(), rule))
}

/// Whether any policy of the world lets this pod ask.
fn pod_allows(context: &Context<'_>, pod: &Pod) -> bool {
    let world = context.world();
    let own = std::iter::once(context.policy);
    let selecting = |policy: &Policy| {
        policy
            .specs
            .iter()
            .filter(|spec| matches(world, &spec.subject, pod))
            .any(|spec| section_allows(context, spec))
    };
    world.policies.iter().chain(own).any(selecting)
}

fn allows_dns(world: &World, rule: &Rule) -> bool {
    if rule.action != Action::Allow || !matches!(rule.l7, None | Some(L7::Dns(_))) {
        return false;
    }
    let explicit = rule.ports.iter().any(|port| {
        port.protocol == Protocol::Udp
            && match &port.port {
                Port::All => false,
                Port::Range(first, last) => (*first..=*last).contains(&53),
                Port::Named(name) => name.contains("dns") || name.contains("domain"),
            }
    });
    if explicit {
        return true;
    }
    let every_port = rule.ports.is_empty()
        || rule
            .ports
            .iter()
            .any(|port| port.protocol == Protocol::Udp && port.port == Port::All);
    every_port && reaches_dns(world, &rule.peers)
}

/// Whether the cluster's DNS is among the peers: the pods of that label, or where the manifests
/// have none, those that a cluster has.
fn reaches_dns(world: &World, peers: &Peers) -> bool {
    let Peers::OneOf(peers) = peers else {
        return true;
    };
    let is_dns = |pod: &&Pod| {
        pod.labels
            .get("k8s-app")
            .is_some_and(|app| app == "kube-dns")
    };
    let servers: Vec<&Pod> = world.pods.iter().filter(is_dns).collect();
    let label = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
    let labels = label("k8s-app", "kube-dns");
    let namespace_labels = label("kubernetes.io/metadata.name", "kube-system");
    let usual = Subject {
        namespace: "kube-system",
        namespace_labels: &namespace_labels,
        labels: &labels,
        service_account: "coredns",
        cluster: world.cluster.as_str(),
    };
    peers.iter().any(|peer| {
        if let Peer::Pods(selector) = peer {
            return match servers.as_slice() {
                [] => selector.matches(usual),
                servers => servers.iter().any(|pod| matches(world, selector, pod)),
            };
        }
        if let Peer::Cidr { cidr, .. } = peer {
            return cidr.prefix_len() == 0;
        }
        matches!(peer, Peer::Entity(Entity::All | Entity::Cluster))
    })
}
