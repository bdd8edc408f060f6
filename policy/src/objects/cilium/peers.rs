//! The other end of a Cilium rule: endpoints, entities, prefixes.

use super::{names, reserved, services};
use crate::model::{
    Direction, Entity, Key, NamespaceScope, Operator, Peer, Peers, PodSelector, Selector,
    WhichGroups,
};
use crate::objects::{
    cidr,
    field::{Fault, Field, Object, quoted},
    labels, none_of,
};

const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
const CLUSTER: &str = "io.cilium.k8s.policy.cluster";

/// The fields that name peers, of which a rule may use one: endpoints, entities, CIDR, CIDR set,
/// nodes, services, DNS names.
pub(super) fn members(direction: Direction) -> &'static [&'static str] {
    match direction {
        Direction::Ingress => &[
            "fromEndpoints",
            "fromEntities",
            "fromCIDR",
            "fromCIDRSet",
            "fromNodes",
        ],
        Direction::Egress => &[
            "toEndpoints",
            "toEntities",
            "toCIDR",
            "toCIDRSet",
            "toNodes",
            "toServices",
            "toFQDNs",
        ],
    }
}

/// The peers of a rule; `None` where it names none. A list that is there but empty is nobody.
pub(super) fn peers(
    object: &Object<'_>,
    direction: Direction,
    scope: &NamespaceScope,
) -> Result<Option<Peers>, Fault> {
    let mut found: Option<(&str, Peers)> = None;
    for (kind, member) in members(direction).iter().enumerate() {
        let Some(field) = object.get(member) else {
            continue;
        };
        if let Some((other, _)) = &found {
            return Err(field.fault(format!(
                "cannot stand beside `{other}`: write a rule for each"
            )));
        }
        let items = field.list()?;
        let mut peers = Vec::with_capacity(items.len());
        for item in &items {
            peers.extend(peer(kind, item, scope)?);
        }
        found = Some((member, Peers::OneOf(peers)));
    }
    Ok(found.map(|(_, peers)| peers))
}

/// An item of the `kind`th of [`members`]; `None` where it is nobody.
pub(super) fn peer(
    kind: usize,
    item: &Field<'_>,
    scope: &NamespaceScope,
) -> Result<Option<Peer>, Fault> {
    Ok(match kind {
        0 => endpoints(item, scope)?,
        1 => entity(item)?,
        2 => Some(network(cidr::prefix_or_address(item)?, Vec::new())),
        3 => Some(cidr_rule(item)?),
        4 => Some(Peer::Nodes(labels::selector(item, node_key)?)),
        5 => Some(services::service(item, scope)?),
        _ => Some(Peer::Name(names::selector(item)?)),
    })
}

/// What a key of a Cilium selector looks at.
pub(super) fn endpoint_key(name: &str) -> Result<Key, String> {
    let key = match name.split_once(':') {
        None => name,
        Some(("k8s" | "any", key)) => key,
        Some(("reserved", name)) => return Ok(Key::Reserved(name.to_owned())),
        Some(_) => {
            return Err(format!(
                "{} has a label source that is not supported: `k8s:` or `any:`",
                quoted(name)
            ));
        }
    };
    match key {
        NAMESPACE => return Ok(Key::NamespaceName),
        SERVICE_ACCOUNT => return Ok(Key::ServiceAccount),
        CLUSTER => return Ok(Key::Cluster),
        _ => {}
    }
    if let Some(label) = key.strip_prefix(NAMESPACE_LABELS) {
        labels::qualified(label)?;
        return Ok(Key::NamespaceLabel(label.to_owned()));
    }
    labels::qualified(key)?;
    Ok(Key::Label(key.to_owned()))
}

/// Pods by label, or an entity by Cilium's own label; `None` where that is nobody.
fn endpoints(field: &Field<'_>, scope: &NamespaceScope) -> Result<Option<Peer>, Fault> {
    let selector = labels::selector(field, endpoint_key)?;
    if reserved::speaks(&selector) {
        return reserved::peer(field, &selector);
    }
    Ok(Some(Peer::Pods(pods(selector, scope))))
}

