//! What the agent's metrics say of it.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use aya::maps::MapInfo;
use weir_observe::metrics::agent::{AgentFacts, ProxyFacts};
use weir_policy::model::Direction;
use weir_proxy::{counters::CountersSnapshot, http1::Refusal};
use weir_redirector::{Instance, shares::Tracked};

use super::{Agent, locate::Located};

/// Maps with the entries that they can hold.
pub type Rooms = Vec<(&'static str, u64)>;

/// Maps whose fill is told.
const MAPS: [&str; 6] = [
    "ENDPOINTS",
    "ADDRESSES",
    "POLICY",
    "SERVICES",
    "BACKENDS",
    "CONNTRACK",
];

/// How much the maps of an instance can hold.
pub fn rooms(instance: &Instance) -> Rooms {
    let room = |map: &'static str| {
        let info = MapInfo::from_pin(instance.pins().join(map)).ok()?;
        Some((map, info.max_entries().into()))
    };
    MAPS.into_iter().filter_map(room).collect()
}

impl Agent {
    /// Brings the agent's own metrics up to date.
    pub(super) fn refresh_metrics(&self) {
        self.note_losses();
        let facts = self.facts();
        self.observing.metrics.agent().set(&facts);
    }

    /// Tells followers what the kernel could not tell.
    pub(super) fn note_losses(&self) {
        let packets = self.packets();
        if let Some((_, lost)) = packets.iter().find(|(name, _)| *name == "lost_event") {
            self.observing.intake.lost_in_kernel(*lost);
        }
    }

    /// Notices a proxy that is in charge and hears nothing.
    pub(super) fn hear_proxy(&mut self) {
        let packets = self.packets();
        if let Some((_, unheard)) = packets.iter().find(|(name, _)| *name == "drop_no_proxy") {
            self.proxy.hear(*unheard, &self.link);
        }
    }

    fn packets(&self) -> Vec<(&'static str, u64)> {
        self.redirector.counters().unwrap_or_else(|error| {
            tracing::warn!(%error, "the programs' counters cannot be read");
            Vec::new()
        })
    }

    fn time_wait(&self) -> Vec<(&'static str, u64)> {
        let sides = self
            .redirector
            .time_wait()
            .inspect_err(|error| tracing::warn!(%error, "sockets in TIME_WAIT cannot be counted"));
        let name = |direction| match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        let sides = sides.into_iter().flatten();
        sides.map(|(side, count)| (name(side), count)).collect()
    }

    /// Maps with their entries and how many they can hold.
    pub(super) fn fill(&self, tracked: Tracked) -> Vec<(&'static str, u64, u64)> {
        let sizes = self.redirector.sizes();
        let entries = |map: &str| match map {
            "CONNTRACK" => tracked.entries,
            _ => sizes
                .iter()
                .find(|(name, _)| *name == map)
                .map_or(0, |(_, size)| *size as u64),
        };
        self.rooms
            .iter()
            .map(|(map, room)| (*map, entries(map), *room))
            .collect()
    }

    /// How often interfaces could not be looked up: each time what was in force stayed.
    pub(super) fn lookups_failed(&self) -> u64 {
        let searches = self.located.as_ref().map_or(0, Located::unanswered);
        self.redirector.unanswered() + searches
    }

    fn facts(&self) -> AgentFacts {
        let problems = &self.state.problems;
        let tracked = self.redirector.tracked();
        AgentFacts {
            endpoints: self.state.places.len() as u64,
            unmanaged: self.state.unmanaged.len() as u64,
            orphans: self.state.orphans.len() as u64,
            unowned: self.redirector.unowned() as u64,
            lookups_failed: self.lookups_failed(),
            gates: weir_gate::counts(),
            policies: self.state.world.policies.len() as u64,
            refused: problems.len() as u64,
            revision: self.state.snapshot.revision,
            stale: self.state.failure.is_some()
                || self.addresses.fault().is_some()
                || problems.iter().any(|problem| problem.fatal)
                || !self.source.stale().is_empty(),
            maps: self.fill(tracked),
            tracked: tracked.flows,
            time_wait: self.time_wait(),
            packets: self.packets(),
            proxy: self
                .proxy
                .revision()
                .map(|revision| proxy(revision, self.proxy.counters.as_ref())),
            records: self.observing.ring.fill().held,
            names_refused: self.learnt.refused(),
            checked: (
                self.checks.checked.load(Relaxed),
                self.checks.mismatches.load(Relaxed),
            ),
        }
    }
}

fn proxy(revision: u64, counters: Option<&CountersSnapshot>) -> ProxyFacts {
    let Some(c) = counters else {
        return ProxyFacts {
            revision,
            ..ProxyFacts::default()
        };
    };
    ProxyFacts {
        revision,
        open: c.connections_open,
        connections: c.connections_total,
        refused: vec![
            ("not HTTP", c.not_http),
            ("stranger", c.strangers),
            ("no policy", c.no_policy),
        ],
        resets: vec![("client", c.client_resets), ("server", c.upstream_resets)],
        upstream_failures: c.upstream_failures,
        parse_errors: parse_errors(c),
        response_faults: c.response_faults,
        judged: vec![
            ("http", "allowed", c.requests_allowed),
            ("http", "denied", c.requests_denied),
            ("dns", "allowed", c.queries_allowed),
            ("dns", "denied", c.queries_denied),
            ("tls", "allowed", c.tls_allowed),
            ("tls", "denied", c.tls_denied),
            ("all", "audited", c.audited),
        ],
        records_dropped: c.flows_dropped,
        queries_dropped: vec![
            ("malformed", c.queries_malformed),
            ("too many", c.queries_dropped),
        ],
        names_late: c.names_late,
        port_fallbacks: c.port_fallbacks,
        accept_errors: c.accept_errors,
    }
}

/// Those that never occurred, too: a rate needs a count to begin with.
fn parse_errors(counters: &CountersSnapshot) -> BTreeMap<String, u64> {
    let counted = |reason: &str| counters.requests_refused.get(reason).copied();
    let reasons = Refusal::ALL.iter().map(|refusal| refusal.reason());
    reasons
        .map(|reason| (reason.to_owned(), counted(reason).unwrap_or(0)))
        .collect()
}
