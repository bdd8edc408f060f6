//! Why a new flow got its verdict: the rules that decided, and for a denial the nearest miss.

mod named;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use weir_abi::{
    Address, counter,
    event::Event,
    policy::{direction, verdict},
};
use weir_policy::{
    compile::{Decision, Slot, Verdict},
    model::{Direction, Protocol},
    reason::{Reason, RuleRef},
    verdict::{Flow, Simulator},
};

use crate::{api::weir::Why, names::Directory, record::address};

use named::{matched, told};

/// Reasons kept at once; past it they are forgotten together.
const KEPT: usize = 4096;
/// Nearest misses found at one revision: each takes time in proportion to the policies, and a port
/// scan asks for tens of thousands. Past it the rule or the default is named without one.
const MOST: usize = 20_000;

/// What decided, and how the rule matched (see `policy_match_type` of a flow).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reasons {
    /// For people and programs.
    pub why: Why,
    /// See `policy_match_type`.
    pub matched: u32,
    /// No policy selects the endpoint for this direction.
    pub unselected: bool,
}

/// What a reason depends on, within one revision: set, class, direction, protocol, port, verdict,
/// the policy's number, and whether it is the node's own traffic, which shares its class with others.
///
/// INVARIANT: what is kept for it says nothing that is one flow's: no address, family, pod or name.
type Key = (u32, u32, u8, u8, u16, u8, u32, bool);

/// Gives reasons at one revision.
pub struct Reasoner<'a> {
    names: &'a Directory,
    simulator: Option<Simulator<'a>>,
    known: HashMap<Key, Reasons>,
    /// Nearest misses, which name the ends, and not their classes only.
    misses: HashMap<(Key, Address, Address), String>,
    made: usize,
}

// === impl Reasoner ===

impl<'a> Reasoner<'a> {
    /// Reasons by these names.
    pub fn new(names: &'a Directory) -> Self {
        Self {
            names,
            simulator: None,
            known: HashMap::new(),
            misses: HashMap::new(),
            made: 0,
        }
    }

    /// The names it goes by.
    pub fn names(&self) -> &'a Directory {
        self.names
    }

    /// The revision it knows the rules of.
    pub fn revision(&self) -> u32 {
        self.names.snapshot.revision as u32
    }

    /// The reasons of an event. One that was judged under another revision gets the policy's name
    /// at most, because its rules may be others now.
    pub fn reasons(&mut self, event: &Event) -> Reasons {
        let mut reasons = self.look_up(event);
        reasons.why.revision = event.revision.into();
        reasons
    }

    fn look_up(&mut self, event: &Event) -> Reasons {
        if self.revision() != event.revision {
            return self.by_number(event);
        }
        let key = (
            event.set,
            event.class,
            event.direction,
            event.protocol,
            judged_port(event),
            event.verdict,
            event.policy,
            is_own(event),
        );
        let mut reasons = match self.known.get(&key) {
            Some(known) => known.clone(),
            None => {
                let made = self
                    .by_rules(event)
                    .unwrap_or_else(|| self.by_number(event));
                kept(&mut self.known).insert(key, made.clone());
                made
            }
        };
        if reasons.why.default_deny {
            let ends = (key, event.source, event.destination);
            reasons.why.nearest_miss = match self.misses.get(&ends) {
                Some(known) => known.clone(),
                None => {
                    let found = self.nearest_miss(event).unwrap_or_default();
                    kept(&mut self.misses).insert(ends, found.clone());
                    found
                }
            };
        }
        reasons
    }

    /// By the number of the policy in the event.
    fn by_number(&self, event: &Event) -> Reasons {
        let named = self.names.snapshot.policies.get(&event.policy);
        let denied = is_denied(event.verdict);
        let rule = named.map(|policy| RuleRef::new(policy.clone(), ""));
        let reason = match (rule, denied) {
            (Some(rule), _) => Reason::Rules(judged(event), vec![rule]),
            (None, true) => Reason::Default {
                policies: Vec::new(),
                audit: is_audit(event.verdict),
            },
            (None, false) => Reason::Unselected(direction_of(event)),
        };
        told(&reason, matched::NONE)
    }

    /// By the rules of the endpoint's set; `None` where the snapshot has not what the event names.
    fn by_rules(&self, event: &Event) -> Option<Reasons> {
        let snapshot = &self.names.snapshot;
        let set = snapshot.sets.get(&event.set)?;
        let side = set.side(direction_of(event));
        if is_own(event) {
            return Some(told(&Reason::OwnNode, matched::ALL));
        }
        if !side.enforced() {
            let reason = Reason::Unselected(direction_of(event));
            return Some(told(&reason, matched::ALL));
        }
        let atoms = snapshot.classes.get(&event.class)?;
        // The kernel's own verdict, with the rules that the engine finds for it.
        let decision = Decision {
            verdict: judged(event),
            ..side.decide(atoms, slot(event.protocol), judged_port(event))
        };
        let first = decision.rules.first().and_then(|at| side.rules.get(*at));
        let matched = first.map_or(matched::NONE, matched::how);
        Some(told(&Reason::of(side, &decision), matched))
    }

    fn nearest_miss(&mut self, event: &Event) -> Option<String> {
        if self.made >= MOST {
            return None;
        }
        self.made += 1;
        let protocol = protocol(event.protocol)?;
        let icmp = matches!(protocol, Protocol::Icmp | Protocol::Icmpv6);
        let flow = Flow {
            // By address: a pod has one of each family, and rules tell them apart.
            from: address(event.source).to_string(),
            to: address(event.destination).to_string(),
            protocol,
            port: (!icmp).then_some(event.destination_port),
            port_name: None,
            http: None,
        };
        let names = self.names;
        let simulator = self
            .simulator
            .get_or_insert_with(|| Simulator::new(&names.world));
        let verdict = simulator.judge(&flow).ok()?;
        let side = match direction_of(event) {
            Direction::Ingress => verdict.ingress,
            Direction::Egress => verdict.egress,
        };
        side.nearest_miss.map(|miss| miss.text)
    }
}

