//! `cilium.io/v2` CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
//!
//! Refuses what Cilium's own validation refuses (`pkg/policy/api/rule_validation.go`), and what
//! is not supported yet; the unit that is refused is as small as can be told apart.

use serde_json::Value;

use super::{
    Specs, at_most,
    field::{Fault, Field, Object, quoted},
    labels, log,
};
use crate::model::{
    Action, Direction, Key, NamespaceScope, Operator, Peers, PodSelector, PolicySpec, Rule,
    Section, Selector, Subjects, Tier,
};

mod host;
mod http;
mod icmp;
mod names;
mod peers;
mod reserved;
mod rule;
mod services;
mod widened;

const SPEC_FIELDS: &[&str] = &[
    "endpointSelector",
    "nodeSelector",
    "ingress",
    "ingressDeny",
    "egress",
    "egressDeny",
    "enableDefaultDeny",
    "labels",
    "description",
    "log",
];

pub(super) fn specs(root: &Field<'_>, scope: &NamespaceScope, faults: &mut Vec<Fault>) -> Specs {
    let fields = match spec_fields(root) {
        Ok(fields) => fields,
        Err(fault) => {
            faults.push(fault);
            return Specs {
                specs: closed_all(root.value, scope),
                refused: true,
            };
        }
    };
    let mut specs = Specs {
        specs: Vec::with_capacity(fields.len()),
        refused: false,
    };
    for field in &fields {
        match spec(field, scope, faults) {
            Ok(spec) => specs.specs.extend(spec),
            Err(fault) => {
                faults.push(fault);
                specs.specs.extend(closed(Some(field.value), scope));
                specs.refused = true;
            }
        }
    }
    specs
}

/// `spec`, then each of `specs`; at least one.
fn spec_fields<'a>(root: &Field<'a>) -> Result<Vec<Field<'a>>, Fault> {
    let object = root.object()?;
    let mut fields: Vec<_> = object.get("spec").into_iter().collect();
    fields.extend(object.items("specs")?);
    if fields.is_empty() {
        return Err(object.field("spec").fault("needs `spec` or `specs`"));
    }
    Ok(fields)
}

/// One part; `None` for a host policy that selects nothing.
fn spec(
    field: &Field<'_>,
    scope: &NamespaceScope,
    faults: &mut Vec<Fault>,
) -> Result<Option<PolicySpec>, Fault> {
    let object = field.object()?;
    object.only(SPEC_FIELDS, &[])?;
    let subject = match (object.get("endpointSelector"), object.get("nodeSelector")) {
        (None, Some(nodes)) => match host::subject(&nodes, scope, faults) {
            Some(subject) => subject,
            None => return Ok(None),
        },
        (Some(_), None) => Subjects::Pods(subject(&object, scope, faults)?),
        (None, None) => {
            return Err(object
                .field("endpointSelector")
                .fault("is missing; `{}` selects every pod"));
        }
        (Some(_), Some(nodes)) => {
            return Err(nodes.fault("cannot stand beside `endpointSelector`: exactly one of them"));
        }
    };
    annotations(&object, faults);
    let mut ingress = section(&object, Direction::Ingress, scope, faults)?;
    let mut egress = section(&object, Direction::Egress, scope, faults)?;
    if subject.pods().is_none() {
        host::limit(&mut ingress.section, Direction::Ingress, faults);
        host::limit(&mut egress.section, Direction::Egress, faults);
    }
    if !(ingress.named || egress.named) {
        return Err(field.fault(
            "needs a rule in `ingress`, `ingressDeny`, `egress` or `egressDeny`; \
             `ingress: [{}]` denies by default and allows nothing",
        ));
    }
    Ok(Some(PolicySpec {
        tier: Tier::Normal,
        subject,
        ingress: ingress.section,
        egress: egress.section,
    }))
}

/// The pods of a part; always in the policy's own namespace.
fn subject(
    object: &Object<'_>,
    scope: &NamespaceScope,
    faults: &mut Vec<Fault>,
) -> Result<PodSelector, Fault> {
    let field = object.field("endpointSelector");
    let selector = labels::selector(&field, peers::endpoint_key)?;
    if let Some(name) = reserved::wanted(&selector).next() {
        faults.push(field.fault(format!(
            "`reserved:{name}` is on Cilium's own endpoints only, which are not here: this part \
             selects no pod"
        )));
    }
    Ok(in_scope(&selector, &field, scope, faults))
}

/// A subject's pods, in the policy's own namespace.
fn in_scope(
    selector: &Selector,
    field: &Field<'_>,
    scope: &NamespaceScope,
    faults: &mut Vec<Fault>,
) -> PodSelector {
    let NamespaceScope::Named(own) = scope else {
        return PodSelector {
            namespaces: scope.clone(),
            pods: selector.clone(),
        };
    };
    // Cilium overrides a namespace label rather than letting it select nothing, or elsewhere.
    let mut kept = Vec::new();
    for requirement in selector.requirements() {
        let equals = requirement.operator == Operator::In && requirement.values.len() == 1;
        if requirement.key != Key::NamespaceName || !equals {
            kept.push(requirement.clone());
        } else if let Some(other) = requirement.values.iter().find(|value| *value != own) {
            faults.push(field.fault(format!(
                "selects namespace {}, but a policy selects pods of its own namespace: \
                 {} is used",
                quoted(other),
                quoted(own)
            )));
        }
    }
    PodSelector {
        namespaces: scope.clone(),
        pods: Selector::new(kept),
    }
}

