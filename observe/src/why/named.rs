//! The rules of a decision by name, and how they matched.

use weir_abi::{event::Event, policy::verdict};
use weir_policy::compile::{CompiledPort, CompiledRule, Decision, DirectionSet, PeerMatch};

use super::{Reasons, is_denied};
use crate::api::weir::Why;

/// How a rule matched, as the API numbers it.
pub(super) mod matched {
    pub const NONE: u32 = 0;
    pub const PEER: u32 = 1;
    pub const PEER_AND_PORT: u32 = 2;
    pub const PORT: u32 = 3;
    pub const ALL: u32 = 4;
    pub const PEER_AND_PROTOCOL: u32 = 5;
    pub const PROTOCOL: u32 = 6;
}

/// The rules of a decision by name.
pub(super) fn named(side: &DirectionSet, decision: &Decision, event: &Event) -> Reasons {
    let rules: Vec<&CompiledRule> = decision
        .rules
        .iter()
        .filter_map(|index| side.rules.get(*index))
        .collect();
    let denied = is_denied(event.verdict);
    let verb = match event.verdict {
        verdict::ALLOW => "allowed by",
        verdict::REDIRECT => "HTTP rules of",
        verdict::AUDIT | verdict::AUDIT_REDIRECT => "would be denied by",
        _ => "denied by",
    };
    if rules.is_empty() {
        let audited = matches!(event.verdict, verdict::AUDIT | verdict::AUDIT_REDIRECT);
        let isolating = if audited {
            &side.auditing
        } else {
            &side.isolating
        };
        let policies: Vec<String> = isolating.iter().map(|(_, name)| name.to_string()).collect();
        let reason = match (denied, policies.is_empty()) {
            (false, _) => "no rule denies it and no policy denies by default".to_owned(),
            (true, true) => "default deny".to_owned(),
            (true, false) => {
                let would = if audited { "would be the " } else { "" };
                format!("{would}default deny of {}", policies.join(", "))
            }
        };
        let rules = vec![String::new(); policies.len()];
        return Reasons {
            why: Why {
                policies: if denied { policies } else { Vec::new() },
                rules: if denied { rules } else { Vec::new() },
                default_deny: denied,
                reason,
                ..Why::default()
            },
            matched: matched::NONE,
            unselected: false,
        };
    }
    let told: Vec<String> = rules
        .iter()
        .map(|rule| format!("{} ({})", rule.object, rule.place))
        .collect();
    Reasons {
        why: Why {
            policies: rules.iter().map(|rule| rule.object.to_string()).collect(),
            rules: rules.iter().map(|rule| rule.place.clone()).collect(),
            reason: format!("{verb} {}", told.join(", ")),
            ..Why::default()
        },
        matched: rules.first().map_or(matched::NONE, |rule| how(rule)),
        unselected: false,
    }
}

fn how(rule: &CompiledRule) -> u32 {
    let whole = |port: &CompiledPort| matches!(port, CompiledPort::Range(_, 0, u16::MAX));
    let peers = rule.peers != PeerMatch::Any;
    match (peers, rule.ports.is_empty(), rule.ports.iter().all(whole)) {
        (true, true, _) => matched::PEER,
        (false, true, _) => matched::ALL,
        (true, false, true) => matched::PEER_AND_PROTOCOL,
        (false, false, true) => matched::PROTOCOL,
        (true, false, false) => matched::PEER_AND_PORT,
        (false, false, false) => matched::PORT,
    }
}
