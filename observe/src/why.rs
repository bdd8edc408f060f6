//! Why a new flow got its verdict: the rules that decided, and for a denial the nearest miss.

mod named;

use std::collections::HashMap;

use weir_abi::{
    counter,
    event::Event,
    policy::{direction, verdict},
};
use weir_policy::{
    compile::Slot,
    explain::{Explainer, SideExplanation},
    model::{Direction, Protocol},
    verdict::Flow,
};

use crate::{api::weir::Why, names::Names, record::address};

use named::{matched, named};

/// Explanations kept at once; past it they are forgotten together.
const KEPT: usize = 4096;
/// Explanations made at one revision: each takes time in proportion to the policies, and a port
/// scan asks for tens of thousands. Past it the rule or the default is named without a nearest miss.
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

/// What a verdict depends on, within one revision.
type Key = (u32, u32, u8, u8, u16, bool);

/// Gives reasons at one revision.
pub struct Reasoner<'a> {
    names: &'a Names,
    explainer: Option<Explainer<'a>>,
    known: HashMap<Key, Reasons>,
    made: usize,
}

// === impl Reasoner ===

impl<'a> Reasoner<'a> {
    /// Reasons by these names.
    pub fn new(names: &'a Names) -> Self {
        Self {
            names,
            explainer: None,
            known: HashMap::new(),
            made: 0,
        }
    }

    /// The names it goes by.
    pub fn names(&self) -> &'a Names {
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
        let denied = is_denied(event.verdict);
        let key = (
            event.set,
            event.class,
            event.direction,
            event.protocol,
            judged_port(event),
            denied,
        );
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let mut reasons = self
            .by_rules(event)
            .unwrap_or_else(|| self.by_number(event));
        if denied && reasons.why.default_deny {
            reasons.why.nearest_miss = self.nearest_miss(event).unwrap_or_default();
        }
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(key, reasons.clone());
        reasons
    }

    /// By the number of the policy in the event.
    fn by_number(&self, event: &Event) -> Reasons {
        let named = self.names.snapshot.policies.get(&event.policy);
        let denied = is_denied(event.verdict);
        let reason = match (named, denied) {
            (Some(policy), true) => format!("denied by {policy}"),
            (Some(policy), false) => format!("allowed by {policy}"),
            (None, true) => "default deny".to_owned(),
            (None, false) => "no policy selects the endpoint".to_owned(),
        };
        Reasons {
            why: Why {
                policies: named.into_iter().cloned().collect(),
                rules: named.iter().map(|_| String::new()).collect(),
                default_deny: denied && named.is_none(),
                reason,
                ..Why::default()
            },
            matched: matched::NONE,
            unselected: named.is_none() && !denied,
        }
    }

    /// By the rules of the endpoint's set; `None` where the snapshot has not what the event names.
    fn by_rules(&self, event: &Event) -> Option<Reasons> {
        let snapshot = &self.names.snapshot;
        let set = snapshot.sets.get(&event.set)?;
        let side = match direction_of(event) {
            Direction::Ingress => &set.ingress,
            Direction::Egress => &set.egress,
        };
        let own = event.reason == counter::PASS_NODE;
        if own || !side.enforced() {
            return Some(Reasons {
                why: Why {
                    reason: match own {
                        true => "the node's own traffic is always allowed".to_owned(),
                        false => {
                            format!("no policy selects the endpoint for {}", direction_of(event))
                        }
                    },
                    ..Why::default()
                },
                matched: matched::ALL,
                unselected: true,
            });
        }
        let atoms = snapshot.classes.get(&event.class)?;
        let decision = side.decide(atoms, slot(event.protocol), judged_port(event));
        Some(named(side, &decision, event))
    }

    fn nearest_miss(&mut self, event: &Event) -> Option<String> {
        if self.made >= MOST {
            return None;
        }
        self.made += 1;
        let protocol = protocol(event.protocol)?;
        let icmp = matches!(protocol, Protocol::Icmp | Protocol::Icmpv6);
        let flow = Flow {
            from: self.names.target(address(event.source)),
            to: self.names.target(address(event.destination)),
            protocol,
            port: (!icmp).then_some(event.destination_port),
            http: None,
        };
        let names = self.names;
        let explainer = self
            .explainer
            .get_or_insert_with(|| Explainer::new(&names.world));
        let told = explainer.explain(&flow).ok()?;
        let side: SideExplanation = match direction_of(event) {
            Direction::Ingress => told.ingress,
            Direction::Egress => told.egress,
        };
        side.nearest_miss.map(|miss| miss.text)
    }
}

/// Whether a verdict denies, or would but for audit mode.
pub fn is_denied(verdict: u8) -> bool {
    !matches!(verdict, verdict::ALLOW | verdict::REDIRECT)
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
