//! The meaning of policies, read off the objects one by one: no classes, no sets, no automata.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    compile::Verdict,
    model::{
        Action, Direction, Entity, HttpRule, L7, Labels, Node, Peer, Peers, Pod, Port, PortMatch,
        Protocol, Rule, Service, Tier, World, selector::Subject,
    },
    names::{Name, NamePattern},
};

use super::{HOST, SideFlow};

/// What a flow gets, and the L7 rules that decide on its requests.
pub fn judge<'a>(world: &'a World, node: &str, flow: SideFlow) -> (Verdict, Vec<&'a HttpRule>) {
    let in_force = judge_some(world, node, flow, false);
    if in_force.0 != Verdict::Allow {
        return in_force;
    }
    match judge_some(world, node, flow, true) {
        (Verdict::Deny, _) => (Verdict::Audit, Vec::new()),
        (Verdict::L7, rules) => (Verdict::L7Audit, rules),
        // Nothing is denied of what is only looked into, so nothing is reported as denied.
        _ if watched(world, node, flow) => (Verdict::L7Audit, vec![&EVERY]),
        _ => in_force,
    }
}

/// The endpoint of a flow.
fn own(world: &World, node: &str, flow: SideFlow) -> Pod {
    match flow.pod {
        HOST => Pod {
            name: node.to_owned(),
            labels: (world.nodes.iter())
                .find(|of| of.name == node)
                .map(|of| of.labels.clone())
                .unwrap_or_default(),
            ..Pod::default()
        },
        pod => world.pods[pod].clone(),
    }
}

/// Allows every request.
static EVERY: HttpRule = HttpRule {
    place: String::new(),
    method: None,
    path: None,
    host: None,
    headers: Vec::new(),
    header_rules: Vec::new(),
    get_body: true,
};

/// Whether somebody wants to look into a flow that passes: the pod, its namespace, or a rule about
/// what is said in a part of a policy that denies nothing by default.
fn watched(world: &World, node: &str, flow: SideFlow) -> bool {
    let pod = &own(world, node, flow);
    if contested(world, flow.peer) {
        return false;
    }
    let (tcp, udp) = (
        flow.protocol == Protocol::Tcp,
        flow.protocol == Protocol::Udp,
    );
    let of_namespace = world.namespaces.get(&pod.namespace);
    let asked = pod
        .visibility
        .or(of_namespace.map(|of| of.visibility))
        .unwrap_or_default();
    let query = flow.direction == Direction::Egress && flow.port == 53 && udp;
    if (asked.http && tcp) || (asked.dns && query) {
        return true;
    }
    let policies = world.policies.iter().filter(|policy| !policy.audit);
    let specs = policies.flat_map(|policy| &policy.specs);
    let selecting = specs.filter(|spec| spec.subject.matches(subject(world, pod)));
    let sections = selecting.map(|spec| spec.section(flow.direction));
    let rules = sections.filter(|of| !of.isolates).flat_map(|of| &of.rules);
    rules
        .filter(|rule| holds(world, node, pod, rule, flow))
        .any(|rule| match rule.l7 {
            Some(L7::Http(_) | L7::Tls(_)) => tcp,
            Some(L7::Dns(_)) => udp,
            None => false,
        })
}

/// The same as if policies in audit mode were in force, or as if they were not there.
fn judge_some<'a>(
    world: &'a World,
    node: &str,
    flow: SideFlow,
    audit: bool,
) -> (Verdict, Vec<&'a HttpRule>) {
    let pod = &own(world, node, flow);
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
        (false, false, Some(rules)) => (Verdict::L7, rules),
        (false, false, None) => (Verdict::Deny, Vec::new()),
    }
}

/// Whether one of these rules lets a request pass whose path has one reading. `body`: one follows.
pub fn request_allowed(
    rules: &[&HttpRule],
    method: &str,
    path: &str,
    host: Option<&str>,
    body: bool,
) -> bool {
    let strange = body && ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"].contains(&method);
    if host.is_none() && rules.iter().any(|rule| rule.host.is_some()) {
        return false;
    }
    let fits = |pattern: &Option<String>, value: &str| {
        pattern.as_ref().is_none_or(|pattern| {
            regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(value))
        })
    };
    rules.iter().any(|rule| {
        fits(&rule.method, method)
            && fits(&rule.path, path)
            && host.is_none_or(|host| fits(&rule.host, host))
            && (!strange || rule.get_body)
    })
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
        is_node: pod.is_node(),
    }
}

/// Who has an address: pods, and `None` for a node, or for nobody in the cluster.
fn owners(world: &World, address: IpAddr) -> Vec<Option<&Pod>> {
    let pods = world.pods.iter();
    let pods = pods.filter(|pod| !pod.host_network && pod.addresses.contains(&address));
    let mut owners: Vec<_> = pods.map(Some).collect();
    let mut nodes = world.nodes.iter();
    let has =
        |node: &Node| node.addresses.contains(&address) || node.prefixes.contains(&address.into());
    if owners.is_empty() || nodes.any(has) {
        owners.push(None);
    }
    owners
}

