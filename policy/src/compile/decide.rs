//! The verdict of a policy set on a class, for one port or for all of them at once.

use std::collections::BTreeSet;

use crate::model::{Action, Protocol, Tier};

use super::{
    AtomId, CONTESTED,
    sets::{CompiledPort, CompiledRule, DirectionSet, PeerMatch, Watches},
};

/// What happens to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Passes.
    Allow,
    /// Passes the proxy, which decides on each request.
    L7,
    /// Dropped.
    Deny,
    /// Passes; policies in audit mode would drop it.
    Audit,
    /// Passes the proxy, which lets every request pass and reports those that policies in audit
    /// mode would deny; where its rules only look, it reports what passes.
    L7Audit,
}

/// A verdict with the rules that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Places in [`DirectionSet::rules`]; empty: no rule matched, the default of the direction.
    pub rules: Vec<usize>,
    /// Of `L7Audit`: the rules are those that only look, and neither deny nor report a denial.
    pub watched: bool,
}

/// The protocols that verdicts are kept for; all others share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP; its ports are message types.
    Icmp,
    /// ICMP for IPv6; its ports are message types.
    Icmpv6,
    /// Every other protocol; it has no ports.
    Other,
}

/// A range of ports with one verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The protocol.
    pub slot: Slot,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// The verdict.
    pub decision: Decision,
}

// === impl DirectionSet ===

impl DirectionSet {
    /// Whether a packet of this direction must be judged at all.
    pub fn enforced(&self) -> bool {
        let judged = |rule: &CompiledRule| rule.audit || rule.watching();
        self.denies() || !self.auditing.is_empty() || self.rules.iter().any(judged)
    }

    /// Whether a packet of this direction can be denied.
    pub fn denies(&self) -> bool {
        let deny = |rule: &CompiledRule| rule.action == Action::Deny && !rule.audit;
        !self.isolating.is_empty() || self.rules.iter().any(deny)
    }

    /// The verdict on a flow with a peer of these atoms to this port. The Admin tier is asked
    /// first. In the normal tier deny beats plain allow, plain allow beats HTTP rules, HTTP rules
    /// are a union, and the rest is denied. The Baseline tier is asked where nothing isolates.
    ///
    /// Policies in audit mode are not in force. Where they would make a difference to a flow that
    /// passes, the verdict says so. Else it says which rules want to look into what passes.
    pub fn decide(&self, atoms: &[AtomId], slot: Slot, port: u16) -> Decision {
        let real = self.decide_with(atoms, slot, port, false);
        if real.verdict != Verdict::Allow {
            return real;
        }
        let auditing = !self.auditing.is_empty() || self.rules.iter().any(|rule| rule.audit);
        let whole = auditing.then(|| self.decide_with(atoms, slot, port, true));
        let reported = match whole.as_ref().map(|whole| whole.verdict) {
            Some(Verdict::Deny) => Some(Verdict::Audit),
            Some(Verdict::L7) => Some(Verdict::L7Audit),
            _ => None,
        };
        if let Some((whole, verdict)) = whole.zip(reported) {
            return Decision { verdict, ..whole };
        }
        self.watching(atoms, slot, port).unwrap_or(real)
    }

    /// The decision on a flow that passes, where rules only look into it.
    fn watching(&self, atoms: &[AtomId], slot: Slot, port: u16) -> Option<Decision> {
        let protocol = slot.protocol()?;
        if atoms.first() == Some(&CONTESTED) {
            return None;
        }
        let rules = self.rules.iter().enumerate();
        let watching = rules.filter(|(_, rule)| {
            rule.watching()
                && rule.l7.as_ref().is_some_and(|l7| l7.watches(protocol))
                && rule.matches(atoms, slot, port)
        });
        let rules: Vec<usize> = watching.map(|(index, _)| index).collect();
        (!rules.is_empty()).then_some(Decision {
            verdict: Verdict::L7Audit,
            rules,
            watched: true,
        })
    }

