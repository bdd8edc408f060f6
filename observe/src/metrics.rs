//! Counters and gauges for Prometheus: Hubble's set with the labels of its `httpV2`, and Weir's own.
//!
//! Labels are namespaces and workloads, never addresses; every family has a bound on its series.
//! Past it, and for what a client may choose freely, values become `other`. The series of a
//! workload go a minute after its last pod.

pub mod agent;
mod family;
mod flows;
pub mod http;
mod labels;
#[cfg(test)]
mod tests;

use std::sync::Mutex;

use prometheus::{Registry, TextEncoder};
use weir_abi::event::Event;

use crate::{
    api::flow::{Flow, LostEventSource},
    names::Names,
    record::Request,
};
use agent::AgentMetrics;
use family::Documented;
use flows::FlowMetrics;

pub use family::Description;

/// Every metric of one agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    flows: Mutex<FlowMetrics>,
    agent: AgentMetrics,
    descriptions: Vec<Description>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Metrics ===

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut documented = Documented::new();
        let flows = Mutex::new(FlowMetrics::new(&mut documented));
        let agent = AgentMetrics::new(&mut documented);
        let (registry, descriptions) = documented.finish();
        Self {
            registry,
            flows,
            agent,
            descriptions,
        }
    }

    /// Weir's own, which the agent sets.
    pub fn agent(&self) -> &AgentMetrics {
        &self.agent
    }

    /// What there is, in the order of names.
    pub fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }

    /// A record was made.
    pub fn flow(&self, flow: &Flow) {
        self.flows().flow(flow);
    }

    /// The packet of a denied flow came again.
    pub fn repeated(&self, event: &Event) {
        self.flows().repeated(event);
    }

    /// The proxy has judged a request.
    pub fn request(&self, request: &Request, names: &Names) {
        self.flows().request(request, names);
    }

    /// Requests that passed and count alike, each with its latency in ns: the same as
    /// [`request`](Self::request) for each, and [`flow`](Self::flow) for its records.
    pub fn passed(&self, request: &Request, latencies: &[u64], names: &Names) {
        self.flows().passed(request, latencies, names);
    }

    /// Events were lost.
    pub fn lost(&self, source: LostEventSource, count: u64) {
        self.flows().lost(source, count);
    }

    /// There are other pods now.
    pub fn renamed(&self, names: &Names) {
        self.flows().renamed(names);
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    /// Where a metric cannot be written, which would be a mistake of ours.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        self.flows().forget_gone();
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn flows(&self) -> std::sync::MutexGuard<'_, FlowMetrics> {
        let flows = self.flows.lock();
        flows.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The page of the documentation that lists all metrics.
pub fn page() -> String {
    let metrics = Metrics::new();
    let mut rows = String::new();
    for metric in metrics.descriptions() {
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        rows.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            metric.name,
            metric.kind,
            labels.join(" "),
            metric.help
        ));
    }
    format!("{HEAD}{rows}")
}

const HEAD: &str = "# Metrics

<!-- Made from the registry: WRITE_DOCS=1 cargo test -p weir-observe metrics -->

`weir agent --metrics ADDRESS` serves these on `/metrics`. The `hubble_*` names and labels are those of Hubble's metrics (HTTP: its `httpV2` set, with namespaces and workloads as context), so that its dashboards work. Of a denied HTTP request the proxy's own answer counts, with its status; a request without any answer has `status=\"0\"`.

Label values never hold addresses. A family has at most 5,000 series: what comes later counts as `other`. The series of a workload go a minute after its last pod.

| name | type | labels | meaning |
|---|---|---|---|
";
