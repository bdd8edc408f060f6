//! One entry of `ingress`, `egress`, `ingressDeny` or `egressDeny`: a rule for each `toPorts` entry.

use super::{http, icmp, names, peers, widened};
use crate::model::{Action, Direction, L7, NamespaceScope, PortMatch, Rule};
use crate::objects::{
    field::{Fault, Field, Object},
    ports::{self, CiliumPorts, Need},
};

const AUTHENTICATION: (&str, &str) = ("authentication", "is not supported yet");
const OF_EGRESS: &str = "belongs to egress rules";
const OF_INGRESS: &str = "belongs to ingress rules";
const REQUIRES: &str = "was removed from Cilium: put its labels into the selectors";

const INGRESS_REFUSED: &[(&str, &str)] = &[
    AUTHENTICATION,
    ("fromRequires", REQUIRES),
    ("fromGroups", "cloud provider groups are not supported yet"),
    ("toEndpoints", OF_EGRESS),
    ("toEntities", OF_EGRESS),
    ("toCIDR", OF_EGRESS),
    ("toCIDRSet", OF_EGRESS),
    ("toFQDNs", OF_EGRESS),
    ("toServices", OF_EGRESS),
    ("toNodes", OF_EGRESS),
];
const EGRESS_REFUSED: &[(&str, &str)] = &[
    AUTHENTICATION,
    ("toRequires", REQUIRES),
    ("toGroups", "cloud provider groups are not supported yet"),
    ("fromNodes", OF_INGRESS),
    ("fromEndpoints", OF_INGRESS),
    ("fromEntities", OF_INGRESS),
    ("fromCIDR", OF_INGRESS),
    ("fromCIDRSet", OF_INGRESS),
];
const PORTS_REFUSED: &[(&str, &str)] = &[
    ("terminatingTLS", "TLS termination is not supported yet"),
    ("originatingTLS", "TLS origination is not supported yet"),
    ("listener", "custom Envoy listeners are not supported"),
];
const DENY_PORTS_REFUSED: &[(&str, &str)] = &[
    (
        "rules",
        "a deny rule judges addresses and ports only: deny requests by not allowing them",
    ),
    (
        "serverNames",
        "a deny rule judges addresses and ports only: deny server names by not allowing them",
    ),
];
const L7_REFUSED: &[(&str, &str)] = &[("kafka", REMOVED), ("l7", REMOVED), ("l7proto", REMOVED)];
const REMOVED: &str = "was removed in Cilium 1.20: `http` and `dns` are left";

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
        rules = vec![widened::deny(field, direction, scope)];
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
    object.only(
        &fields(direction),
        match direction {
            Direction::Ingress => INGRESS_REFUSED,
            Direction::Egress => EGRESS_REFUSED,
        },
    )?;
    if let (Action::Deny, Some(names)) = (action, object.get("toFQDNs")) {
        return Err(names
            .fault("a deny rule cannot be about DNS names: what is not looked up is not denied"));
    }
    let peers = peers::peers(&object, direction, scope)?;
    let entries = object.items("toPorts")?;
    let rule = |place: &str, ports, l7| Rule {
        place: place.to_owned(),
        action,
        peers: peers.clone().unwrap_or(crate::model::Peers::Any),
        ports,
        l7,
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
        match ports_entry(entry, direction, action, bad) {
            Ok((ports, l7)) => rules.push(rule(&entry.path, ports, l7)),
            Err(fault) => bad.push(fault),
        }
    }
    Ok(rules)
}

/// The fields of an entry.
pub(super) fn fields(direction: Direction) -> Vec<&'static str> {
    let mut known = peers::members(direction).to_vec();
    known.extend(["toPorts", "icmps"]);
    known
}

fn ports_entry(
    field: &Field<'_>,
    direction: Direction,
    action: Action,
    bad: &mut Vec<Fault>,
) -> Result<(Vec<PortMatch>, Option<L7>), Fault> {
    let entry = field.object()?;
    let (l7, need) = match action {
        Action::Allow => {
            entry.only(&["ports", "rules", "serverNames"], PORTS_REFUSED)?;
            match names::server_names(&entry)? {
                Some(names) => (Some(L7::Tls(names)), Need::Nothing),
                None => l7(&entry, direction, bad)?,
            }
        }
        Action::Deny | Action::Pass => {
            entry.only(&["ports"], DENY_PORTS_REFUSED)?;
            (None, Need::Nothing)
        }
    };
    let ports = match ports::cilium(&entry, need)? {
        CiliumPorts::Everything => Vec::new(),
        CiliumPorts::These(ports) => ports,
    };
    Ok((ports, l7))
}

/// What `rules` say, if the entry is about more than ports. Bad entries are left out.
fn l7(
    entry: &Object<'_>,
    direction: Direction,
    bad: &mut Vec<Fault>,
) -> Result<(Option<L7>, Need), Fault> {
    let Some(rules) = entry.get("rules") else {
        return Ok((None, Need::Nothing));
    };
    let rules = rules.object()?;
    rules.only(&["http", "dns"], L7_REFUSED)?;
    match (rules.get("http"), rules.get("dns")) {
        (None, None) => Ok((None, Need::Nothing)),
        (Some(_), Some(dns)) => {
            Err(dns.fault("cannot stand beside `http`: write an entry for each"))
        }
        (Some(http), None) => {
            let items = http.list()?;
            if items.is_empty() {
                return Err(http.fault(
                    "is empty: `[{}]` allows every request, without `rules` the port is not looked into",
                ));
            }
            Ok((Some(L7::Http(good(&items, http::rule, bad))), Need::Http))
        }
        (None, Some(dns)) => {
            if direction == Direction::Ingress {
                return Err(
                    dns.fault("belongs to egress rules: queries are judged where they are asked")
                );
            }
            let items = dns.list()?;
            if items.is_empty() {
                return Err(dns.fault(
                    "is empty: `[{matchPattern: \"*\"}]` allows every query, without `rules` the port is not looked into",
                ));
            }
            Ok((Some(L7::Dns(good(&items, names::selector, bad))), Need::Dns))
        }
    }
}

fn good<T>(
    items: &[Field<'_>],
    read: fn(&Field<'_>) -> Result<T, Fault>,
    bad: &mut Vec<Fault>,
) -> Vec<T> {
    let mut good = Vec::with_capacity(items.len());
    for item in items {
        match read(item) {
            Ok(rule) => good.push(rule),
            Err(fault) => bad.push(fault),
        }
    }
    good
}