    fn decide_with(&self, atoms: &[AtomId], slot: Slot, port: u16, audit: bool) -> Decision {
        // Nobody knows whose the address is: only what denies one of its owners holds.
        let contested = atoms.first() == Some(&CONTESTED);
        let matching = |wanted: &dyn Fn(&CompiledRule) -> bool| -> Vec<usize> {
            self.rules
                .iter()
                .enumerate()
                .filter(|(_, rule)| rule.watches != Watches::Only && (audit || !rule.audit))
                .filter(|(_, rule)| !contested || rule.action == Action::Deny)
                .filter(|(_, rule)| wanted(rule) && rule.matches(atoms, slot, port))
                .map(|(index, _)| index)
                .collect()
        };
        let decided = |verdict, rules| Decision {
            verdict,
            rules,
            watched: false,
        };
        let in_order = |wanted: fn(Tier) -> bool| -> Option<Decision> {
            let rules = matching(&|rule| wanted(rule.tier));
            let tier = |index: &usize| self.rules.get(*index).map(|rule| rule.tier);
            let first = rules
                .into_iter()
                .min_by_key(|index| (tier(index), *index))?;
            match self.rules.get(first)?.action {
                Action::Allow => Some(decided(Verdict::Allow, vec![first])),
                Action::Deny => Some(decided(Verdict::Deny, vec![first])),
                Action::Pass => None,
            }
        };
        if let Some(decision) = in_order(|tier| matches!(tier, Tier::Admin(_))) {
            return decision;
        }
        // Between the tiers order counts for nothing: any deny stands before every allow, as Cilium
        // and NetworkPolicy have it.
        let normal =
            |rule: &CompiledRule, action| rule.tier == Tier::Normal && rule.action == action;
        let denying = matching(&|rule| normal(rule, Action::Deny));
        if !denying.is_empty() {
            return decided(Verdict::Deny, denying);
        }
        let isolated = !self.isolating.is_empty() || (audit && !self.auditing.is_empty());
        let allowing = matching(&|rule| normal(rule, Action::Allow) && rule.l7.is_none());
        if !allowing.is_empty() {
            return decided(Verdict::Allow, allowing);
        }
        if !isolated {
            // The baseline speaks only where no policy of a namespace does.
            return in_order(|tier| matches!(tier, Tier::Baseline(_)))
                .unwrap_or_else(|| decided(Verdict::Allow, Vec::new()));
        }
        // Asked last: a rule that allows the whole connection leaves nothing for the proxy to
        // decide. An HTTP rule never opens another protocol than TCP.
        let mut proxied = matching(&|rule| normal(rule, Action::Allow) && rule.l7.is_some());
        proxied.retain(|index| {
            let l7 = self.rules.get(*index).and_then(|rule| rule.l7.as_ref());
            l7.zip(slot.protocol())
                .is_some_and(|(l7, protocol)| l7.speaks(protocol))
        });
        if !proxied.is_empty() {
            return decided(Verdict::L7, proxied);
        }
        decided(Verdict::Deny, Vec::new())
    }

    /// The verdicts on all protocols and ports: segments in order, without gaps, neighbours differ.
    pub fn segments(&self, atoms: &[AtomId]) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::new();
        for slot in Slot::ALL {
            // Verdicts change only where a range of some rule begins or has ended.
            let mut starts = BTreeSet::from([0u16]);
            if slot != Slot::Other {
                for rule in self.rules.iter().filter(|rule| rule.peers.matches(atoms)) {
                    for (first, last) in rule.ports.iter().flat_map(|port| port.ranges(slot, atoms))
                    {
                        starts.insert(first);
                        starts.extend(last.checked_add(1));
                    }
                }
            }
            let mut starts = starts.into_iter().peekable();
            while let Some(first) = starts.next() {
                let last = starts.peek().map_or(u16::MAX, |next| next - 1);
                let decision = self.decide(atoms, slot, first);
                match segments.last_mut() {
                    Some(before) if before.slot == slot && before.decision == decision => {
                        before.last = last;
                    }
                    _ => segments.push(Segment {
                        slot,
                        first,
                        last,
                        decision,
                    }),
                }
            }
        }
        segments
    }
}

// === impl CompiledRule ===

impl CompiledRule {
    /// Whether it looks into what passes without it.
    fn watching(&self) -> bool {
        self.l7.is_some() && self.watches != Watches::Never
    }

    /// Whether it speaks about this flow.
    pub fn matches(&self, atoms: &[AtomId], slot: Slot, port: u16) -> bool {
        self.peers.matches(atoms) && self.covers(atoms, slot, port)
    }

    /// Whether protocol and port fit.
    pub fn covers(&self, atoms: &[AtomId], slot: Slot, port: u16) -> bool {
        self.ports.is_empty()
            || self
                .ports
                .iter()
                .flat_map(|ports| ports.ranges(slot, atoms))
                .any(|(first, last)| (first..=last).contains(&port))
    }
}

impl PeerMatch {
    /// Whether a class of these atoms is meant.
    pub fn matches(&self, atoms: &[AtomId]) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(wanted) => wanted.iter().any(|atom| atoms.binary_search(atom).is_ok()),
        }
    }
}

impl CompiledPort {
    fn ranges<'a>(
        &'a self,
        slot: Slot,
        atoms: &'a [AtomId],
    ) -> impl Iterator<Item = (u16, u16)> + 'a {
        let fits = |protocol: Protocol| slot == Slot::of(protocol);
        let range = match self {
            Self::Range(protocol, first, last) if fits(*protocol) => Some((*first, *last)),
            Self::Range(..) | Self::OfPeer(..) => None,
        };
        let numbers = match self {
            Self::OfPeer(protocol, numbers) if fits(*protocol) => numbers.as_slice(),
            Self::Range(..) | Self::OfPeer(..) => &[],
        };
        let of_peer = numbers
            .iter()
            .filter(|(_, atom)| atoms.binary_search(atom).is_ok())
            .map(|(number, _)| (*number, *number));
        range.into_iter().chain(of_peer)
    }
}

// === impl Slot ===

impl Slot {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Tcp,
        Self::Udp,
        Self::Sctp,
        Self::Icmp,
        Self::Icmpv6,
        Self::Other,
    ];

    /// The protocol of a slot; `Other` has none.
    pub fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Tcp => Some(Protocol::Tcp),
            Self::Udp => Some(Protocol::Udp),
            Self::Sctp => Some(Protocol::Sctp),
            Self::Icmp => Some(Protocol::Icmp),
            Self::Icmpv6 => Some(Protocol::Icmpv6),
            Self::Other => None,
        }
    }

    /// The slot of a protocol.
    pub fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Sctp => Self::Sctp,
            Protocol::Icmp => Self::Icmp,
            Protocol::Icmpv6 => Self::Icmpv6,
        }
    }
}
