//! Families of series that are documented, bounded, and without those of workloads that are gone.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Collector,
};

/// Series of one family at most.
pub const MOST: usize = 5_000;
/// How long the series of a workload without pods stay.
const LINGER: Duration = Duration::from_secs(60);
/// What stands for everything past a bound.
pub const OTHER: &str = "other";

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
fn take_over(counter: &IntCounter, total: u64) {
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

/// Series by label, bounded.
#[derive(Debug)]
pub struct Family<V> {
    metric: Option<V>,
    labels: Vec<String>,
    /// The series that there are, and since when one of their workloads is gone.
    series: HashMap<Vec<String>, Option<Instant>>,
}

/// A family whose series can be taken out.
pub trait Removable {
    fn remove(&self, labels: &[&str]);
}

impl Removable for IntCounterVec {
    fn remove(&self, labels: &[&str]) {
        // It may never have been counted.
        self.remove_label_values(labels).ok();
    }
}

impl Removable for HistogramVec {
    fn remove(&self, labels: &[&str]) {
        self.remove_label_values(labels).ok();
    }
}

impl<V: Removable> Family<V> {
    fn new(metric: Option<V>, labels: &[&str]) -> Self {
        Self {
            metric,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            series: HashMap::new(),
        }
    }

    /// The labels to count under: those given while there is room, else `other` for each.
    fn admit(&mut self, labels: &[&str]) -> Vec<String> {
        let wanted: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if self.series.contains_key(&wanted) {
            return wanted;
        }
        let admitted = match self.series.len() < MOST {
            true => wanted,
            false => vec![OTHER.to_owned(); labels.len()],
        };
        self.series.entry(admitted.clone()).or_insert(None);
        admitted
    }

    /// Marks the series of workloads that are gone; `live` holds `NAMESPACE/WORKLOAD`.
    pub fn mark(&mut self, live: &HashSet<String>) {
        let place = |name: &str| self.labels.iter().position(|label| label == name);
        let pairs: Vec<(usize, usize)> = [
            ("source_namespace", "source_workload"),
            ("destination_namespace", "destination_workload"),
        ]
        .iter()
        .filter_map(|(namespace, workload)| Some((place(namespace)?, place(workload)?)))
        .collect();
        for (labels, gone) in &mut self.series {
            let dead = pairs.iter().any(|(namespace, workload)| {
                let (namespace, workload) = (&labels[*namespace], &labels[*workload]);
                !namespace.is_empty()
                    && namespace != OTHER
                    && !live.contains(&format!("{namespace}/{workload}"))
            });
            match dead {
                true => _ = gone.get_or_insert_with(Instant::now),
                false => *gone = None,
            }
        }
    }

    /// Takes out the series of workloads that were gone a while before `now`.
    pub fn forget(&mut self, now: Instant) {
        let over = |gone: &Option<Instant>| gone.is_some_and(|since| now > since + LINGER);
        let metric = self.metric.as_ref();
        self.series.retain(|labels, gone| {
            if over(gone) {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                if let Some(metric) = metric {
                    metric.remove(&labels);
                }
            }
            !over(gone)
        });
    }
}

impl Family<IntCounterVec> {
    pub fn add(&mut self, labels: &[&str], count: u64) {
        let labels = self.admit(labels);
        if let Some(counter) = self
            .metric
            .as_ref()
            .and_then(|metric| metric.get_metric_with_label_values(&labels).ok())
        {
            counter.inc_by(count);
        }
    }

    /// Takes over a number that is counted elsewhere.
    pub fn set(&self, labels: &[&str], total: u64) {
        if let Some(counter) = self
            .metric
            .as_ref()
            .and_then(|metric| metric.get_metric_with_label_values(labels).ok())
        {
            take_over(&counter, total);
        }
    }
}

impl Family<HistogramVec> {
    pub fn observe_all(&mut self, labels: &[&str], seconds: &[f64]) {
        let labels = self.admit(labels);
        if let Some(histogram) = self
            .metric
            .as_ref()
            .and_then(|metric| metric.get_metric_with_label_values(&labels).ok())
        {
            seconds.iter().for_each(|one| histogram.observe(*one));
        }
    }
}