/// Fields that say something about the policy and decide nothing: reported, never refused.
fn annotations(object: &Object<'_>, faults: &mut Vec<Fault>) {
    let check = || -> Result<(), Fault> {
        if let Some(description) = object.get("description") {
            description.text()?;
        }
        object.items("labels")?;
        let Some(words) = object.get("log") else {
            return Ok(());
        };
        let words = words.object()?;
        words.only(&["value"], &[])?;
        let Some(value) = words.get("value") else {
            return Ok(());
        };
        if value.text()?.chars().count() > log::MAX_CHARS {
            return Err(value.fault(format!(
                "is too long: at most {} characters",
                log::MAX_CHARS
            )));
        }
        Ok(())
    };
    faults.extend(check().err());
}

struct Named {
    section: Section,
    /// Whether it has any rule, good or bad.
    named: bool,
}

fn section(
    object: &Object<'_>,
    direction: Direction,
    scope: &NamespaceScope,
    faults: &mut Vec<Fault>,
) -> Result<Named, Fault> {
    let (allow, deny) = names(direction);
    let allow = object.items(allow)?;
    let deny = object.items(deny)?;
    let named = !(allow.is_empty() && deny.is_empty());
    let mut rules = Vec::new();
    for item in &allow {
        rules.extend(rule::rules(item, direction, Action::Allow, scope, faults));
    }
    for item in &deny {
        rules.extend(rule::rules(item, direction, Action::Deny, scope, faults));
    }
    let isolates = default_deny(object, direction)?.unwrap_or(named);
    Ok(Named {
        section: Section { isolates, rules },
        named,
    })
}

fn names(direction: Direction) -> (&'static str, &'static str) {
    match direction {
        Direction::Ingress => ("ingress", "ingressDeny"),
        Direction::Egress => ("egress", "egressDeny"),
    }
}

/// What `enableDefaultDeny` says of a direction.
fn default_deny(object: &Object<'_>, direction: Direction) -> Result<Option<bool>, Fault> {
    let Some(field) = object.get("enableDefaultDeny") else {
        return Ok(None);
    };
    let field = field.object()?;
    field.only(&["ingress", "egress"], &[])?;
    let flag = field.get(names(direction).0);
    flag.map(|flag| flag.flag()).transpose()
}

/// The stand-ins of every part.
pub(super) fn closed_all(value: &Value, scope: &NamespaceScope) -> Vec<PolicySpec> {
    match spec_fields(&Field::root(value)) {
        Ok(fields) => fields
            .iter()
            .filter_map(|field| closed(Some(field.value), scope))
            .collect(),
        Err(_) => closed(None, scope).into_iter().collect(),
    }
}

/// The stand-in of one part; `None` where it is clear that it selects no pod.
///
/// It isolates, and denies what its deny rules deny (everything, where it may have some under a name
/// that is not known): another policy's allow must not reach what they would have cut.
fn closed(spec: Option<&Value>, scope: &NamespaceScope) -> Option<PolicySpec> {
    let object = spec.map(Field::root).and_then(|spec| spec.object().ok());
    let Some(object) = object else {
        return Some(PolicySpec {
            tier: Tier::Normal,
            subject: Subjects::Pods(PodSelector {
                namespaces: scope.clone(),
                pods: Selector::default(),
            }),
            ingress: shut(true),
            egress: shut(true),
        });
    };
    let clear = object.only(SPEC_FIELDS, &[]).is_ok();
    let pods = object.field("endpointSelector");
    let nodes = object.get("nodeSelector");
    let nodes = nodes.filter(|_| object.get("endpointSelector").is_none());
    // What it would report of the selector is reported by the parser already.
    let subject = match nodes {
        Some(nodes) => host::subject(&nodes, scope, &mut Vec::new())?,
        None => {
            let selector = at_most::selector(&pods, peers::endpoint_key).selector()?;
            Subjects::Pods(in_scope(&selector, &pods, scope, &mut Vec::new()))
        }
    };
    let named = |direction| {
        let (allow, deny) = names(direction);
        object.get(allow).is_some()
            || object.get(deny).is_some()
            || matches!(default_deny(&object, direction), Ok(Some(true)))
    };
    let neither = !Direction::BOTH.into_iter().any(named);
    let close = |direction| {
        if clear && !neither && !named(direction) {
            return Section::default();
        }
        if !clear {
            return shut(true);
        }
        let Ok(items) = object.items(names(direction).1) else {
            return shut(true);
        };
        let deny = |item| rule::rules(item, direction, Action::Deny, scope, &mut Vec::new());
        Section {
            isolates: true,
            rules: items.iter().flat_map(deny).collect(),
        }
    };
    let mut spec = PolicySpec {
        tier: Tier::Normal,
        ingress: close(Direction::Ingress),
        egress: close(Direction::Egress),
        subject,
    };
    if spec.subject.pods().is_none() {
        host::limit(&mut spec.ingress, Direction::Ingress, &mut Vec::new());
        host::limit(&mut spec.egress, Direction::Egress, &mut Vec::new());
    }
    Some(spec)
}

fn shut(deny: bool) -> Section {
    Section {
        isolates: true,
        rules: if deny {
            vec![deny_all("spec".to_owned())]
        } else {
            Vec::new()
        },
    }
}

/// Stands where a deny rule stood that was not understood.
fn deny_all(place: String) -> Rule {
    Rule {
        place,
        action: Action::Deny,
        peers: Peers::Any,
        ports: Vec::new(),
        l7: None,
    }
}
