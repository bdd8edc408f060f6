//! The meaning of policies, read off the objects one by one: no classes, no sets, no automata.

use std::net::IpAddr;

use crate::{
    compile::Verdict,
    model::{
        Action, Direction, Entity, HttpRule, L7, Labels, Peer, Peers, Pod, Port, PortMatch,
        Protocol, Rule, Service, Tier, World, selector::Subject,
    },
    names::{Name, NamePattern},
};

use super::SideFlow;

/// What a flow gets, and the HTTP rules that decide on its requests.
pub fn judge<'a>(world: &'a World, node: &str, flow: SideFlow) -> (Verdict, Vec<&'a HttpRule>) {
    let in_force = judge_some(world, node, flow, false);
    if in_force.0 != Verdict::Allow {
        return in_force;
    }
    match judge_some(world, node, flow, true) {
        (Verdict::Deny, _) => (Verdict::Audit, Vec::new()),
        (Verdict::Http, rules) => (Verdict::HttpAudit, rules),
        _ => in_force,
    }
}

/// The same as if policies in audit mode were in force, or as if they were not there.
fn judge_some<'a>(
    world: &'a World,
    node: &str,
    flow: SideFlow,
    audit: bool,
) -> (Verdict, Vec<&'a HttpRule>) {
    let pod = &world.pods[flow.pod];
    let mut isolated = false;
    let mut denied = false;
    let mut allowed = false;
    let mut http: Option<Vec<&HttpRule>> = None;
    let policies = world.policies.iter().filter(|p| audit || !p.audit);
    let specs: Vec<_> = policies.flat_map(|policy| &policy.specs).collect();
    let ordered = |wanted: fn(Tier) -> bool| -> Option<Verdict> {
        let mut rules = Vec::new();
        for spec in specs.iter().filter(|spec| wanted(spec.tier)) {
            if spec.subject.matches(subject(world, pod)) {
                let section = spec.section(flow.direction);
                rules.extend(section.rules.iter().map(|rule| (spec.tier, rule)));
            }
        }
        rules.sort_by_key(|(tier, _)| *tier);
        let first = rules
            .into_iter()
            .find(|(_, rule)| holds(world, node, pod, rule, flow))?;
        match first.1.action {
            Action::Allow => Some(Verdict::Allow),
            Action::Deny => Some(Verdict::Deny),
            Action::Pass => None,
        }
    };
    if let Some(verdict) = ordered(|tier| matches!(tier, Tier::Admin(_))) {
        return (verdict, Vec::new());
    }
    for spec in specs.iter().filter(|spec| spec.tier == Tier::Normal) {
        if !spec.subject.matches(subject(world, pod)) {
            continue;
        }
        let section = spec.section(flow.direction);
        isolated |= section.isolates;
        for rule in &section.rules {
            if !holds(world, node, pod, rule, flow) {
                continue;
            }
            let (tcp, udp) = (
                flow.protocol == Protocol::Tcp,
                flow.protocol == Protocol::Udp,
            );
            match (rule.action, &rule.l7) {
                (Action::Deny, _) => denied = true,
                (Action::Pass, _) => {}
                (Action::Allow, None) => allowed = true,
                (Action::Allow, Some(L7::Http(rules))) if tcp => {
                    http.get_or_insert_default().extend(rules);
                }
                (Action::Allow, Some(L7::Tls(_))) if tcp => {
                    http.get_or_insert_default();
                }
                (Action::Allow, Some(L7::Dns(_))) if tcp || udp => {
                    http.get_or_insert_default();
                }
                (Action::Allow, Some(_)) => {}
            }
        }
    }
    if !denied && !allowed && !isolated {
        let baseline = ordered(|tier| matches!(tier, Tier::Baseline(_)));
        return (baseline.unwrap_or(Verdict::Allow), Vec::new());
    }
    match (denied, allowed, http) {
        (true, _, _) => (Verdict::Deny, Vec::new()),
        (false, true, _) => (Verdict::Allow, Vec::new()),
        (false, false, Some(rules)) => (Verdict::Http, rules),
        (false, false, None) => (Verdict::Deny, Vec::new()),
    }
}

/// Whether one of these rules lets a request pass.
pub fn request_allowed(rules: &[&HttpRule], method: &str, path: &str, host: &str) -> bool {
    let fits = |pattern: &Option<String>, value: &str| {
        pattern.as_ref().is_none_or(|pattern| {
            regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(value))
        })
    };
    rules
        .iter()
        .any(|rule| fits(&rule.method, method) && fits(&rule.path, path) && fits(&rule.host, host))
}

fn subject<'a>(world: &'a World, pod: &'a Pod) -> Subject<'a> {
    static NONE: Labels = Labels::new();
    Subject {
        namespace: &pod.namespace,
        namespace_labels: world
            .namespaces
            .get(&pod.namespace)
            .map_or(&NONE, |n| &n.labels),
        labels: &pod.labels,
        service_account: &pod.service_account,
        cluster: world.cluster.as_str(),
    }
}

