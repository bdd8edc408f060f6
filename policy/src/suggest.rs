//! Policies from traffic: the smallest that allow what was seen, as a proposal.
//!
//! ```text
//!  Recorded flows ──traffic──▶ edges between workloads ──render──▶ one policy for each workload
//!                                       └─template: request paths become patterns
//! ```

mod linted;
mod render;
mod template;
#[cfg(test)]
mod tests;
mod traffic;
mod workload;

use serde::Serialize;
use serde_json::Value;

use crate::{
    model::{Direction, World},
    record::{Recorded, completed},
};

use traffic::Traffic;

/// Namespaces whose workloads everyone uses: what was seen of them is never all of it.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// Marks a proposal.
pub const ANNOTATION: &str = "weir.dev/proposal";

/// What is to be proposed.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only for this direction; both where `None`.
    pub direction: Option<Direction>,
    /// Only for workloads of these namespaces; all but the system's where empty.
    pub namespaces: Vec<String>,
    /// Flows that were dropped are to be allowed too.
    pub denied_too: bool,
}

/// A proposed policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// The object.
    pub policy: Value,
    /// How many recorded flows it is made from.
    pub flows: usize,
    /// What to look at before it is applied; what lint would say of it among that.
    pub notes: Vec<String>,
}

/// Proposals, and what none could be made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// One for each workload, by namespace and name.
    pub proposals: Vec<Proposal>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// Proposes policies that allow the recorded flows. The world's pods, where there are any, tell
/// which labels are needed to tell workloads apart.
pub fn suggest(flows: &[Recorded], world: &World, options: &Options) -> Suggestion {
    let world = &completed(world, flows);
    let traffic = Traffic::of(flows, world, options.denied_too);
    let mut suggestion = Suggestion {
        proposals: Vec::new(),
        left_out: traffic.left_out.iter().cloned().collect(),
    };
    let mut names = std::collections::BTreeSet::new();
    for workload in traffic.workloads() {
        let wanted = match options.namespaces.as_slice() {
            [] => !SYSTEM.contains(&workload.namespace.as_str()),
            some => some.contains(&workload.namespace),
        };
        if !wanted {
            continue;
        }
        let mut name = workload.name();
        while !names.insert((workload.namespace.clone(), name.clone())) {
            name.push_str("-x");
        }
        let proposal = render::proposal(&traffic, workload, &name, options.direction);
        suggestion.proposals.push(proposal);
    }
    linted::note(&mut suggestion.proposals, world);
    suggestion
}
