//! What the agent's metrics say of it.

use weir_observe::metrics::agent::{AgentFacts, ProxyFacts};
use weir_policy::model::Direction;
use weir_redirector::Counters;

use crate::Agent;

impl Agent {
    /// Brings the agent's own metrics up to date.
    pub(crate) fn refresh_metrics(&self) {
        let counters = self.counters();
        self.note_losses(counters);
        let facts = self.facts(counters);
        self.observing.metrics.agent().set(&facts);
    }

    fn time_wait(&self) -> Vec<(&'static str, u64)> {
        let sides = self
            .kernel
            .time_wait()
            .inspect_err(|error| tracing::warn!(%error, "sockets in TIME_WAIT cannot be counted"));
        let name = |direction| match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        let sides = sides.into_iter().flatten();
        sides.map(|(side, count)| (name(side), count)).collect()
    }

    /// How often interfaces could not be looked up: each time what was in force stayed.
    pub(crate) fn lookups_failed(&self) -> u64 {
        self.kernel.unanswered() + self.pods.searches_failed()
    }

    fn facts(&self, counters: Option<Counters>) -> AgentFacts {
        let state = &self.enforcement.state;
        let tracked = self.tracking.last();
        let fill = self.kernel.fill(tracked).into_iter();
        let checked = self.checked.counts();
        AgentFacts {
            endpoints: state.places.len() as u64,
            unmanaged: state.unmanaged.len() as u64,
            orphans: state.orphans.len() as u64,
            unowned: self.kernel.unowned() as u64,
            lookups_failed: self.lookups_failed(),
            gates: weir_gate::counts(),
            policies: state.world.policies.len() as u64,
            refused: state.problems.len() as u64,
            revision: state.snapshot.revision,
            stale: state.failure.is_some()
                || self.addresses.fault().is_some()
                || state.problems.iter().any(|problem| problem.fatal)
                || !self.source.stale().is_empty(),
            maps: fill
                .map(|fill| (fill.map, fill.entries, fill.room))
                .collect(),
            tracked: tracked.flows,
            time_wait: self.time_wait(),
            packets: counters.map_or_else(Vec::new, |counters| counters.named().collect()),
            proxy: self.proxies.revision().map(|revision| ProxyFacts {
                revision,
                counters: self.proxies.counters.clone(),
            }),
            records: self.observing.ring.fill().held,
            names_refused: self.names.refused(),
            checked: (checked.checked, checked.mismatches),
        }
    }
}
