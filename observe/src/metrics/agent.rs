//! What the agent tells of itself: Weir's own metrics.

use std::time::{Duration, SystemTime};

use prometheus::IntCounterVec;
use weir_link::proxy::CountersSnapshot;

use super::{
    family::Family,
    proxy::ProxyMetrics,
    registry::{Counter, Documented, Gauge, Gauges, Times},
};

/// Seconds from a change that was read to its being in force.
const CHANGES: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What the agent knows when metrics are asked for.
#[derive(Debug, Clone, Default)]
pub struct AgentFacts {
    /// Pods under policy.
    pub endpoints: u64,
    /// Pods that are not.
    pub unmanaged: u64,
    /// Pods under policy whose object is gone.
    pub orphans: u64,
    /// Interfaces that deny because nobody owns them.
    pub unowned: u64,
    /// Look-ups of interfaces that had no answer.
    pub lookups_failed: u64,
    /// What came to the gates of the agent's servers.
    pub gates: Vec<weir_gate::Count>,
    /// Policies in force.
    pub policies: u64,
    /// Objects that are not honoured as written.
    pub refused: u64,
    /// In force.
    pub revision: u64,
    /// What is in force may be older than the objects.
    pub stale: bool,
    /// Entries and room of each map.
    pub maps: Vec<(&'static str, u64, u64)>,
    /// Tracked flows.
    pub tracked: u64,
    /// Sockets in TIME_WAIT in the private network of each direction.
    pub time_wait: Vec<(&'static str, u64)>,
    /// What the programs counted.
    pub packets: Vec<(&'static str, u64)>,
    /// The proxy in charge; `None`: there is none.
    pub proxy: Option<ProxyFacts>,
    /// Records now.
    pub records: u64,
    /// Answers of DNS servers that were not learnt, by reason.
    pub names_refused: Vec<(&'static str, u64)>,
    /// Verdicts of the kernel that were derived once more, and those that came out otherwise.
    pub checked: (u64, u64),
}

/// What a proxy tells.
#[derive(Debug, Clone, Default)]
pub struct ProxyFacts {
    /// The revision that it judges by.
    pub revision: u64,
    /// What it counted; `None`: it has not said yet.
    pub counters: Option<CountersSnapshot>,
}

/// The families about the agent.
#[derive(Debug)]
pub struct AgentMetrics {
    build: Gauges,
    endpoints: Gauge,
    unmanaged: Gauge,
    orphans: Gauge,
    unowned: Gauge,
    lookups_failed: Counter,
    clients: Gauges,
    clients_refused: Family<IntCounterVec>,
    policies: Gauge,
    refused: Gauge,
    revision: Gauge,
    stale: Gauge,
    enforced: Times,
    enforced_at: Gauge,
    failures: Counter,
    entries: Gauges,
    room: Gauges,
    tracked: Gauge,
    time_wait: Gauges,
    packets: Family<IntCounterVec>,
    records: Gauge,
    checked: Counter,
    mismatches: Counter,
    link: Gauge,
    proxy_revision: Gauge,
    names_refused: Family<IntCounterVec>,
    proxy: ProxyMetrics,
}

// === impl AgentMetrics ===

impl AgentMetrics {
    pub(super) fn new(all: &mut Documented) -> Self {
        let build = all.gauges("weir_build_info", "1, with the version.", &["version"]);
        build.set(&[env!("CARGO_PKG_VERSION")], 1);
        all.process();
        Self {
            build,
            endpoints: all.gauge("weir_endpoints", "Pods under policy on this node."),
            unmanaged: all.gauge("weir_unmanaged_pods", "Pods of this node that could not be put under policy."),
            orphans: all.gauge("weir_orphaned_endpoints", "Pods under policy whose object is gone while their interface is there."),
            unowned: all.gauge("weir_unowned_interfaces", "Interfaces that deny everything because no pod is known at them any more."),
            lookups_failed: all.counter("weir_lookup_failures_total", "Times that interfaces could not be looked up; what was in force stayed."),
            clients: all.gauges("weir_server_connections", "Connections of the agent's own servers; of observer-flows, requests for flows.", &["server"]),
            clients_refused: all.counters("weir_server_connections_refused_total", "Connections that the agent's own servers did not take: too many in all (full) or from one address or user (peer).", &["server", "reason"]),
            policies: all.gauge("weir_policies", "Policies in force."),
            refused: all.gauge("weir_policies_refused", "Objects, or parts of them, that are not honoured as written."),
            revision: all.gauge("weir_policy_revision", "Revision in force."),
            stale: all.gauge("weir_source_stale", "1 while what is in force may be older than the objects: the last change failed or could not be read."),
            enforced: all.histogram("weir_policy_enforce_duration_seconds", "From a change that was noticed to its being in force in proxy and kernel.", &CHANGES),
            enforced_at: all.gauge("weir_policy_enforced_timestamp_seconds", "When the revision in force came into force."),
            failures: all.counter("weir_policy_enforce_failures_total", "Changes that could not be put in force."),
            entries: all.gauges("weir_map_entries", "Entries of a kernel map.", &["map"]),
            room: all.gauges("weir_map_capacity", "Entries that a kernel map can hold.", &["map"]),
            tracked: all.gauge("weir_tracked_flows", "Flows in connection tracking."),
            time_wait: all.gauges("weir_proxy_time_wait", "Sockets in TIME_WAIT in the private network of a direction; connections stall where they use up a client's ports.", &["direction"]),
            packets: all.counters("weir_datapath_packets_total", "Packets by what the programs did with them: see the counters in troubleshooting.md.", &["result"]),
            records: all.gauge("weir_flow_records", "Records in memory."),
            checked: all.counter(
                "weir_verdicts_checked_total",
                "Verdicts of the kernel that were derived once more from the rules.",
            ),
            mismatches: all.counter(
                "weir_verdict_mismatches_total",
                "Those that came out otherwise: a fault of Weir's.",
            ),
            link: all.gauge("weir_proxy_connected", "1 while a proxy is in charge of new connections."),
            proxy_revision: all.gauge("weir_proxy_revision", "Revision that the proxy judges by."),
            names_refused: all.counters("weir_dns_names_refused_total", "DNS answers, and addresses in them, that were not learnt: the pod may not ask that server for the name, or the address is special or the cluster's own.", &["reason"]),
            proxy: ProxyMetrics::new(all),
        }
    }

    /// Takes over what the agent knows.
    pub fn set(&self, facts: &AgentFacts) {
        self.build.set(&[env!("CARGO_PKG_VERSION")], 1);
        self.endpoints.set(facts.endpoints);
        self.unmanaged.set(facts.unmanaged);
        self.orphans.set(facts.orphans);
        self.unowned.set(facts.unowned);
        self.lookups_failed.set(facts.lookups_failed);
        for gate in &facts.gates {
            self.clients.set(&[gate.server], gate.open as u64);
            self.clients_refused.set(&[gate.server, "full"], gate.full);
            self.clients_refused.set(&[gate.server, "peer"], gate.peer);
        }
        self.policies.set(facts.policies);
        self.refused.set(facts.refused);
        self.revision.set(facts.revision);
        self.stale.set(facts.stale.into());
        for (map, entries, room) in &facts.maps {
            self.entries.set(&[map], *entries);
            self.room.set(&[map], *room);
        }
        self.tracked.set(facts.tracked);
        for (direction, count) in &facts.time_wait {
            self.time_wait.set(&[direction], *count);
        }
        for (result, count) in &facts.packets {
            self.packets.set(&[result], *count);
        }
        self.records.set(facts.records);
        for (reason, count) in &facts.names_refused {
            self.names_refused.set(&[reason], *count);
        }
        self.checked.set(facts.checked.0);
        self.mismatches.set(facts.checked.1);
        self.link.set(facts.proxy.is_some().into());
        match &facts.proxy {
            Some(proxy) => {
                self.proxy_revision.set(proxy.revision);
                if let Some(counters) = &proxy.counters {
                    self.proxy.set(counters);
                }
            }
            None => self.proxy.gone(),
        }
    }

    /// A change is in force, so long after it was noticed.
    pub fn enforced(&self, after: Duration) {
        self.enforced.observe(after);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.enforced_at.set(now.map_or(0, |now| now.as_secs()));
    }

    /// A change could not be put in force.
    pub fn failed(&self) {
        self.failures.add(1);
    }
}