/// Room for one more.
fn kept<K, V>(known: &mut HashMap<K, V>) -> &mut HashMap<K, V> {
    if known.len() >= KEPT {
        known.clear();
    }
    known
}

/// Whether a verdict denies, or would but for audit mode.
pub fn is_denied(verdict: u8) -> bool {
    !matches!(verdict, verdict::ALLOW | verdict::REDIRECT)
}

fn is_audit(verdict: u8) -> bool {
    matches!(verdict, verdict::AUDIT | verdict::AUDIT_REDIRECT)
}

/// Whether it is the traffic of the endpoint's own node.
fn is_own(event: &Event) -> bool {
    event.reason == counter::PASS_NODE
}

/// The event's verdict as the engine has it; one that is not known denies.
fn judged(event: &Event) -> Verdict {
    match event.verdict {
        verdict::ALLOW => Verdict::Allow,
        verdict::REDIRECT => Verdict::L7,
        verdict::AUDIT => Verdict::Audit,
        verdict::AUDIT_REDIRECT => Verdict::L7Audit,
        _ => Verdict::Deny,
    }
}

/// From the endpoint's view.
pub fn direction_of(event: &Event) -> Direction {
    match event.direction {
        direction::INGRESS => Direction::Ingress,
        _ => Direction::Egress,
    }
}

fn judged_port(event: &Event) -> u16 {
    match event.protocol {
        weir_abi::protocol::ICMP | weir_abi::protocol::ICMPV6 => event.detail.into(),
        _ => event.destination_port,
    }
}

fn protocol(number: u8) -> Option<Protocol> {
    Some(match number {
        weir_abi::protocol::TCP => Protocol::Tcp,
        weir_abi::protocol::UDP => Protocol::Udp,
        weir_abi::protocol::SCTP => Protocol::Sctp,
        weir_abi::protocol::ICMP => Protocol::Icmp,
        weir_abi::protocol::ICMPV6 => Protocol::Icmpv6,
        _ => return None,
    })
}

fn slot(number: u8) -> Slot {
    protocol(number).map_or(Slot::Other, Slot::of)
}
