//! A reason as records have it, and how its rule matched.

use weir_policy::reason::Reason;

use super::Reasons;
use crate::api::weir::Why;

/// How a rule matched, as the API numbers it.
pub(super) mod matched {
    use weir_policy::compile::{CompiledPort, CompiledRule, PeerMatch};

    pub const NONE: u32 = 0;
    pub const PEER: u32 = 1;
    pub const PEER_AND_PORT: u32 = 2;
    pub const PORT: u32 = 3;
    pub const ALL: u32 = 4;
    pub const PEER_AND_PROTOCOL: u32 = 5;
    pub const PROTOCOL: u32 = 6;

    /// Of one rule.
    pub fn how(rule: &CompiledRule) -> u32 {
        let whole = |port: &CompiledPort| matches!(port, CompiledPort::Range(_, 0, u16::MAX));
        let peers = rule.peers != PeerMatch::Any;
        match (peers, rule.ports.is_empty(), rule.ports.iter().all(whole)) {
            (true, true, _) => PEER,
            (false, true, _) => ALL,
            (true, false, true) => PEER_AND_PROTOCOL,
            (false, false, true) => PROTOCOL,
            (true, false, false) => PEER_AND_PORT,
            (false, false, false) => PORT,
        }
    }
}

/// The reason with its rules by name: each beside its policy, or without a rule where a default
/// decided.
pub(super) fn told(reason: &Reason, matched: u32) -> Reasons {
    let default_deny = matches!(reason, Reason::Default { .. });
    let rules = reason.rules().iter();
    let (policies, rules) = match default_deny {
        true => {
            let policies = reason.policies();
            let rules = vec![String::new(); policies.len()];
            (policies, rules)
        }
        false => rules
            .map(|rule| (rule.policy.clone(), rule.field.clone()))
            .unzip(),
    };
    Reasons {
        why: Why {
            policies,
            rules,
            default_deny,
            reason: reason.to_string(),
            ..Why::default()
        },
        matched,
        unselected: matches!(reason, Reason::Unselected(_) | Reason::OwnNode),
    }
}
