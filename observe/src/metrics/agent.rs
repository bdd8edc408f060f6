//! What the agent tells of itself: Weir's own metrics.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use prometheus::IntCounterVec;

use super::{
    family::Family,
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
    /// Open connections.
    pub open: u64,
    /// Connections since it started.
    pub connections: u64,
    /// Connections closed without serving, by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Connections that one side reset.
    pub resets: Vec<(&'static str, u64)>,
    /// Servers that could not be reached.
    pub upstream_failures: u64,
    /// Requests that were no valid HTTP, by reason.
    pub parse_errors: BTreeMap<String, u64>,
    /// Answers that were none.
    pub response_faults: u64,
    /// Requests, queries and TLS connections by verdict.
    pub judged: Vec<(&'static str, &'static str, u64)>,
    /// Records that the agent did not take.
    pub records_dropped: u64,
    /// DNS queries that got no answer from anybody, by reason.
    pub queries_dropped: Vec<(&'static str, u64)>,
    /// DNS answers given before they were enforced.
    pub names_late: u64,
    /// Connections to a server that could not keep the client's port.
    pub port_fallbacks: u64,
    /// Connections that could not be accepted.
    pub accept_errors: u64,
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
    open: Gauge,
    connections: Counter,
    connections_refused: Family<IntCounterVec>,
    resets: Family<IntCounterVec>,
    upstream_failures: Counter,
    parse_errors: Family<IntCounterVec>,
    response_faults: Counter,
    judged: Family<IntCounterVec>,
    records_dropped: Counter,
    queries_dropped: Family<IntCounterVec>,
    names_late: Counter,
    names_refused: Family<IntCounterVec>,
    port_fallbacks: Counter,
    accept_errors: Counter,
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
            clients: all.gauges("weir_server_connections", "Connections of the agent's own servers.", &["server"]),
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
            open: all.gauge("weir_proxy_connections_open", "Connections open in the proxy."),
            connections: all.counter("weir_proxy_connections_total", "Connections that the proxy accepted."),
            connections_refused: all.counters("weir_proxy_connections_refused_total", "Connections that the proxy reset unserved.", &["reason"]),
            resets: all.counters("weir_proxy_connections_reset_total", "Connections that were reset by a side.", &["side"]),
            upstream_failures: all.counter("weir_proxy_upstream_failures_total", "Requests answered with 503 because the server could not be reached."),
            parse_errors: all.counters("weir_proxy_parse_errors_total", "Requests refused because they were malformed or ambiguous.", &["reason"]),
            response_faults: all.counter("weir_proxy_response_faults_total", "Answers not forwarded, or cut, because they were malformed or ambiguous."),
            judged: all.counters("weir_proxy_judged_total", "What the proxy judged.", &["protocol", "verdict"]),
            records_dropped: all.counter("weir_proxy_records_dropped_total", "Records of requests that the agent did not take in time."),
            queries_dropped: all.counters("weir_dns_queries_dropped_total", "DNS queries that nobody answered: malformed, or too many at once.", &["reason"]),
            names_late: all.counter("weir_dns_names_late_total", "DNS answers given before the kernel enforced them, because that took too long."),
            names_refused: all.counters("weir_dns_names_refused_total", "DNS answers, and addresses in them, that were not learnt: the pod may not ask that server for the name, or the address is special or the cluster's own.", &["reason"]),
            port_fallbacks: all.counter("weir_proxy_port_fallbacks_total", "Connections to a server that could not keep the client's port."),
            accept_errors: all.counter("weir_proxy_accept_errors_total", "Connections that the proxy could not accept: mostly for want of file descriptors."),
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
            Some(proxy) => self.proxy(proxy),
            // What it counted stays; what it held is gone with it.
            None => self.open.set(0),
        }
    }

    fn proxy(&self, proxy: &ProxyFacts) {
        self.proxy_revision.set(proxy.revision);
        self.open.set(proxy.open);
        self.connections.set(proxy.connections);
        for (reason, count) in &proxy.refused {
            self.connections_refused.set(&[reason], *count);
        }
        for (side, count) in &proxy.resets {
            self.resets.set(&[side], *count);
        }
        self.upstream_failures.set(proxy.upstream_failures);
        for (reason, count) in &proxy.parse_errors {
            self.parse_errors.set(&[reason], *count);
        }
        self.response_faults.set(proxy.response_faults);
        for (protocol, verdict, count) in &proxy.judged {
            self.judged.set(&[protocol, verdict], *count);
        }
        self.records_dropped.set(proxy.records_dropped);
        for (reason, count) in &proxy.queries_dropped {
            self.queries_dropped.set(&[reason], *count);
        }
        self.names_late.set(proxy.names_late);
        self.port_fallbacks.set(proxy.port_fallbacks);
        self.accept_errors.set(proxy.accept_errors);
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
