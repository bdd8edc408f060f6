//! Which real traffic would change.

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    model::{Protocol, World},
    record::{Placer, Recorded, completed},
    verdict::{Flow, Outcome, Simulator},
};

/// What changes for recorded flows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecordedDiff {
    /// Flows that were judged in both worlds.
    pub judged: usize,
    /// Flows that could not be: an end of theirs is in one of the worlds no more.
    pub not_judged: usize,
    /// Those that change, the most frequent first.
    pub changes: Vec<RecordedChange>,
}

/// A flow that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedChange {
    /// How often it was seen.
    pub count: usize,
    /// Who opened it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Port and request: `TCP/80 GET /ip`.
    pub flow: String,
    /// In the old world.
    pub before: Outcome,
    /// In the new world.
    pub after: Outcome,
    /// Why it is so in the new world.
    pub reason: String,
    /// Its places among the flows that were given.
    #[serde(skip)]
    pub places: Vec<usize>,
}

/// Judges recorded flows in both worlds.
pub fn recorded(old: &World, new: &World, flows: &[Recorded]) -> RecordedDiff {
    let (old, new) = (&completed(old, flows), &completed(new, flows));
    let placers = (Placer::new(old), Placer::new(new));
    let mut simulators = (Simulator::brief(old), Simulator::new(new));
    let mut diff = RecordedDiff::default();
    let mut places: HashMap<(String, String, String), Option<usize>> = HashMap::new();
    for (at, flow) in flows.iter().enumerate() {
        let asked = (placers.0.flow(flow), placers.1.flow(flow));
        let (Some(before), Some(after)) = asked else {
            diff.not_judged += 1;
            continue;
        };
        let key = (after.from.clone(), after.to.clone(), shown(&after));
        if let Some(place) = places.get(&key) {
            diff.judged += 1;
            let change = place.and_then(|place| diff.changes.get_mut(place));
            if let Some(change) = change {
                change.count += 1;
                change.places.push(at);
            }
            continue;
        }
        let judged = (simulators.0.judge(&before), simulators.1.judge(&after));
        let (Ok(before), Ok(after)) = judged else {
            diff.not_judged += 1;
            continue;
        };
        diff.judged += 1;
        if before.verdict == after.verdict {
            places.insert(key, None);
            continue;
        }
        let side = match after.egress.verdict {
            Outcome::Allow => &after.ingress,
            _ => &after.egress,
        };
        places.insert(key.clone(), Some(diff.changes.len()));
        let (from, to, flow) = key;
        diff.changes.push(RecordedChange {
            count: 1,
            from,
            to,
            flow,
            before: before.verdict,
            after: after.verdict,
            reason: side.told(),
            places: vec![at],
        });
    }
    diff.changes
        .sort_by_key(|change| std::cmp::Reverse(change.count));
    diff
}

fn shown(flow: &Flow) -> String {
    let mut text = flow.protocol.to_string();
    if let Some(port) = flow.port.filter(|_| flow.protocol != Protocol::Icmp) {
        text.push_str(&format!("/{port}"));
    }
    if let Some(http) = &flow.http {
        text.push_str(&format!(" {} {}", http.method, http.path));
        if let Some(host) = &http.host {
            text.push_str(&format!(" Host: {host}"));
        }
    }
    text
}
