//! What is in force, and what is wrong with it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use weir_cluster::{Reading, SourceProblem};
use weir_policy::{
    compile::Snapshot,
    model::{HostPolicies, PodName, Policy, World},
};
use weir_redirector::{Places, Unmanaged};

/// What is in force.
#[derive(Clone, Default)]
pub struct State {
    /// The objects, with pods whose object is gone.
    pub world: Arc<World>,
    /// What they were compiled to.
    pub snapshot: Arc<Snapshot>,
    /// Where the pods of this node are.
    pub places: Places,
    /// What is not in force as written.
    pub problems: Vec<SourceProblem>,
    /// Pods of this node that are not under policy.
    pub unmanaged: Vec<Unmanaged>,
    /// Pods whose object is gone.
    pub orphans: Vec<PodName>,
    /// Devices that host policies are not enforced on, and why.
    pub unjudged: BTreeMap<String, String>,
    /// Some interface could not be looked up: it is tried again soon.
    pub unknown: bool,
    /// Some interface took no program: the next reading tries again.
    pub unattached: bool,
    /// Why the last change is not in force.
    pub failure: Option<String>,
}

// === impl State ===

impl State {
    /// Whether this is in force already, whole.
    pub fn is(&self, world: &World, places: &Places) -> bool {
        *world == *self.world
            && *places == self.places
            && self.failure.is_none()
            && !self.unattached
            && self.snapshot.revision > 0
    }

    /// Tells what is not in force as written, of the objects and of what they say together. What was
    /// told already is not logged again.
    pub fn told(&mut self, reading: &Reading) {
        let mut problems = reading.problems.clone();
        problems.extend(self.snapshot.contested.iter().map(contested));
        problems.extend(self.unjudged.iter().map(unjudged));
        if reading.world.host_policies == HostPolicies::Off {
            problems.extend(reading.world.policies_of_nodes().map(switched_off));
        }
        for problem in problems.iter().filter(|p| !self.problems.contains(p)) {
            tracing::warn!(%problem, "not in force as written");
        }
        self.problems = problems;
    }
}

/// A device that takes no program.
fn unjudged((device, reason): (&String, &String)) -> SourceProblem {
    SourceProblem {
        place: String::new(),
        object: format!("Device/{device}"),
        field: String::new(),
        reason: format!("host policies are not enforced on it: {reason}"),
        fatal: false,
    }
}

/// A policy that selects nodes where no such policy counts.
fn switched_off(policy: &Policy) -> SourceProblem {
    SourceProblem {
        place: String::new(),
        object: policy.object.to_string(),
        field: "spec.nodeSelector".to_owned(),
        reason: "host policies are off on this node (--host-policies): nothing of this part is in \
                 force"
            .to_owned(),
        fatal: false,
    }
}

/// An address that more than one have, as a problem of the one that came last.
fn contested((address, owners): (&IpAddr, &Vec<String>)) -> SourceProblem {
    let (last, others) = owners
        .split_last()
        .map_or(("", &[][..]), |(last, others)| (last, others));
    SourceProblem {
        place: String::new(),
        object: last.to_owned(),
        field: "status.podIPs".to_owned(),
        reason: format!(
            "{address} is of {} too: as long as it is, no rule that allows holds for it",
            others.join(" and ")
        ),
        fatal: false,
    }
}
