//! Why the other end is none of a rule's peers.

use std::{collections::BTreeSet, net::IpAddr};

use super::miss::{Miss, MissKind, View, distance};
use crate::{
    compile::subject,
    model::{
        Entity, Key, Labels, NamespaceScope, ObjectRef, Operator, Peer, Peers, Place, Pod,
        PodSelector, PolicyKind, Requirement, Selector, WhichGroups, WhichServices,
        place::LINK_LOCAL,
    },
    names::Name,
};

/// What the nearest peer lacks; empty where one fits.
pub(super) fn misses(view: &View<'_>, object: &ObjectRef, peers: &Peers) -> Vec<Miss> {
    let Peers::OneOf(peers) = peers else {
        return Vec::new();
    };
    peers
        .iter()
        .map(|peer| of_peer(view, object, peer))
        .min_by_key(|misses| distance(misses))
        .unwrap_or_else(|| vec![Miss::new(MissKind::Peer, "the rule names nobody")])
}

fn of_peer(view: &View<'_>, object: &ObjectRef, peer: &Peer) -> Vec<Miss> {
    if let Peer::Pods(selector) = peer {
        return match pod(view) {
            Some(pod) => of_pods(view, object, selector, pod),
            None => vec![Miss::new(
                MissKind::Peer,
                format!(
                    "the rule means pods, and {} is {}",
                    view.address,
                    what(view, false)
                ),
            )],
        };
    }
    if let Peer::Cidr {
        cidr,
        except,
        cluster_too,
    } = peer
    {
        let text = if !cidr.contains(&view.address) {
            format!("`{}` is not in `{cidr}`", view.address)
        } else if let Some(part) = except.iter().find(|part| part.contains(&view.address)) {
            format!("`{}` is in `{part}`, an `except` of `{cidr}`", view.address)
        } else if is_nameless(view) {
            format!("`{}` is {}", view.address, what(view, false))
        } else if !cluster_too && !is_outside(view) {
            let text = format!(
                "`{}` is {}, and a CIDR of a Cilium policy never means pods or nodes",
                view.address,
                what(view, false)
            );
            return vec![
                Miss::new(MissKind::Cidr, text)
                    .hint("use `fromEndpoints`, `toEndpoints` or an entity"),
            ];
        } else {
            return Vec::new();
        };
        return vec![Miss::new(MissKind::Cidr, text)];
    }
    if let Peer::Entity(entity) = peer {
        return match is_entity(view, *entity) {
            true => Vec::new(),
            false => vec![Miss::new(
                MissKind::Peer,
                format!(
                    "{} is {}, not `{}`",
                    view.address,
                    what(view, true),
                    entity_name(*entity)
                ),
            )],
        };
    }
    if let Peer::CidrGroup(groups) = peer {
        let which = match groups {
            WhichGroups::Named(name) => format!("CIDR group `{name}`"),
            WhichGroups::Matching(_) => "the CIDR groups that the rule selects".to_owned(),
        };
        let known = groups.of(&view.world.cidr_groups).next().is_some();
        let text = match known {
            true => format!("`{}` is in no prefix of {which}", view.address),
            false => format!("{which} is not there"),
        };
        return vec![Miss::new(MissKind::Cidr, text)];
    }
    if let Peer::Nodes(selector) = peer {
        let other = pod(view).is_none() && place(view) == Place::Node { local: false };
        if other && view.world.is_of_nodes(view.address.into(), selector) {
            return Vec::new();
        }
        let text = format!(
            "the rule means other nodes by their labels, and {} is {}",
            view.address,
            what(view, false)
        );
        return vec![Miss::new(MissKind::Peer, text)];
    }
    if let Peer::Service(services) = peer
        && (is_nameless(view) || !services.contains(&view.world.services, view.address))
    {
        let which = match &services.which {
            WhichServices::Named(name) => format!("service `{name}`"),
            WhichServices::Matching(_) => "the services that the rule selects".to_owned(),
        };
        let place = services
            .namespace
            .as_ref()
            .map(|name| format!(" of namespace `{name}`"));
        return vec![Miss::new(
            MissKind::Peer,
            format!(
                "{} is no backend of {which}{}",
                view.address,
                place.unwrap_or_default()
            ),
        )];
    }
    if let Peer::Name(pattern) = peer {
        let known: Vec<&str> = same_answers(view)
            .filter(|(_, found)| found.contains(&view.address))
            .map(|(name, _)| name.as_str())
            .collect();
        let meant = |name: &&str| Name::parse(name).is_some_and(|name| pattern.matches(&name));
        if !is_outside(view) || !known.iter().any(meant) {
            let text = match known.first() {
                Some(_) if !is_outside(view) => format!(
                    "a name means addresses outside the cluster, and {} is {}",
                    view.address,
                    what(view, false)
                ),
                Some(name) => format!("{} is `{name}`, not `{pattern}`", view.address),
                None => format!(
                    "no pod of the same policies has asked DNS for `{pattern}` and got {}",
                    view.address
                ),
            };
            return vec![Miss::new(MissKind::Peer, text)];
        }
    }
    Vec::new()
}

