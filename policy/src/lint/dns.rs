//! Egress that is limited and leaves DNS out.

mod servers;

use super::{
    Report,
    context::{Context, selects},
    registry::NO_DNS,
};
use crate::model::{Action, L7, Pod, Policy, PolicySpec, Port, Protocol, Rule};

use servers::{Reach, SERVERS, Servers};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    for spec in &context.policy.specs {
        // Who allows nothing at all means it so.
        let allows = spec.egress.rules.iter().any(|r| r.action == Action::Allow);
        // A node asks whom its administrator chose.
        let nodes = spec.subject.pods().is_none();
        if !spec.egress.isolates || !allows || nodes {
            continue;
        }
        let pods = context.subjects(spec);
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
            "allow UDP and TCP port 53 to the pods `k8s-app: kube-dns` of namespace `kube-system` \
             (OpenShift: port 5353 of namespace `openshift-dns`); they have no prefix, and rules \
             never see the service's address",
        );
    }
}

fn section_allows(context: &Context<'_>, spec: &PolicySpec) -> bool {
    let mut rules = spec.egress.rules.iter();
    rules.any(|rule| allows_dns(context, rule))
}

/// Whether any policy of the world lets this pod ask.
fn pod_allows(context: &Context<'_>, pod: &Pod) -> bool {
    let world = context.world();
    let own = std::iter::once(context.policy);
    let selecting = |policy: &Policy| {
        policy
            .specs
            .iter()
            .filter(|spec| selects(world, spec, pod))
            .any(|spec| section_allows(context, spec))
    };
    world.policies.iter().chain(own).any(selecting)
}

fn allows_dns(context: &Context<'_>, rule: &Rule) -> bool {
    if rule.action != Action::Allow || !matches!(rule.l7, None | Some(L7::Dns(_))) {
        return false;
    }
    SERVERS.iter().any(|servers| {
        let reach = opens(rule, servers);
        reach.is_some_and(|reach| servers.among(context, &rule.peers, reach))
    })
}

/// Whether the rule opens the servers' port, and how it says so.
fn opens(rule: &Rule, servers: &Servers) -> Option<Reach> {
    let udp = || {
        rule.ports
            .iter()
            .filter(|port| port.protocol == Protocol::Udp)
    };
    let named = udp().any(|port| match &port.port {
        Port::All => false,
        Port::Range(first, last) => (*first..=*last).contains(&servers.port),
        Port::Named(name) => name.contains("dns") || name.contains("domain"),
    });
    let every = rule.ports.is_empty() || udp().any(|port| port.port == Port::All);
    match (named, every) {
        (true, _) => Some(Reach::Port),
        (false, true) => Some(Reach::Everything),
        (false, false) => None,
    }
}
