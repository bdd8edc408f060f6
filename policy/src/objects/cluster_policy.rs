//! `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy: the Admin and Baseline tiers.
//!
//! Bounds and fail-closed rules are those of the API (`apis/v1alpha2` of network-policy-api): what
//! is bad in an Accept rule matches nobody, a bad Deny or Pass rule denies everything.

use serde_json::Value;

use super::{
    Specs, cidr,
    field::{Fault, Field, Object, quoted},
    labels, none_of, ports,
};
use crate::{
    model::{
        Action, Direction, NamespaceScope, Peer, Peers, PodSelector, PolicySpec, Port, PortMatch,
        Protocol, Rule, Section, Selector, Subjects, Tier,
    },
    names::NamePattern,
};

mod widened;

const SPEC_FIELDS: &[&str] = &["tier", "priority", "subject", "ingress", "egress"];
const MAX_RULES: usize = 25;
const MAX_PRIORITY: i64 = 1000;

pub(super) fn specs(root: &Field<'_>, faults: &mut Vec<Fault>) -> Specs {
    let (specs, refused) = match spec(root, faults) {
        Ok(spec) => (vec![spec], false),
        Err(fault) => {
            faults.push(fault);
            (closed(root.value), true)
        }
    };
    Specs { specs, refused }
}

fn spec(root: &Field<'_>, faults: &mut Vec<Fault>) -> Result<PolicySpec, Fault> {
    let spec = root.object()?.field("spec").object()?;
    spec.only(SPEC_FIELDS, &[])?;
    let tier = tier(&spec)?;
    let subject = pods_of(&spec.field("subject"))?;
    let mut section = |direction: Direction| -> Result<Section, Fault> {
        let field = spec.field(&direction.to_string());
        let items = spec.items(&direction.to_string())?;
        if items.len() > MAX_RULES {
            return Err(field.fault(format!("has more than {MAX_RULES} rules")));
        }
        let rules = items
            .iter()
            .filter_map(|item| rule(item, direction, faults));
        Ok(Section {
            isolates: false,
            rules: rules.collect(),
        })
    };
    Ok(PolicySpec {
        tier,
        subject: Subjects::Pods(subject),
        ingress: section(Direction::Ingress)?,
        egress: section(Direction::Egress)?,
    })
}

fn tier(spec: &Object<'_>) -> Result<Tier, Fault> {
    let field = spec.field("priority");
    let given = field.integer()?;
    let priority = u16::try_from(given)
        .ok()
        .filter(|_| given <= MAX_PRIORITY)
        .ok_or_else(|| field.fault(format!("`{given}` is not a priority: 0 to {MAX_PRIORITY}")))?;
    let field = spec.field("tier");
    match field.text()? {
        "Admin" => Ok(Tier::Admin(priority)),
        "Baseline" => Ok(Tier::Baseline(priority)),
        _ => Err(none_of(&field, &["Admin", "Baseline"])),
    }
}

/// One rule; a bad one that would have denied, or passed on, denies all that it may mean.
fn rule(field: &Field<'_>, direction: Direction, faults: &mut Vec<Fault>) -> Option<Rule> {
    match read(field, direction) {
        Ok(rule) => Some(rule),
        Err(fault) => {
            faults.push(fault);
            let accepts = field.value.get("action").and_then(Value::as_str) == Some("Accept");
            (!accepts).then(|| widened::deny(field, direction))
        }
    }
}

fn read(field: &Field<'_>, direction: Direction) -> Result<Rule, Fault> {
    let object = field.object()?;
    let peers_name = peers_name(direction);
    object.only(&["name", "action", peers_name, "protocols"], &[])?;
    let action_field = object.field("action");
    let action = match action_field.text()? {
        "Accept" => Action::Allow,
        "Deny" => Action::Deny,
        "Pass" => Action::Pass,
        _ => return Err(none_of(&action_field, &["Accept", "Deny", "Pass"])),
    };
    let peers_field = object.field(peers_name);
    let items = peers_field.list()?;
    if items.is_empty() || items.len() > MAX_RULES {
        return Err(peers_field.fault(format!("needs 1 to {MAX_RULES} peers")));
    }
    let mut peers = Vec::new();
    for item in &items {
        peers.extend(peer(item, direction, action)?);
    }
    let mut ports = Vec::new();
    for item in object.items("protocols")? {
        ports.extend(protocol(&item)?);
    }
    if object.get("protocols").is_some() && ports.is_empty() {
        return Err(object
            .field("protocols")
            .fault("is empty: leave it out to mean all"));
    }
    Ok(Rule {
        place: field.path.clone(),
        action,
        peers: Peers::OneOf(peers),
        ports,
        l7: None,
    })
}

fn peers_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

