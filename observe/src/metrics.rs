//! Counters and gauges for Prometheus: Hubble's set with the labels of its `httpV2`, and Weir's own.
//!
//! Labels are namespaces and workloads, never addresses; every family has a bound on its series.
//! Past it, and for what a client may choose freely, values become `other`. The series of a
//! workload go a minute after its last pod, those of a policy a minute after it.

pub mod agent;
mod ended;
mod family;
mod first;
mod flows;
pub mod http;
mod labels;
pub mod open;
mod otlp;
mod proxy;
mod registry;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use prometheus::{Registry, TextEncoder};
use weir_abi::event::{Ended, Event};
use weir_link::proxy::L7Record;

use crate::{
    api::flow::{Flow, LostEventSource},
    names::Directory,
};
use agent::AgentMetrics;
use first::FirstLooks;
use flows::FlowMetrics;
use otlp::OtlpMetrics;
use registry::Documented;

pub use registry::Description;

/// Every metric of one agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    flows: Mutex<FlowMetrics>,
    agent: AgentMetrics,
    otlp: OtlpMetrics,
    looks: Mutex<FirstLooks>,
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
        // What flows are counted by begins with this process; what the kernel counts may be older.
        let looks = Mutex::new(FirstLooks::new(documented.names()));
        let agent = AgentMetrics::new(&mut documented);
        let otlp = OtlpMetrics::new(&mut documented);
        let (registry, descriptions) = documented.finish();
        Self {
            registry,
            flows,
            agent,
            otlp,
            looks,
            descriptions,
        }
    }

    /// Weir's own, which the agent sets.
    pub fn agent(&self) -> &AgentMetrics {
        &self.agent
    }

    /// What became of records that a collector is sent.
    pub(crate) fn otlp(&self) -> &OtlpMetrics {
        &self.otlp
    }

    /// All series as they are now.
    pub(crate) fn gathered(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.flows().forget_gone();
        self.registry.gather()
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
    pub fn request(&self, request: &L7Record, names: &Directory) {
        self.flows().request(request, names);
    }

    /// Requests that passed and count alike, each with its latency in ns: the same as
    /// [`request`](Self::request) for each, and [`flow`](Self::flow) for its records.
    pub fn passed(&self, request: &L7Record, latencies: &[u64], names: &Directory) {
        self.flows().passed(request, latencies, names);
    }

    /// A flow has ended.
    pub fn ended(&self, ended: &Ended, names: &Directory) {
        self.flows().ended(ended, names);
    }

    /// Events were lost.
    pub fn lost(&self, source: LostEventSource, count: u64) {
        self.flows().lost(source, count);
    }

    /// There are other pods now.
    pub fn renamed(&self, names: &Directory) {
        self.flows().renamed(names);
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    /// Where a metric cannot be written, which would be a mistake of ours.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.gathered())
    }

    /// The same for a scraper that comes again and again: a series that is new to it begins with
    /// zero, as [`FirstLooks`] says.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn text_for(&self, scraper: IpAddr) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.shown(scraper))
    }

    /// The same in the format of OpenMetrics, with exemplars; `scraper` is one that comes again.
    pub fn open_text(&self, scraper: Option<IpAddr>) -> String {
        let gathered = match scraper {
            Some(scraper) => self.shown(scraper),
            None => self.gathered(),
        };
        open::encode(&gathered, (flows::DURATIONS, self.flows().exemplars()))
    }

    /// All series as a scraper is shown them that comes again and again.
    fn shown(&self, scraper: IpAddr) -> Vec<prometheus::proto::MetricFamily> {
        let mut gathered = self.gathered();
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.show(scraper, &mut gathered, Instant::now());
        gathered
    }

    fn flows(&self) -> MutexGuard<'_, FlowMetrics> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
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

`weir agent --metrics ADDRESS` serves these on `/metrics`, and `weir ui`, `weir relay` and `weir webhook` of them the two that begin with `weir_server_`. The `hubble_*` names and labels are those of Hubble's metrics (HTTP: its `httpV2` set, with namespaces and workloads as context), so that its dashboards work. Of a denied HTTP request the proxy's own answer counts, with its status; a request without any answer has `status=\"0\"`, and a status that IANA does not know counts as its class (`5xx`). A request that is refused with 400 because it is malformed is in `weir_proxy_parse_errors_total`.

To a Prometheus that comes again and again a new series of flows begins with zero, and has its count at the next scrape: rates and increases leave nothing out then, not even a single denial. Others, such as curl, read the count at once.

Label values never hold addresses. A family has at most 5,000 series: what comes later counts as `other`. The series of a workload go a minute after its last pod, those of a policy a minute after it was deleted.

| name | type | labels | meaning |
|---|---|---|---|
";
