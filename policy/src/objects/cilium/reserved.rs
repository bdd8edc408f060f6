//! Cilium's own labels, `reserved:`, in selectors: what they are on is no pod.
//!
//! Such a label has the empty value and stands on one kind of identity (`pkg/labels` and
//! `pkg/identity` of Cilium). Of these kinds some are entities here, and the others (an endpoint that
//! still starts, Cilium's own health and ingress endpoints) are nobody.

use crate::model::{Entity, Key, Operator, Peer, Selector};
use crate::objects::field::{Fault, Field, quoted};

/// Whether a selector speaks of them at all.
pub(super) fn speaks(selector: &Selector) -> bool {
    let mut all = selector.requirements();
    all.any(|one| matches!(one.key, Key::Reserved(_)))
}

/// Those that it asks for.
pub(super) fn wanted(selector: &Selector) -> impl Iterator<Item = &str> {
    selector.requirements().filter_map(|one| match &one.key {
        Key::Reserved(name) if one.asks_for_presence() => Some(name.as_str()),
        _ => None,
    })
}

/// The entity of a name: `None` where it is not known, `Some(None)` where it is nobody here.
pub(super) fn entity(name: &str) -> Option<Option<Entity>> {
    Some(match name {
        "host" => Some(Entity::Host),
        "remote-node" => Some(Entity::RemoteNode),
        "world" => Some(Entity::World),
        "world-ipv4" => Some(Entity::WorldIpv4),
        "world-ipv6" => Some(Entity::WorldIpv6),
        "kube-apiserver" => Some(Entity::KubeApiserver),
        "init" | "health" | "ingress" | "unmanaged" => None,
        _ => return None,
    })
}

/// Who is meant by a selector of peers that speaks of these labels; `None`: nobody.
///
/// # Errors
/// It means what cannot be told: everybody but some, two of them at once, or a name that is not
/// known.
pub(super) fn peer(field: &Field<'_>, selector: &Selector) -> Result<Option<Peer>, Fault> {
    let mut names: Vec<&str> = wanted(selector).collect();
    names.dedup();
    let [name] = names.as_slice() else {
        return Err(field.fault(if names.is_empty() {
            "means everybody who lacks a `reserved:` label, outside the cluster too: name the \
             peers by `fromEntities` or `toEntities`"
        } else {
            "asks for two `reserved:` labels at once: use `fromEntities` or `toEntities`"
        }));
    };
    let entity = entity(name).ok_or_else(|| {
        field.fault(format!(
            "{} is no label that Cilium gives: use `fromEntities` or `toEntities`",
            quoted(&format!("reserved:{name}"))
        ))
    })?;
    let mut others = false;
    for one in selector.requirements() {
        let fits = match &one.key {
            Key::Reserved(other) if other == name => match one.operator {
                Operator::In => one.values.contains(""),
                Operator::NotIn => !one.values.contains(""),
                Operator::Exists => true,
                Operator::DoesNotExist => false,
            },
            Key::Reserved(other) => {
                others |= !matches!(self::entity(other), Some(None));
                true
            }
            // What has a reserved label has no other.
            _ => !one.asks_for_presence(),
        };
        if !fits {
            return Ok(None);
        }
    }
    if others {
        // The API server may be on a node.
        return Err(field.fault(
            "asks for one `reserved:` label without another: use `fromEntities` or `toEntities`",
        ));
    }
    Ok(entity.map(Peer::Entity))
}