fn peer(field: &Field<'_>, direction: Direction, action: Action) -> Result<Vec<Peer>, Fault> {
    let object = field.object()?;
    if direction == Direction::Egress {
        object.only(
            &["namespaces", "pods", "networks", "domainNames"],
            &[("nodes", "is not supported yet: use `networks`")],
        )?;
        if let Some(networks) = object.get("networks") {
            single(&object, field)?;
            let prefix = |item: &Field<'_>| {
                Ok(Peer::Cidr {
                    cidr: cidr::prefix(item)?,
                    except: Vec::new(),
                    cluster_too: true,
                })
            };
            return networks.list()?.iter().map(prefix).collect();
        }
        if let Some(names) = object.get("domainNames") {
            single(&object, field)?;
            if action != Action::Allow {
                return Err(names
                    .fault("stands in Accept rules only: what is not looked up is not matched"));
            }
            return names.list()?.iter().map(domain).collect();
        }
    }
    Ok(vec![Peer::Pods(pods_of(field)?)])
}

/// `*.` before a name stands for one label or more.
fn domain(item: &Field<'_>) -> Result<Peer, Fault> {
    let text = item.text()?;
    let name = match text.strip_prefix("*.") {
        Some(rest) => {
            NamePattern::exact(rest).and_then(|_| NamePattern::new(&format!("**.{rest}")))
        }
        None => NamePattern::exact(text),
    };
    name.map(Peer::Name)
        .map_err(|error| item.fault(error.to_string()))
}

fn single(object: &Object<'_>, field: &Field<'_>) -> Result<(), Fault> {
    match object.entries().count() {
        1 => Ok(()),
        _ => Err(field.fault("needs exactly one field")),
    }
}

/// `namespaces` or `pods`, one of them.
fn pods_of(field: &Field<'_>) -> Result<PodSelector, Fault> {
    let object = field.object()?;
    object.only(&["namespaces", "pods"], &[])?;
    single(&object, field)?;
    let selector = |field: &Field<'_>| labels::selector(field, labels::plain_key);
    if let Some(namespaces) = object.get("namespaces") {
        return Ok(PodSelector {
            namespaces: matching(selector(&namespaces)?),
            pods: Selector::default(),
        });
    }
    let pods = object.field("pods").object()?;
    pods.only(&["namespaceSelector", "podSelector"], &[])?;
    let namespaces = match pods.get("namespaceSelector") {
        Some(namespaces) => matching(selector(&namespaces)?),
        None => NamespaceScope::All,
    };
    Ok(PodSelector {
        namespaces,
        pods: selector(&pods.field("podSelector"))?,
    })
}

fn matching(selector: Selector) -> NamespaceScope {
    match selector.is_empty() {
        true => NamespaceScope::All,
        false => NamespaceScope::Matching(selector),
    }
}

fn protocol(field: &Field<'_>) -> Result<Vec<PortMatch>, Fault> {
    let object = field.object()?;
    object.only(&["tcp", "udp", "sctp", "destinationNamedPort"], &[])?;
    single(&object, field)?;
    if let Some(name) = object.get("destinationNamedPort") {
        let text = name.text()?;
        if !ports::is_service_name(text) {
            return Err(name.fault(format!("{} is not a port name", quoted(text))));
        }
        let every = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        return Ok(every
            .map(|protocol| PortMatch {
                protocol,
                port: Port::Named(text.to_owned()),
            })
            .to_vec());
    }
    for (name, protocol) in [
        ("tcp", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("sctp", Protocol::Sctp),
    ] {
        if let Some(given) = object.get(name) {
            let port = port(&given)?;
            return Ok(vec![PortMatch { protocol, port }]);
        }
    }
    Err(field.fault("needs exactly one field"))
}

fn port(field: &Field<'_>) -> Result<Port, Fault> {
    let object = field.object()?;
    object.only(&["destinationPort"], &[])?;
    let port = object.field("destinationPort");
    let object = port.object()?;
    object.only(&["number", "range"], &[])?;
    single(&object, &port)?;
    let number = |field: &Field<'_>| ports::number(field, field.integer()?);
    match object.get("range") {
        None => {
            let number = number(&object.field("number"))?;
            Ok(Port::Range(number, number))
        }
        Some(range) => {
            let object = range.object()?;
            object.only(&["start", "end"], &[])?;
            let (start, end) = (
                number(&object.field("start"))?,
                number(&object.field("end"))?,
            );
            if start >= end {
                return Err(range.fault("`start` must be less than `end`"));
            }
            Ok(Port::Range(start, end))
        }
    }
}

/// The stand-in: denies both directions of all that its subject may mean, first of all where its tier
/// is not known. One for each way to read the subject, none where that is nobody.
pub(super) fn closed(value: &Value) -> Vec<PolicySpec> {
    let root = Field::root(value);
    let object = root.object().and_then(|root| root.field("spec").object());
    let known = object.as_ref().ok();
    let tier = known.and_then(|spec| tier(spec).ok());
    let subjects = match known {
        Some(spec) => widened::pods(&spec.field("subject")),
        None => vec![widened::every_pod()],
    };
    let section = || Section {
        isolates: false,
        rules: vec![deny_all("spec".into())],
    };
    let specs = subjects.into_iter().map(|subject| PolicySpec {
        tier: tier.unwrap_or(Tier::Admin(0)),
        subject: Subjects::Pods(subject),
        ingress: section(),
        egress: section(),
    });
    specs.collect()
}

fn deny_all(place: String) -> Rule {
    Rule {
        place,
        action: Action::Deny,
        peers: Peers::Any,
        ports: Vec::new(),
        l7: None,
    }
}
