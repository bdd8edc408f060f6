//! One entry of `ingress`, `egress`, `ingressDeny` or `egressDeny`: a rule for each `toPorts` entry.

use super::{deny_all, http, icmp, peers};
use crate::model::{Action, Direction, HttpRule, NamespaceScope, PortMatch, Rule};
use crate::objects::{
    field::{Fault, Field, Object},
    ports::{self, CiliumPorts},
};

const AUTHENTICATION: (&str, &str) = ("authentication", "is not supported yet");
const OF_EGRESS: &str = "belongs to egress rules";
const OF_INGRESS: &str = "belongs to ingress rules";
const REQUIRES: &str = "was removed from Cilium: put its labels into the selectors";

const INGRESS_REFUSED: &[(&str, &str)] = &[
    AUTHENTICATION,
    ("fromRequires", REQUIRES),
    ("fromGroups", "cloud provider groups are not supported yet"),
    ("fromNodes", "node selectors are not supported yet"),
    ("toEndpoints", OF_EGRESS),
    ("toEntities", OF_EGRESS),
    ("toCIDR", OF_EGRESS),
    ("toCIDRSet", OF_EGRESS),
    ("toFQDNs", OF_EGRESS),
    ("toServices", OF_EGRESS),
];
const EGRESS_REFUSED: &[(&str, &str)] = &[
    AUTHENTICATION,
    ("toRequires", REQUIRES),
    ("toGroups", "cloud provider groups are not supported yet"),
    ("toNodes", "node selectors are not supported yet"),
    ("toFQDNs", "rules by DNS name are not supported yet"),
    ("fromEndpoints", OF_INGRESS),
    ("fromEntities", OF_INGRESS),
    ("fromCIDR", OF_INGRESS),
    ("fromCIDRSet", OF_INGRESS),
];
const PORTS_REFUSED: &[(&str, &str)] = &[
    (
        "serverNames",
        "rules by TLS server name are not supported yet",
    ),
    ("terminatingTLS", "TLS termination is not supported yet"),
    ("originatingTLS", "TLS origination is not supported yet"),
    ("listener", "custom Envoy listeners are not supported"),
];
const DENY_PORTS_REFUSED: &[(&str, &str)] = &[(
    "rules",
    "a deny rule judges addresses and ports only: deny requests by not allowing them",
)];
const L7_REFUSED: &[(&str, &str)] = &[
    ("dns", "DNS rules are not supported yet"),
    ("kafka", "was removed in Cilium 1.20: only `http` is left"),
    ("l7", "was removed in Cilium 1.20: only `http` is left"),
    ("l7proto", "was removed in Cilium 1.20: only `http` is left"),
];

/// The model's rules of one entry. What is bad is left out of an allow and widens a deny.
pub(super) fn rules(
    field: &Field<'_>,
    direction: Direction,
    action: Action,
    scope: &NamespaceScope,
    faults: &mut Vec<Fault>,
) -> Vec<Rule> {
    let mut bad = Vec::new();
    let mut rules = match read(field, direction, action, scope, &mut bad) {
        Ok(rules) => rules,
        Err(fault) => {
            bad.push(fault);
            Vec::new()
        }
    };
    if action == Action::Deny && !bad.is_empty() {
        rules = vec![deny_all(field.path.clone())];
    }
    faults.append(&mut bad);
    rules
}

fn read(
    field: &Field<'_>,
    direction: Direction,
    action: Action,
    scope: &NamespaceScope,
    bad: &mut Vec<Fault>,
) -> Result<Vec<Rule>, Fault> {
    let object = field.object()?;
    let mut known = peers::members(direction).to_vec();
    known.extend(["toPorts", "icmps"]);
    object.only(
        &known,
        match direction {
            Direction::Ingress => INGRESS_REFUSED,
            Direction::Egress => EGRESS_REFUSED,
        },
    )?;
    let peers = peers::peers(&object, direction, scope)?;
    let entries = object.items("toPorts")?;
    let rule = |place: &str, ports, http| Rule {
        place: place.to_owned(),
        action,
        peers: peers.clone().unwrap_or(crate::model::Peers::Any),
        ports,
        http,
    };
    if let Some(types) = icmp::types(&object)? {
        return Ok(vec![rule(&field.path, types, None)]);
    }
    if entries.is_empty() {
        // Neither a peer nor a port: isolates and says nothing else (`ingress: [{}]`).
        return Ok(match peers {
            None => Vec::new(),
            Some(_) => vec![rule(&field.path, Vec::new(), None)],
        });
    }
    let mut rules = Vec::with_capacity(entries.len());
    for entry in &entries {
        match ports_entry(entry, action, bad) {
            Ok((ports, http)) => rules.push(rule(&entry.path, ports, http)),
            Err(fault) => bad.push(fault),
        }
    }
    Ok(rules)
}

type PortsAndHttp = (Vec<PortMatch>, Option<Vec<HttpRule>>);

fn ports_entry(
    field: &Field<'_>,
    action: Action,
    bad: &mut Vec<Fault>,
) -> Result<PortsAndHttp, Fault> {
    let entry = field.object()?;
    let http = match action {
        Action::Allow => {
            entry.only(&["ports", "rules"], PORTS_REFUSED)?;
            l7(&entry)?
        }
        Action::Deny => {
            entry.only(&["ports"], DENY_PORTS_REFUSED)?;
            None
        }
    };
    let ports = match ports::cilium(&entry, http.is_some())? {
        CiliumPorts::Everything => Vec::new(),
        CiliumPorts::These(ports) => ports,
    };
    let http = http.map(|items| {
        let mut rules = Vec::with_capacity(items.len());
        for item in &items {
            match http::rule(item) {
                Ok(rule) => rules.push(rule),
                Err(fault) => bad.push(fault),
            }
        }
        rules
    });
    Ok((ports, http))
}

/// The entries of `rules.http`, if the rule is about requests at all.
fn l7<'a>(entry: &Object<'a>) -> Result<Option<Vec<Field<'a>>>, Fault> {
    let Some(rules) = entry.get("rules") else {
        return Ok(None);
    };
    let rules = rules.object()?;
    rules.only(&["http"], L7_REFUSED)?;
    let Some(http) = rules.get("http") else {
        return Ok(None);
    };
    let items = http.list()?;
    if items.is_empty() {
        return Err(http.fault(
            "is empty: `[{}]` allows every request, without `rules` the port is not looked into",
        ));
    }
    Ok(Some(items))
}
