//! What a part that is not understood may mean at most: a subject, and a rule that denies or passes
//! on.

use super::{deny_all, matching, peer, peers_name, protocol};
use crate::{
    model::{
        Action, Direction, NamespaceScope, Peer, Peers, PodSelector, PortMatch, Rule, Selector,
    },
    objects::{
        at_most,
        field::{Field, Object},
        labels,
    },
};

/// The rule that stands in for a bad one.
pub(super) fn deny(field: &Field<'_>, direction: Direction) -> Rule {
    let all = deny_all(field.path.clone());
    let Ok(object) = field.object() else {
        return all;
    };
    Rule {
        peers: all_peers(&object, direction).map_or(Peers::Any, Peers::OneOf),
        ports: all_ports(&object).unwrap_or_default(),
        ..all
    }
}

/// All who may be meant; `None`: everybody.
fn all_peers(object: &Object<'_>, direction: Direction) -> Option<Vec<Peer>> {
    let items = object.field(peers_name(direction)).list().ok()?;
    if items.is_empty() {
        return None;
    }
    let mut found = Vec::new();
    for item in &items {
        match peer(item, direction, Action::Deny) {
            Ok(peers) => found.extend(peers),
            Err(_) => {
                let given = item.object().ok()?;
                given.only(&["namespaces", "pods"], &[]).ok()?;
                found.extend(pods(item).into_iter().map(Peer::Pods));
            }
        }
    }
    Some(found)
}

/// All ports that may be meant; `None`: all there are, and ICMP.
fn all_ports(object: &Object<'_>) -> Option<Vec<PortMatch>> {
    let mut found = Vec::new();
    for item in object.items("protocols").ok()? {
        found.extend(protocol(&item).ok()?);
    }
    Some(found)
}

/// The pods that `namespaces` or `pods` may mean, and where both are given those of either; none:
/// nobody.
pub(super) fn pods(field: &Field<'_>) -> Vec<PodSelector> {
    let given = field.object().ok();
    let given = given.as_ref().map(|object| {
        let namespaces = object.get("namespaces").map(|given| in_namespaces(&given));
        let pods = object.get("pods").map(|given| in_pods(&given));
        (namespaces, pods)
    });
    match given {
        None | Some((None, None)) => vec![every_pod()],
        Some((namespaces, pods)) => [namespaces, pods].into_iter().flatten().flatten().collect(),
    }
}

fn most(field: &Field<'_>) -> Option<Selector> {
    at_most::selector(field, labels::plain_key).selector()
}

fn in_namespaces(field: &Field<'_>) -> Option<PodSelector> {
    Some(PodSelector {
        namespaces: matching(most(field)?),
        pods: Selector::default(),
    })
}

fn in_pods(field: &Field<'_>) -> Option<PodSelector> {
    let Ok(given) = field.object() else {
        return Some(every_pod());
    };
    let namespaces = match given.get("namespaceSelector") {
        Some(namespaces) => matching(most(&namespaces)?),
        None => NamespaceScope::All,
    };
    Some(PodSelector {
        namespaces,
        pods: most(&given.field("podSelector"))?,
    })
}

pub(super) fn every_pod() -> PodSelector {
    PodSelector {
        namespaces: NamespaceScope::All,
        pods: Selector::default(),
    }
}
