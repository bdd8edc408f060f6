//! What changes between two worlds: pairs of pods, ports and requests whose verdict is another.
//!
//! Pods that no policy can tell apart are one group. Each pair of groups is asked for every port
//! and every request that the policies of either world mention, and for one that they do not.

mod ends;
mod examples;
mod probes;
mod recorded;
mod rules;
#[cfg(test)]
mod tests;
mod unasked;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    model::World,
    verdict::{Flow, Outcome, Simulator},
};

pub use examples::example;
pub use recorded::{RecordedChange, RecordedDiff, recorded};

use ends::End;
use probes::Probe;
use rules::{OfEnd, Rules};

/// What changes between two worlds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// How many questions were asked of each world.
    pub questions: usize,
    /// The changes: those of one destination stand together.
    pub changes: Vec<PairChange>,
    /// Groups of pods that only one of the worlds has; nothing is said of them.
    pub only_in_old: Vec<String>,
    /// As above.
    pub only_in_new: Vec<String>,
    /// Policies that differ and select no pod of both worlds, as `Kind/NAMESPACE/NAME`: what they
    /// change is not known.
    pub not_asked: Vec<String>,
    /// Rules that differ and some of whose peers are pods that not both worlds have, as
    /// `FIELD of Kind/NAMESPACE/NAME`: what they change for these is not known.
    pub peers_not_asked: Vec<String>,
}

/// What changes for some clients of one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PairChange {
    /// Groups of pods, or addresses.
    pub from: Vec<String>,
    /// A group of pods, or an address.
    pub to: String,
    /// Each kind of change and what it happens to.
    pub verdicts: Vec<VerdictChange>,
}

/// One kind of change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// In the old world.
    pub before: Outcome,
    /// In the new world.
    pub after: Outcome,
    /// Ports and requests: `TCP/80 GET /ip`, `TCP/other`, `ICMP`.
    pub flows: Vec<String>,
}

/// Compares two worlds. What stands in [`Diff::not_asked`] may change more than is told.
pub fn diff(old: &World, new: &World) -> Diff {
    let mut ends = ends::ends(old, new);
    let rules = Rules::new(old, new);
    let rules: Vec<OfEnd<'_>> = ends.both.iter().map(|end| rules.of(end)).collect();
    let mut simulators = (Simulator::brief(old), Simulator::brief(new));
    let mut questions = 0;
    // Clients by destination and by what changes for them.
    let mut found: BTreeMap<usize, Vec<Clients>> = BTreeMap::new();
    for (to_index, (to, to_rules)) in ends.both.iter().zip(&rules).enumerate() {
        for (from, from_rules) in ends.both.iter().zip(&rules) {
            if to_rules.ingress.same && from_rules.egress.same {
                continue;
            }
            let Some((from_pods, to_pods)) = pair(from, to) else {
                continue;
            };
            let mentioned = to_rules
                .ingress
                .mentioned
                .with(&from_rules.egress.mentioned);
            let probes = mentioned.probes();
            let mut changes: BTreeMap<(Outcome, Outcome), Vec<&Probe>> = BTreeMap::new();
            for probe in &probes {
                let ask = |(from, to): (&str, &str)| flow(from, to, probe);
                let before = simulators.0.judge(&ask((from_pods.0, to_pods.0)));
                let after = simulators.1.judge(&ask((from_pods.1, to_pods.1)));
                questions += 1;
                // What cannot be judged (no address of one family) is no change.
                let (Ok(before), Ok(after)) = (before, after) else {
                    continue;
                };
                if before.verdict != after.verdict {
                    let kind = (before.verdict, after.verdict);
                    changes.entry(kind).or_default().push(probe);
                }
            }
            if changes.is_empty() {
                continue;
            }
            let verdicts: Vec<VerdictChange> = changes
                .into_iter()
                .map(|((before, after), list)| VerdictChange {
                    before,
                    after,
                    flows: probes::shown(&list, &probes),
                })
                .collect();
            let of_destination = found.entry(to_index).or_default();
            match of_destination
                .iter_mut()
                .find(|(known, _)| *known == verdicts)
            {
                Some((_, clients)) => clients.push(from.name.clone()),
                None => of_destination.push((verdicts, vec![from.name.clone()])),
            }
        }
    }
    let changes = found
        .into_iter()
        .filter_map(|(index, list)| Some((ends.both.get(index)?, list)))
        .flat_map(|(to, list)| {
            list.into_iter().map(|(verdicts, from)| PairChange {
                from,
                to: to.name.clone(),
                verdicts,
            })
        })
        .collect();
    let unasked = unasked::unasked(old, new, &ends.both);
    Diff {
        questions,
        changes,
        not_asked: unasked.policies,
        peers_not_asked: unasked.rules,
        only_in_old: std::mem::take(&mut ends.only_old),
        only_in_new: std::mem::take(&mut ends.only_new),
    }
}

/// A pod's name in the old and in the new world.
type Names<'a> = (&'a str, &'a str);

/// What changes for some clients, and which.
type Clients = (Vec<VerdictChange>, Vec<String>);

/// Names of client and server in the old and in the new world; `None` for a pair that policy
/// says nothing about.
fn pair<'a>(from: &'a End, to: &'a End) -> Option<(Names<'a>, Names<'a>)> {
    if from.outside && to.outside {
        return None;
    }
    if from.name != to.name {
        return Some((from.first(), to.first()));
    }
    // A group with itself: two pods of it, in both worlds.
    Some((from.first(), to.second()?))
}

fn flow(from: &str, to: &str, probe: &Probe) -> Flow {
    Flow {
        from: from.to_owned(),
        to: to.to_owned(),
        protocol: probe.protocol,
        port: probe.port,
        port_name: None,
        http: probe.http.clone(),
    }
}

// === impl Diff ===

impl Diff {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}
