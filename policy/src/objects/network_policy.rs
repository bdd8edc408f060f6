//! `networking.k8s.io/v1` NetworkPolicy.
//!
//! Defaults and refusals are those of the API server (`pkg/apis/networking/{v1,validation}` of
//! Kubernetes), because a manifest in a folder has not been through one.

use serde_json::Value;

use super::{
    Specs, at_most, cidr,
    field::{Fault, Field, Object},
    labels, none_of, ports,
};
use crate::model::{
    Action, Direction, NamespaceScope, Peer, Peers, PodSelector, PolicySpec, Rule, Section,
    Selector, Subjects, Tier,
};

const SPEC_FIELDS: &[&str] = &["podSelector", "policyTypes", "ingress", "egress"];
const NO_SPECS: &str = "a NetworkPolicy has one `spec`";

pub(super) fn specs(root: &Field<'_>, scope: &NamespaceScope, faults: &mut Vec<Fault>) -> Specs {
    let parsed = match root.value.get("specs") {
        None | Some(Value::Null) => spec(root, scope, faults),
        Some(_) => Err(Fault {
            field: "specs".into(),
            reason: NO_SPECS.into(),
        }),
    };
    match parsed {
        Ok(spec) => Specs {
            specs: vec![spec],
            refused: false,
        },
        Err(fault) => {
            faults.push(fault);
            Specs {
                specs: Vec::from_iter(closed(root.value.get("spec"), scope)),
                refused: true,
            }
        }
    }
}

fn spec(
    root: &Field<'_>,
    scope: &NamespaceScope,
    faults: &mut Vec<Fault>,
) -> Result<PolicySpec, Fault> {
    let Some(spec) = root.object()?.get("spec") else {
        // The API server takes this too: it is `spec: {}`.
        return Ok(PolicySpec {
            tier: Tier::Normal,
            subject: Subjects::Pods(every_pod(scope)),
            ingress: isolated(),
            egress: Section::default(),
        });
    };
    let spec = spec.object()?;
    spec.only(SPEC_FIELDS, &[])?;
    let subject = Subjects::Pods(PodSelector {
        namespaces: scope.clone(),
        pods: pods(&spec)?,
    });
    let (ingress, egress) = (spec.items("ingress")?, spec.items("egress")?);
    let types = policy_types(&spec)?.unwrap_or(Types {
        ingress: true,
        egress: !egress.is_empty(),
    });
    Ok(PolicySpec {
        tier: Tier::Normal,
        subject,
        ingress: section(types.ingress, "from", &ingress, scope, faults),
        egress: section(types.egress, "to", &egress, scope, faults),
    })
}

/// The stand-in: the pods, as far as they can be known, and the directions, or both. `None` where it
/// selects nobody.
pub(super) fn closed(spec: Option<&Value>, scope: &NamespaceScope) -> Option<PolicySpec> {
    let field = spec.filter(|spec| !spec.is_null()).map(Field::root);
    let object = field.as_ref().map(Field::object);
    let (subject, types) = match object {
        Some(Ok(object)) => {
            let types = policy_types(&object).ok().flatten();
            // A field that is not known may be a section with a typing error.
            let defaults = match (object.only(SPEC_FIELDS, &[]), object.get("egress")) {
                (Ok(()), None) => Types::INGRESS,
                _ => Types::BOTH,
            };
            let pods = match object.get("podSelector") {
                Some(field) => at_most::selector(&field, labels::plain_key).selector()?,
                None => Selector::default(),
            };
            (pods, types.unwrap_or(defaults))
        }
        // Without a `spec` it is another field that is wrong, perhaps the misspelt `spec`.
        Some(Err(_)) | None => (Selector::default(), Types::BOTH),
    };
    let isolate = |yes: bool| if yes { isolated() } else { Section::default() };
    Some(PolicySpec {
        tier: Tier::Normal,
        subject: Subjects::Pods(PodSelector {
            namespaces: scope.clone(),
            pods: subject,
        }),
        ingress: isolate(types.ingress),
        egress: isolate(types.egress),
    })
}

/// `policyTypes`.
#[derive(Debug, Clone, Copy)]
struct Types {
    ingress: bool,
    egress: bool,
}

impl Types {
    const INGRESS: Self = Self {
        ingress: true,
        egress: false,
    };
    const BOTH: Self = Self {
        ingress: true,
        egress: true,
    };
}

