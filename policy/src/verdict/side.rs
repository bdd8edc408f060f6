//! The verdict of one end's rules.

use std::net::IpAddr;

use crate::{
    compile::{Decision, Slot, Snapshot, Verdict},
    http::{Request, doubt::announces_body, judge_every_reading},
    l7::{RequestVerdict, RuleList},
    model::Protocol,
    nearest::{View, nearest, weigh},
    reason::Reason,
};

use super::{
    Flow, HttpRequest, Outcome, SideVerdict,
    lists::{Decided, Lists},
};

/// Message types of echo requests (RFC 792, RFC 4443).
const ICMP_ECHO: u16 = 8;
const ICMPV6_ECHO: u16 = 128;

/// The verdict of a view; `with_nearest`: a denial by default names its nearest miss.
pub(super) fn judge(
    snapshot: &Snapshot,
    lists: &mut Lists,
    flow: &Flow,
    view: &View<'_>,
    with_nearest: bool,
) -> SideVerdict {
    let unknown = |what| SideVerdict::new(Outcome::Deny, &Reason::Unknown(what));
    let own = view.own.id();
    let endpoint = snapshot.endpoint(&own);
    let set = endpoint.and_then(|of| Some((of.set, snapshot.sets.get(&of.set)?)));
    let Some((id, set)) = set else {
        return unknown(own.to_string());
    };
    let side = set.side(view.direction);
    if !side.enforced() {
        return SideVerdict::new(Outcome::Allow, &Reason::Unselected(view.direction));
    }
    let atoms = snapshot
        .address(view.address)
        .and_then(|entry| snapshot.classes.get(&entry.class));
    let Some(atoms) = atoms else {
        return unknown(format!("the class of {}", view.address));
    };
    let decision = side.decide(atoms, view.slot, view.port);
    if let (Verdict::L7 | Verdict::L7Audit, Some(request)) = (decision.verdict, &flow.http) {
        let decided = lists.decided(id, view.direction, side, &decision.rules);
        return requested(&decided, &decision, flow, request);
    }
    let reason = Reason::of(side, &decision);
    let audit = decision.verdict == Verdict::Audit;
    let outcome = match decision.verdict {
        Verdict::Deny => Outcome::Deny,
        Verdict::Allow | Verdict::Audit | Verdict::L7 | Verdict::L7Audit => Outcome::Allow,
    };
    let nearest_miss = match reason {
        Reason::Default { .. } if with_nearest => {
            nearest(&weigh(view, side, atoms), audit, flow, lists)
        }
        _ => None,
    };
    SideVerdict {
        audit,
        nearest_miss,
        ..SideVerdict::new(outcome, &reason)
    }
}

/// The verdict on a request where HTTP rules decide.
fn requested(
    decided: &Decided,
    decision: &Decision,
    flow: &Flow,
    request: &HttpRequest,
) -> SideVerdict {
    let mode = match decision.verdict {
        Verdict::L7Audit if decision.watched => RequestVerdict::watched,
        Verdict::L7Audit => RequestVerdict::audited,
        _ => |verdict| verdict,
    };
    let judged = match &decided.list {
        Ok(list) => judge_request(list, mode, flow, request),
        Err(error) => RequestVerdict::new(false, Vec::new(), error.to_string()),
    };
    SideVerdict {
        verdict: match judged.allowed {
            true => Outcome::Allow,
            false => Outcome::HttpDeny,
        },
        audit: judged.audit,
        policies: match judged.policies.is_empty() {
            true => decided.policies.clone(),
            false => judged.policies,
        },
        decided_by: judged.rule.into_iter().collect(),
        reason: judged.reason,
        nearest_miss: judged.nearest,
    }
}

/// Judges a request as the proxy would; `mode` is what rules in audit mode, or those that only look,
/// make of a verdict.
pub(crate) fn judge_request(
    list: &RuleList,
    mode: fn(RequestVerdict) -> RequestVerdict,
    flow: &Flow,
    request: &HttpRequest,
) -> RequestVerdict {
    let headers: Vec<(&str, &[u8])> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let request = Request {
        method: &request.method,
        path: (request.method != "CONNECT").then_some(request.path.as_str()),
        host: Some(request.host.as_deref().unwrap_or(&flow.to)),
        headers: &headers,
        body: announces_body(&headers),
    };
    judge_every_reading(&request, |request| mode(list.judge(request)))
}

/// The slot of a protocol; ICMP is another one for IPv6.
pub(crate) fn slot(protocol: Protocol, peer: IpAddr) -> Slot {
    match protocol {
        Protocol::Icmp if peer.is_ipv6() => Slot::Icmpv6,
        other => Slot::of(other),
    }
}

/// The judged port; a flow that is ICMP is an echo.
pub(crate) fn judged_port(flow: &Flow, peer: IpAddr, port: u16) -> u16 {
    match slot(flow.protocol, peer) {
        Slot::Icmp => ICMP_ECHO,
        Slot::Icmpv6 => ICMPV6_ECHO,
        _ => port,
    }
}
