//! What a deny rule that is not understood denies: all that it may mean, and no more where that can
//! be told.
//!
//! The fields of a rule are ANDed, so each that is understood holds. A field that is not known may
//! name peers, so with it everybody is meant.

use super::{icmp, peers, reserved, rule};
use crate::model::{
    Action, Direction, NamespaceScope, Peer, Peers, PodSelector, PortMatch, Rule, Selector,
};
use crate::objects::{
    at_most,
    field::{Field, Object},
    ports::{self, CiliumPorts, Need},
};

/// The rule that stands in for a bad deny rule.
pub(super) fn deny(field: &Field<'_>, direction: Direction, scope: &NamespaceScope) -> Rule {
    let object = field.object().ok();
    let object = object.as_ref();
    Rule {
        place: field.path.clone(),
        action: Action::Deny,
        peers: object
            .and_then(|object| all_peers(object, direction, scope))
            .map_or(Peers::Any, Peers::OneOf),
        ports: object.and_then(all_ports).unwrap_or_default(),
        l7: None,
    }
}

/// All who may be meant; `None`: everybody.
fn all_peers(
    object: &Object<'_>,
    direction: Direction,
    scope: &NamespaceScope,
) -> Option<Vec<Peer>> {
    object.only(&rule::fields(direction), &[]).ok()?;
    let members = peers::members(direction).iter().enumerate();
    let mut given = members.filter_map(|(kind, member)| Some((kind, object.get(member)?)));
    let (Some((kind, field)), None) = (given.next(), given.next()) else {
        return None;
    };
    let mut found = Vec::new();
    for item in field.list().ok()? {
        match peers::peer(kind, &item, scope) {
            // What a name leads to is not known before it is asked for.
            Ok(Some(Peer::Name(_))) => return None,
            Ok(peer) => found.extend(peer),
            Err(_) if kind == 0 => found.extend(endpoints(&item, scope)?),
            Err(_) => return None,
        }
    }
    Some(found)
}

/// Those whom a selector of endpoints may mean; `None`: everybody.
fn endpoints(field: &Field<'_>, scope: &NamespaceScope) -> Option<Vec<Peer>> {
    let most = at_most::selector(field, peers::endpoint_key);
    let loose = most.loose;
    let selector = Selector::new(most.known);
    if let Some(name) = reserved::wanted(&selector).next() {
        // Whatever else is asked for: it is some of these.
        let entity = reserved::entity(name)?;
        return Some(entity.map(Peer::Entity).into_iter().collect());
    }
    // Without a label that only pods have, it may mean what is no pod.
    let pods_only = selector.requirements().any(|one| one.asks_for_presence());
    if !pods_only {
        return None;
    }
    if loose {
        // What is not understood may have named a namespace.
        return Some(vec![Peer::Pods(PodSelector {
            namespaces: NamespaceScope::All,
            pods: selector,
        })]);
    }
    Some(vec![Peer::Pods(peers::pods(selector, scope))])
}

/// All ports that may be meant; `None`: all there are, and ICMP.
fn all_ports(object: &Object<'_>) -> Option<Vec<PortMatch>> {
    if object.get("icmps").is_some() {
        return icmp::types(object).ok()?;
    }
    let entries = object.items("toPorts").ok()?;
    let mut found = Vec::new();
    for entry in &entries {
        match ports::cilium(&entry.object().ok()?, Need::Nothing).ok()? {
            CiliumPorts::Everything => return None,
            CiliumPorts::These(ports) => found.extend(ports),
        }
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}