/// What pods that the same policies select as the endpoint have got from DNS, by name.
fn same_answers<'a>(
    view: &View<'a>,
) -> impl Iterator<Item = (&'a String, &'a BTreeSet<IpAddr>)> + use<'a> {
    let (world, own) = (view.world, view.own);
    let selecting = move |pod: &Pod| -> Vec<(usize, usize)> {
        let no_labels = Labels::new();
        let subject = subject(world, pod, &no_labels);
        let policies = world.policies.iter().enumerate();
        let specs = policies.flat_map(|(at, policy)| {
            let specs = policy.specs.iter().enumerate();
            specs.map(move |(place, spec)| (at, place, spec))
        });
        specs
            .filter(|(_, _, spec)| spec.subject.matches(subject))
            .map(|(at, place, _)| (at, place))
            .collect()
    };
    let own = selecting(own);
    let asked = |pod: &&Pod| !pod.host_network && world.names.contains_key(&pod.id());
    let pods = world.pods.iter().filter(asked);
    pods.filter(move |pod| selecting(pod) == own)
        .filter_map(|pod| world.names.get(&pod.id()))
        .flatten()
}

fn of_pods(view: &View<'_>, object: &ObjectRef, selector: &PodSelector, pod: &Pod) -> Vec<Miss> {
    let no_labels = Labels::new();
    let subject = subject(view.world, pod, &no_labels);
    let mut misses = Vec::new();
    match &selector.namespaces {
        NamespaceScope::All => {}
        NamespaceScope::Named(name) if *name == pod.namespace => {}
        NamespaceScope::Named(name) => misses.push(other_namespace(object, name, pod)),
        NamespaceScope::Matching(wanted) => misses.extend(
            wanted
                .requirements()
                .filter(|one| {
                    !Selector::new([(*one).clone()]).matches_labels(subject.namespace_labels)
                })
                .map(|one| {
                    let whose = format!("namespace `{}`", pod.namespace);
                    let value = match &one.key {
                        Key::Label(key) => subject.namespace_labels.get(key).map(String::as_str),
                        _ => None,
                    };
                    Miss::new(MissKind::Namespace, lacks(&whose, one, value))
                }),
        ),
    }
    for one in selector.pods.requirements() {
        if Selector::new([one.clone()]).matches(subject) {
            continue;
        }
        let (kind, whose) = match &one.key {
            Key::NamespaceLabel(_) => (
                MissKind::Namespace,
                format!("namespace `{}`", pod.namespace),
            ),
            Key::NamespaceName => (MissKind::Namespace, pod.id().to_string()),
            Key::Label(_) | Key::ServiceAccount | Key::Cluster | Key::Reserved(_) => {
                (MissKind::Label, pod.id().to_string())
            }
        };
        misses.push(Miss::new(kind, lacks(&whose, one, subject.value(&one.key))));
    }
    misses
}

fn other_namespace(object: &ObjectRef, name: &str, pod: &Pod) -> Miss {
    if object.namespace != name {
        let text = format!(
            "{} is in namespace `{}`, not `{name}`",
            pod.id(),
            pod.namespace
        );
        return Miss::new(MissKind::Namespace, text);
    }
    let (what, hint) = match object.kind {
        PolicyKind::NetworkPolicy => (
            "a `podSelector` without a `namespaceSelector`",
            format!(
                "beside it, in the same list item: `namespaceSelector: {{matchLabels: \
                 {{kubernetes.io/metadata.name: {}}}}}`",
                pod.namespace
            ),
        ),
        _ => (
            "a selector that names no namespace",
            format!(
                "add the label `io.kubernetes.pod.namespace: {}`",
                pod.namespace
            ),
        ),
    };
    let text = format!(
        "{what} means the policy's own namespace, `{name}`, and {} is in `{}`",
        pod.id(),
        pod.namespace
    );
    Miss::new(MissKind::Namespace, text).hint(hint)
}