/// Who has an address: pods, and `None` for a node, or for nobody in the cluster.
fn owners(world: &World, address: IpAddr) -> Vec<Option<&Pod>> {
    let pods = world.pods.iter();
    let pods = pods.filter(|pod| !pod.host_network && pod.addresses.contains(&address));
    let mut owners: Vec<_> = pods.map(Some).collect();
    let mut nodes = world.nodes.iter();
    if owners.is_empty() || nodes.any(|node| node.addresses.contains(&address)) {
        owners.push(None);
    }
    owners
}

/// Whether a pod has an address that something else has too.
fn contested(world: &World, address: IpAddr) -> bool {
    let owners = owners(world, address);
    let mut services = world.services.iter();
    let is_virtual = services.any(|service| service.addresses.contains(&address));
    owners.len() > 1 || (is_virtual && owners.iter().any(Option::is_some))
}

/// Whether a rule holds for a flow. One that does not deny never does where nobody knows whose the
/// address is.
fn holds(world: &World, node: &str, pod: &Pod, rule: &Rule, flow: SideFlow) -> bool {
    (rule.action == Action::Deny || !contested(world, flow.peer))
        && owners(world, flow.peer)
            .into_iter()
            .any(|owner| peers(world, node, pod, rule, flow.peer, owner))
        && ports(world, pod, rule, flow)
}

/// What the pods that the same policies select as this one have got for such a name.
fn answered(world: &World, own: &Pod, pattern: &NamePattern, address: IpAddr) -> bool {
    let selecting = |pod: &Pod| -> Vec<bool> {
        let specs = world.policies.iter().flat_map(|policy| &policy.specs);
        let subject = subject(world, pod);
        specs.map(|spec| spec.subject.matches(subject)).collect()
    };
    let own = selecting(own);
    world.pods.iter().any(|pod| {
        world.names.get(&pod.full_name()).is_some_and(|answers| {
            !pod.host_network
                && selecting(pod) == own
                && answers.iter().any(|(name, found)| {
                    found.contains(&address)
                        && Name::parse(name).is_some_and(|name| pattern.matches(&name))
                })
        })
    })
}

fn peers(
    world: &World,
    node: &str,
    own: &Pod,
    rule: &Rule,
    address: IpAddr,
    pod: Option<&Pod>,
) -> bool {
    let Peers::OneOf(peers) = &rule.peers else {
        return true;
    };
    let of_node = |wanted: fn(&str, &str) -> bool| {
        pod.is_none()
            && world
                .nodes
                .iter()
                .any(|n| n.addresses.contains(&address) && wanted(&n.name, node))
    };
    let is_node = of_node(|_, _| true);
    let in_cluster = pod.is_some() || is_node;
    peers.iter().any(|peer| match peer {
        Peer::Pods(selector) => pod.is_some_and(|pod| selector.matches(subject(world, pod))),
        Peer::Cidr {
            cidr,
            except,
            cluster_too,
        } => {
            (*cluster_too || !in_cluster)
                && cidr.contains(&address)
                && !except.iter().any(|part| part.contains(&address))
        }
        Peer::Name(pattern) => !in_cluster && answered(world, own, pattern, address),
        Peer::Service(selector) => behind(world, address, |service| selector.matches(service)),
        Peer::Entity(entity) => match entity {
            Entity::All => true,
            Entity::World => !in_cluster,
            Entity::WorldIpv4 => !in_cluster && address.is_ipv4(),
            Entity::WorldIpv6 => !in_cluster && address.is_ipv6(),
            Entity::Cluster => in_cluster || behind(world, address, apiserver),
            Entity::KubeApiserver => behind(world, address, apiserver),
            Entity::Host => of_node(|name, own| name == own),
            Entity::RemoteNode => is_node && !of_node(|name, own| name == own),
        },
    })
}

fn apiserver(service: &Service) -> bool {
    (service.namespace.as_str(), service.name.as_str()) == ("default", "kubernetes")
}

/// Whether an address is a backend of such a service.
fn behind(world: &World, address: IpAddr, wanted: impl Fn(&Service) -> bool) -> bool {
    world
        .services
        .iter()
        .filter(|service| wanted(service))
        .flat_map(|service| &service.ports)
        .any(|port| port.backends.iter().any(|(backend, _)| *backend == address))
}

fn ports(world: &World, pod: &Pod, rule: &Rule, flow: SideFlow) -> bool {
    let destinations = match flow.direction {
        Direction::Ingress => vec![Some(pod)],
        Direction::Egress => owners(world, flow.peer),
    };
    let fits = |port: &PortMatch| {
        port.protocol == flow.protocol
            && match &port.port {
                Port::All => true,
                Port::Range(first, last) => (*first..=*last).contains(&flow.port),
                Port::Named(name) => destinations.iter().flatten().any(|pod| {
                    pod.ports
                        .iter()
                        .find(|candidate| {
                            candidate.name == *name && candidate.protocol == port.protocol
                        })
                        .is_some_and(|candidate| candidate.port == flow.port)
                }),
            }
    };
    rule.ports.is_empty() || rule.ports.iter().any(fits)
}