/// `None` where the field is missing or empty, which is the same.
fn policy_types(spec: &Object<'_>) -> Result<Option<Types>, Fault> {
    let items = spec.items("policyTypes")?;
    if items.len() > 2 {
        return Err(spec
            .field("policyTypes")
            .fault("at most two: `Ingress`, `Egress`"));
    }
    let mut types = None;
    for item in &items {
        let seen = types.get_or_insert(Types {
            ingress: false,
            egress: false,
        });
        match item.value.as_str() {
            Some("Ingress") => seen.ingress = true,
            Some("Egress") => seen.egress = true,
            _ => return Err(none_of(item, &["Ingress", "Egress"])),
        }
    }
    Ok(types)
}

/// The subject's selector; a missing one selects every pod, like an empty one.
fn pods(spec: &Object<'_>) -> Result<Selector, Fault> {
    spec.get("podSelector")
        .map_or(Ok(Selector::default()), |field| {
            labels::selector(&field, labels::plain_key)
        })
}

fn section(
    named: bool,
    peers: &str,
    items: &[Field<'_>],
    scope: &NamespaceScope,
    faults: &mut Vec<Fault>,
) -> Section {
    let mut rules = Vec::with_capacity(items.len());
    for item in items {
        match rule(item, peers, scope) {
            Ok(rule) => rules.push(rule),
            Err(fault) => faults.push(fault),
        }
    }
    if !named {
        // `policyTypes` leaves the direction out: its rules say nothing, good or bad.
        rules.clear();
    }
    Section {
        isolates: named,
        rules,
    }
}

fn rule(field: &Field<'_>, peers_name: &str, scope: &NamespaceScope) -> Result<Rule, Fault> {
    let object = field.object()?;
    let direction = if peers_name == "from" {
        Direction::Ingress
    } else {
        Direction::Egress
    };
    let wrong = match direction {
        Direction::Ingress => ("to", "an ingress rule has `from`"),
        Direction::Egress => ("from", "an egress rule has `to`"),
    };
    object.only(&[peers_name, "ports"], &[wrong])?;
    let list = object.items(peers_name)?;
    let peers = if list.is_empty() {
        Peers::Any
    } else {
        Peers::OneOf(
            list.iter()
                .map(|item| peer(item, scope))
                .collect::<Result<_, _>>()?,
        )
    };
    // INVARIANT: empty only where the field is missing or empty; a bad port refuses the rule.
    let mut ports = object
        .items("ports")?
        .iter()
        .map(ports::network)
        .collect::<Result<Vec<_>, _>>()?;
    ports.sort_unstable();
    ports.dedup();
    Ok(Rule {
        place: field.path.clone(),
        action: Action::Allow,
        peers,
        ports,
        l7: None,
    })
}

fn peer(field: &Field<'_>, scope: &NamespaceScope) -> Result<Peer, Fault> {
    let object = field.object()?;
    object.only(&["podSelector", "namespaceSelector", "ipBlock"], &[])?;
    let pods = object.get("podSelector");
    let namespaces = object.get("namespaceSelector");
    if let Some(block) = object.get("ipBlock") {
        if pods.is_some() || namespaces.is_some() {
            return Err(
                block.fault("cannot stand beside selectors: make it an item of its own with `-`")
            );
        }
        return ip_block(&block);
    }
    if pods.is_none() && namespaces.is_none() {
        return Err(field.fault(
            "needs `podSelector`, `namespaceSelector` or `ipBlock`; `podSelector: {}` is every pod \
             of this namespace",
        ));
    }
    let namespaces = match namespaces {
        None => scope.clone(),
        Some(field) => {
            let selector = labels::selector(&field, labels::plain_key)?;
            if selector.is_empty() {
                NamespaceScope::All
            } else {
                NamespaceScope::Matching(selector)
            }
        }
    };
    let pods = match pods {
        None => Selector::default(),
        Some(field) => labels::selector(&field, labels::plain_key)?,
    };
    Ok(Peer::Pods(PodSelector { namespaces, pods }))
}

fn ip_block(field: &Field<'_>) -> Result<Peer, Fault> {
    let object = field.object()?;
    object.only(&["cidr", "except"], &[])?;
    let cidr = cidr::prefix(&object.field("cidr"))?;
    let except = cidr::except(&object.items("except")?, cidr, true)?;
    Ok(Peer::Cidr {
        cidr,
        except,
        cluster_too: true,
    })
}

fn every_pod(scope: &NamespaceScope) -> PodSelector {
    PodSelector {
        namespaces: scope.clone(),
        pods: Selector::default(),
    }
}

fn isolated() -> Section {
    Section {
        isolates: true,
        rules: Vec::new(),
    }
}