/// Why a requirement is not met by a value.
fn lacks(whose: &str, requirement: &Requirement, value: Option<&str>) -> String {
    let key = match &requirement.key {
        Key::Label(key) | Key::NamespaceLabel(key) => format!("label `{key}`"),
        Key::NamespaceName => "namespace".to_owned(),
        Key::ServiceAccount => "service account".to_owned(),
        Key::Cluster => "cluster".to_owned(),
        Key::Reserved(key) => format!("label `reserved:{key}`"),
    };
    let values: Vec<String> = requirement
        .values
        .iter()
        .map(|value| format!("`{value}`"))
        .collect();
    let values = values.join(" or ");
    match (requirement.operator, value) {
        (Operator::In, Some(value)) => format!("{key} of {whose} is `{value}`, not {values}"),
        (Operator::In, None) => format!("{whose} has no {key}; {values} is wanted"),
        (Operator::Exists, _) => format!("{whose} has no {key}"),
        (Operator::NotIn, value) => format!(
            "{key} of {whose} is `{}`, which the rule leaves out",
            value.unwrap_or("")
        ),
        (Operator::DoesNotExist, _) => format!("{whose} has a {key}, and must not"),
    }
}

/// Whose the other end is, where it is no pod's.
fn place(view: &View<'_>) -> Place {
    match view.own.host_addresses.contains(&view.address) {
        true => Place::Node { local: true },
        false => view.world.place(view.address, &view.own.node),
    }
}

fn pod<'a>(view: &View<'a>) -> Option<&'a Pod> {
    view.peer.filter(|pod| !pod.host_network)
}

fn is_outside(view: &View<'_>) -> bool {
    pod(view).is_none() && place(view) == Place::Outside
}

/// Whether the address is nobody's that is known and tells nothing.
fn is_nameless(view: &View<'_>) -> bool {
    let unknown = pod(view).is_none() && place(view) == Place::Unknown;
    unknown && LINK_LOCAL.contains(&view.address)
}

fn is_apiserver(view: &View<'_>) -> bool {
    let services = view.world.services.iter();
    services
        .filter(|service| service.is_apiserver())
        .any(|service| service.leads_to(view.address))
}

fn is_entity(view: &View<'_>, entity: Entity) -> bool {
    let node = pod(view).is_none().then(|| place(view));
    match entity {
        Entity::All => true,
        Entity::Cluster => match node {
            None | Some(Place::Node { .. }) => true,
            Some(Place::Unknown) => false,
            Some(Place::Outside) => is_apiserver(view),
        },
        Entity::KubeApiserver => is_apiserver(view) && !is_nameless(view),
        Entity::World => is_outside(view),
        Entity::WorldIpv4 => is_outside(view) && view.address.is_ipv4(),
        Entity::WorldIpv6 => is_outside(view) && view.address.is_ipv6(),
        Entity::Host => node == Some(Place::Node { local: true }),
        Entity::RemoteNode => node == Some(Place::Node { local: false }),
    }
}

/// What the other end is, in a word; an outside address with its family where asked for.
fn what(view: &View<'_>, family: bool) -> String {
    let text = match (pod(view), place(view)) {
        (Some(pod), _) => return format!("a pod, {}", pod.id()),
        (None, Place::Node { local: true }) => "the pod's own node",
        (None, Place::Node { local: false }) => "another node",
        (None, Place::Unknown) if LINK_LOCAL.contains(&view.address) => {
            "a link-local address that no node is known to have"
        }
        (None, Place::Unknown) => "an address of the cluster's pods whose pod is not known",
        (None, Place::Outside) if family && view.address.is_ipv6() => "an outside IPv6 address",
        (None, Place::Outside) if family => "an outside IPv4 address",
        (None, Place::Outside) => "an outside address",
    };
    text.to_owned()
}

fn entity_name(entity: Entity) -> &'static str {
    match entity {
        Entity::All => "all",
        Entity::World => "world",
        Entity::WorldIpv4 => "world-ipv4",
        Entity::WorldIpv6 => "world-ipv6",
        Entity::Cluster => "cluster",
        Entity::Host => "host",
        Entity::RemoteNode => "remote-node",
        Entity::KubeApiserver => "kube-apiserver",
    }
}