/// Whether a pod has an address that something else has too.
fn contested(world: &World, address: IpAddr) -> bool {
    let owners = owners(world, address);
    owners.len() > 1 || (is_front(world, address) && owners.iter().any(Option::is_some))
}

/// Whether a service has an address.
fn is_front(world: &World, address: IpAddr) -> bool {
    let mut services = world.services.iter();
    services.any(|s| s.addresses.contains(&address) || s.external.contains(&address))
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
    !is_front(world, address)
        && world.pods.iter().any(|pod| {
            world.names.get(&pod.id()).is_some_and(|answers| {
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
        let has = |n: &&Node| {
            n.addresses.contains(&address) || n.prefixes.iter().any(|p| p.contains(&address))
        };
        let nearest = address.is_loopback() || address == IpAddr::V4(Ipv4Addr::BROADCAST);
        pod.is_none()
            && (nearest && wanted(node, node)
                || world
                    .nodes
                    .iter()
                    .filter(has)
                    .any(|n| wanted(&n.name, node)))
    };
    let is_node = of_node(|_, _| true);
    let nobodys = pod.is_none() && !is_node;
    let ranges = world.nodes.iter().flat_map(|node| &node.pod_ranges);
    let in_range = ranges
        .chain(&world.pod_ranges)
        .any(|range| range.contains(&address));
    // Link-local: of somebody near, who has another address by which policies mean it.
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let outside = nobodys && !in_range && !link_local;
    // Of some pod, and nobody knows which: it may be one that is denied.
    let unknown = nobodys && !outside;
    let told_by_address = !(nobodys && link_local);
    peers.iter().any(|peer| match peer {
        Peer::Pods(_) if unknown => rule.action == Action::Deny,
        Peer::Pods(selector) => pod.is_some_and(|pod| selector.matches(subject(world, pod))),
        Peer::Cidr {
            cidr,
            except,
            cluster_too,
        } => {
            (*cluster_too || outside)
                && told_by_address
                && cidr.contains(&address)
                && !except.iter().any(|part| part.contains(&address))
        }
        // Its prefixes stand beside it.
        Peer::CidrGroup(_) => false,
        Peer::Nodes(selector) => {
            let other = is_node && !of_node(|name, own| name == own);
            let mut owners = world.nodes.iter().filter(|node| {
                node.addresses.contains(&address)
                    || node.prefixes.iter().any(|p| p.contains(&address))
            });
            other && owners.all(|node| selector.matches_labels(&node.labels))
        }
        Peer::Name(pattern) => outside && answered(world, own, pattern, address),
        Peer::Service(selector) => {
            told_by_address && behind(world, address, |service| selector.matches(service))
        }
        Peer::Entity(entity) => match entity {
            Entity::All => true,
            Entity::World => outside,
            Entity::WorldIpv4 => outside && address.is_ipv4(),
            Entity::WorldIpv6 => outside && address.is_ipv6(),
            Entity::Cluster if unknown => rule.action == Action::Deny,
            Entity::Cluster if nobodys => outside && behind(world, address, apiserver),
            Entity::Cluster => true,
            Entity::KubeApiserver => told_by_address && behind(world, address, apiserver),
            Entity::Host => of_node(|name, own| name == own),
            Entity::RemoteNode => is_node && !of_node(|name, own| name == own),
        },
    })
}

/// Where a flow from a pod to an address and a TCP port really goes; empty: there.
pub fn backends(world: &World, address: IpAddr, port: u16) -> Vec<(IpAddr, u16)> {
    let node = world.nodes.iter().any(|node| {
        node.addresses.contains(&address) || node.prefixes.iter().any(|p| p.contains(&address))
    });
    let mut ways = [Vec::new(), Vec::new(), Vec::new()];
    for service in &world.services {
        for of in &service.ports {
            let mut leads = of.backends.clone();
            leads.retain(|(backend, _)| backend.is_ipv4() == address.is_ipv4());
            let family = service
                .addresses
                .iter()
                .any(|a| a.is_ipv4() == address.is_ipv4());
            if leads.is_empty() {
                continue;
            }
            if of.port == port && service.addresses.contains(&address) {
                ways[0].push(leads.clone());
            }
            if of.port == port && service.external.contains(&address) {
                ways[1].push(leads.clone());
            }
            let on_node = (node || address.is_loopback())
                && owners(world, address).iter().all(Option::is_none);
            if on_node && family && of.node_port == Some(port) {
                ways[2].push(leads);
            }
        }
    }
    ways.into_iter().flatten().next().unwrap_or_default()
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
