//! The registry, which remembers what it holds, and metrics without labels or with fixed ones.

use std::{collections::HashSet, time::Duration};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Collector, process_collector::ProcessCollector,
};

use super::family::Family;

/// What a metric is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: Vec<String>,
    /// What it counts.
    pub help: String,
}

/// A registry that remembers what was registered.
#[derive(Debug)]
pub struct Documented {
    registry: Registry,
    descriptions: Vec<Description>,
}

// === impl Documented ===

impl Documented {
    pub fn new() -> Self {
        Self {
            registry: Registry::new(),
            descriptions: Vec::new(),
        }
    }

    /// The names of what was registered so far.
    pub fn names(&self) -> HashSet<String> {
        let names = self.descriptions.iter().map(|known| known.name.clone());
        names.collect()
    }

    pub fn finish(mut self) -> (Registry, Vec<Description>) {
        self.descriptions.sort();
        (self.registry, self.descriptions)
    }

    fn register<C: Collector + Clone + 'static>(
        &mut self,
        kind: &'static str,
        made: prometheus::Result<C>,
    ) -> Option<C> {
        let registered = made.and_then(|metric| {
            self.registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        });
        match registered {
            Ok(metric) => {
                for described in metric.desc() {
                    self.descriptions.push(Description {
                        name: described.fq_name.clone(),
                        kind,
                        labels: described.variable_labels.clone(),
                        help: described.help.clone(),
                    });
                }
                Some(metric)
            }
            // Only a name of ours that is wrong or there twice: the tests find it.
            Err(error) => {
                tracing::error!(%error, "a metric is missing");
                None
            }
        }
    }

    /// What the kernel counts of this process, under the names that every exporter uses.
    pub fn process(&mut self) {
        let collector = ProcessCollector::for_self();
        for described in collector.desc() {
            self.descriptions.push(Description {
                name: described.fq_name.clone(),
                kind: match described.fq_name.ends_with("_total") {
                    true => "counter",
                    false => "gauge",
                },
                labels: Vec::new(),
                help: format!("The agent's own: {}", described.help),
            });
        }
        if let Err(error) = self.registry.register(Box::new(collector)) {
            tracing::error!(%error, "metrics of the process are missing");
        }
    }

    pub fn counter(&mut self, name: &str, help: &str) -> Counter {
        Counter(self.register("counter", IntCounter::new(name, help)))
    }

    pub fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        Gauge(self.register("gauge", IntGauge::new(name, help)))
    }

    pub fn histogram(&mut self, name: &str, help: &str, buckets: &[f64]) -> Times {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        Times(self.register("histogram", Histogram::with_opts(options)))
    }

    pub fn gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> Gauges {
        let made = IntGaugeVec::new(Opts::new(name, help), labels);
        Gauges(self.register("gauge", made))
    }

    pub fn counters(&mut self, name: &str, help: &str, labels: &[&str]) -> Family<IntCounterVec> {
        let made = IntCounterVec::new(Opts::new(name, help), labels);
        Family::new(self.register("counter", made), labels)
    }

    pub fn histograms(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Family<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let made = HistogramVec::new(options, labels);
        Family::new(self.register("histogram", made), labels)
    }
}

/// One number that only grows.
#[derive(Debug)]
pub struct Counter(Option<IntCounter>);

/// One number.
#[derive(Debug)]
pub struct Gauge(Option<IntGauge>);

/// How long something took.
#[derive(Debug)]
pub struct Times(Option<Histogram>);

/// Numbers by label.
#[derive(Debug)]
pub struct Gauges(Option<IntGaugeVec>);

impl Counter {
    pub fn add(&self, count: u64) {
        if let Some(counter) = &self.0 {
            counter.inc_by(count);
        }
    }

    /// Takes over a number that is counted elsewhere.
    pub fn set(&self, total: u64) {
        if let Some(counter) = &self.0 {
            take_over(counter, total);
        }
    }
}

/// A count that fell began anew: its process did.
pub fn take_over(counter: &IntCounter, total: u64) {
    match total.checked_sub(counter.get()) {
        Some(more) => counter.inc_by(more),
        None => {
            counter.reset();
            counter.inc_by(total);
        }
    }
}

impl Gauge {
    pub fn set(&self, value: u64) {
        if let Some(gauge) = &self.0 {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

impl Times {
    pub fn observe(&self, time: Duration) {
        if let Some(histogram) = &self.0 {
            histogram.observe(time.as_secs_f64());
        }
    }
}

impl Gauges {
    pub fn set(&self, labels: &[&str], value: u64) {
        if let Some(gauge) = self
            .0
            .as_ref()
            .and_then(|g| g.get_metric_with_label_values(labels).ok())
        {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