/// Pods of the policy's own namespace, unless the selector speaks of namespaces.
pub(super) fn pods(selector: Selector, scope: &NamespaceScope) -> PodSelector {
    let speaks = selector
        .requirements()
        .any(|r| matches!(r.key, Key::NamespaceName | Key::NamespaceLabel(_)));
    if !speaks {
        return PodSelector {
            namespaces: scope.clone(),
            pods: selector,
        };
    }
    // One plain namespace is told the way NetworkPolicy tells it, so that equals compare equal.
    let named: Vec<_> = selector
        .requirements()
        .filter(|r| r.key == Key::NamespaceName)
        .collect();
    if let [only] = named.as_slice()
        && only.operator == Operator::In
        && only.values.len() == 1
        && let Some(name) = only.values.first()
    {
        let rest = selector.requirements().filter(|r| r != only).cloned();
        return PodSelector {
            namespaces: NamespaceScope::Named(name.clone()),
            pods: Selector::new(rest),
        };
    }
    PodSelector {
        namespaces: NamespaceScope::All,
        pods: selector,
    }
}

/// What a key of a selector of nodes looks at: labels of Node objects.
pub(super) fn node_key(name: &str) -> Result<Key, String> {
    let plain = name.strip_prefix("k8s:").or(name.strip_prefix("any:"));
    let plain = plain.or(name.strip_prefix("node:")).unwrap_or(name);
    labels::plain_key(plain)
}

/// `None` for the entity `none`, which is nobody.
fn entity(field: &Field<'_>) -> Result<Option<Peer>, Fault> {
    let text = field.text()?;
    let entity = match text.strip_prefix("reserved:").unwrap_or(text) {
        "all" => Entity::All,
        "world" => Entity::World,
        "world-ipv4" => Entity::WorldIpv4,
        "world-ipv6" => Entity::WorldIpv6,
        "cluster" => Entity::Cluster,
        "host" => Entity::Host,
        "remote-node" => Entity::RemoteNode,
        "kube-apiserver" => Entity::KubeApiserver,
        // Endpoints of Cilium's own, and clusters joined by it: here nobody is one of them.
        "none" | "cluster-mesh" | "init" | "ingress" | "unmanaged" | "health" => return Ok(None),
        _ => {
            return Err(none_of(
                field,
                &[
                    "all",
                    "world",
                    "world-ipv4",
                    "world-ipv6",
                    "cluster",
                    "host",
                    "remote-node",
                    "kube-apiserver",
                    "cluster-mesh",
                    "init",
                    "ingress",
                    "unmanaged",
                    "health",
                    "none",
                ],
            ));
        }
    };
    Ok(Some(Peer::Entity(entity)))
}

fn cidr_rule(field: &Field<'_>) -> Result<Peer, Fault> {
    let object = field.object()?;
    object.only(
        &["cidr", "except", "cidrGroupRef", "cidrGroupSelector"],
        &[],
    )?;
    if let Some(group) = group(&object)? {
        return Ok(Peer::CidrGroup(group));
    }
    let cidr = cidr::prefix(&object.field("cidr"))?;
    let except = cidr::except(&object.items("except")?, cidr, false)?;
    Ok(network(cidr, except))
}

/// The CIDR groups of an entry; `None` where it names none. As in Cilium, an entry has one of the
/// three, and exceptions of a prefix only.
fn group(object: &Object<'_>) -> Result<Option<WhichGroups>, Fault> {
    let (by_name, by_label) = (object.get("cidrGroupRef"), object.get("cidrGroupSelector"));
    let Some(field) = by_name.as_ref().or(by_label.as_ref()) else {
        return Ok(None);
    };
    let both = by_name.is_some() && by_label.is_some();
    if both || object.get("cidr").is_some() {
        return Err(field.fault(
            "cannot stand beside another of `cidr`, `cidrGroupRef` and `cidrGroupSelector`: write \
             an entry for each",
        ));
    }
    if let Some(except) = object.get("except") {
        return Err(except.fault("leaves parts of a `cidr` out, not of CIDR groups"));
    }
    if let Some(selector) = by_label {
        let selector = labels::selector(&selector, group_key)?;
        return Ok(Some(WhichGroups::Matching(selector)));
    }
    let name = field.text()?;
    labels::subdomain(name).map_err(|reason| field.fault(reason))?;
    Ok(Some(WhichGroups::Named(name.to_owned())))
}

/// What a key of a selector of groups looks at: labels of CiliumCIDRGroup objects.
fn group_key(name: &str) -> Result<Key, String> {
    let plain = name.strip_prefix("k8s:").or(name.strip_prefix("any:"));
    labels::plain_key(plain.unwrap_or(name))
}

fn network(cidr: ipnet::IpNet, except: Vec<ipnet::IpNet>) -> Peer {
    Peer::Cidr {
        cidr,
        except,
        cluster_too: false,
    }
}
