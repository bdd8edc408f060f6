//! The verdict of one end's rules, in words.

use std::{net::IpAddr, sync::Arc};

use crate::{
    compile::{DirectionSet, PeerMatch, PolicyId, Slot, Snapshot, Verdict},
    http::{Request, RequestVerdict, doubt::announces_body, judge_every_reading},
    l7::{self, RuleList},
    model::{Direction, Pod, Protocol},
};

use super::{Flow, HttpRequest, Outcome, SideVerdict};

/// Message types of echo requests (RFC 792, RFC 4443).
const ICMP_ECHO: u16 = 8;
const ICMPV6_ECHO: u16 = 128;

pub(super) fn judge(
    snapshot: &Snapshot,
    flow: &Flow,
    direction: Direction,
    pod: &Pod,
    peer: IpAddr,
    port: u16,
) -> SideVerdict {
    let denied = |reason: String| SideVerdict {
        verdict: Outcome::Deny,
        audit: false,
        policies: Vec::new(),
        reason,
    };
    let set = snapshot
        .endpoint(&pod.namespace, &pod.name)
        .and_then(|endpoint| snapshot.sets.get(&endpoint.set));
    let Some(set) = set else {
        return denied(format!("{} is not known", pod.full_name()));
    };
    let side = match direction {
        Direction::Ingress => &set.ingress,
        Direction::Egress => &set.egress,
    };
    if !side.enforced() {
        return SideVerdict {
            verdict: Outcome::Allow,
            audit: false,
            policies: Vec::new(),
            reason: format!("no policy selects {} for {direction}", pod.full_name()),
        };
    }
    let atoms = snapshot
        .address(peer)
        .and_then(|entry| snapshot.classes.get(&entry.class));
    let Some(atoms) = atoms else {
        return denied(format!("{peer} has no class"));
    };
    let decision = side.decide(atoms, slot(flow.protocol, peer), kind(flow, peer, port));
    let mut policies = Vec::new();
    let mut places = Vec::new();
    for rule in decision.rules.iter().filter_map(|i| side.rules.get(*i)) {
        let object = rule.object.to_string();
        places.push(format!("{object} ({})", rule.place));
        if !policies.contains(&object) {
            policies.push(object);
        }
    }
    let verdict = |verdict, policies, reason| SideVerdict {
        verdict,
        audit: false,
        policies,
        reason,
    };
    let default_deny = |isolating: &[(PolicyId, Arc<str>)]| {
        let isolating: Vec<String> = isolating
            .iter()
            .map(|(_, object)| object.to_string())
            .collect();
        let reason = format!(
            "default deny: {} selects {} for {direction} and no rule matches{}",
            isolating.join(", "),
            pod.full_name(),
            nearest(side, atoms, flow, peer, port)
        );
        (isolating, reason)
    };
    match decision.verdict {
        Verdict::Allow if places.is_empty() => verdict(
            Outcome::Allow,
            policies,
            format!("no rule denies it, and {direction} is open by default"),
        ),
        Verdict::Allow => verdict(
            Outcome::Allow,
            policies,
            format!("allowed by {}", places.join(", ")),
        ),
        Verdict::Deny if places.is_empty() => {
            let (isolating, reason) = default_deny(&side.isolating);
            verdict(Outcome::Deny, isolating, reason)
        }
        Verdict::Deny => verdict(
            Outcome::Deny,
            policies,
            format!("denied by {}", places.join(", ")),
        ),
        Verdict::Audit => {
            let (policies, reason) = if places.is_empty() {
                default_deny(&side.auditing)
            } else {
                (policies, format!("denied by {}", places.join(", ")))
            };
            SideVerdict {
                audit: true,
                ..verdict(
                    Outcome::Allow,
                    policies,
                    format!("audit only, would be {reason}"),
                )
            }
        }
        Verdict::Http | Verdict::HttpAudit => match &flow.http {
            None => verdict(
                Outcome::Allow,
                policies,
                format!(
                    "connections pass; HTTP rules of {} decide on requests",
                    places.join(", ")
                ),
            ),
            Some(request) => {
                let judged = judge_request(side, &decision.rules, flow, request);
                let policies = if judged.policies.is_empty() {
                    policies
                } else {
                    judged.policies
                };
                match (judged.allowed, decision.verdict) {
                    (true, _) => verdict(Outcome::Allow, policies, judged.reason),
                    (false, Verdict::HttpAudit) => SideVerdict {
                        audit: true,
                        ..verdict(
                            Outcome::Allow,
                            policies,
                            format!("audit only, would be denied: {}", judged.reason),
                        )
                    },
                    (false, _) => verdict(Outcome::HttpDeny, policies, judged.reason),
                }
            }
        },
    }
}

/// The slot of a protocol; ICMP is another one for IPv6.
pub(crate) fn slot(protocol: Protocol, peer: IpAddr) -> Slot {
    match protocol {
        Protocol::Icmp if peer.is_ipv6() => Slot::Icmpv6,
        other => Slot::of(other),
    }
}

/// The destination port, or the message type: a flow that is ICMP is an echo.
pub(crate) fn kind(flow: &Flow, peer: IpAddr, port: u16) -> u16 {
    match slot(flow.protocol, peer) {
        Slot::Icmp => ICMP_ECHO,
        Slot::Icmpv6 => ICMPV6_ECHO,
        _ => port,
    }
}

/// Judges a request as the proxy would.
fn judge_request(
    side: &DirectionSet,
    rules: &[usize],
    flow: &Flow,
    request: &HttpRequest,
) -> RequestVerdict {
    let list = match RuleList::new(&l7::owned(side, rules).0) {
        Ok(list) => list,
        Err(error) => return RequestVerdict::new(false, Vec::new(), error.to_string()),
    };
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
    judge_every_reading(&request, |request| list.judge(request))
}

/// What the rule that comes nearest lacks.
fn nearest(
    side: &DirectionSet,
    atoms: &[crate::compile::AtomId],
    flow: &Flow,
    peer: IpAddr,
    port: u16,
) -> String {
    let (slot, port) = (slot(flow.protocol, peer), kind(flow, peer, port));
    let miss = side.rules.iter().find_map(|rule| {
        let peer = rule.peers.matches(atoms);
        let ports = rule.covers(atoms, slot, port);
        let what = match (peer, ports) {
            (true, false) => format!("its ports do not include {}/{port}", flow.protocol),
            (false, true) if rule.peers != PeerMatch::OneOf(Vec::new()) => {
                "its peers do not include the other end".to_owned()
            }
            _ => return None,
        };
        Some(format!(
            "; the nearest, {} of {}, would but {what}",
            rule.place, rule.object
        ))
    });
    miss.unwrap_or_default()
}
