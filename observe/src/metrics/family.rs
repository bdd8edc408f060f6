//! Families of series that are documented, bounded, and without those of workloads that are gone.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use prometheus::{HistogramVec, IntCounterVec};

use super::registry::take_over;

/// Series of one family at most.
pub const MOST: usize = 5_000;
/// How long the series of a workload without pods, or of a policy that is deleted, stay.
const LINGER: Duration = Duration::from_secs(60);
/// What stands for everything past a bound.
pub const OTHER: &str = "other";
/// The policy of what no policy decided.
pub const NONE: &str = "none";

/// What series may be about.
#[derive(Debug, Default)]
pub struct Live {
    /// `NAMESPACE/WORKLOAD` of those that have pods.
    pub workloads: HashSet<String>,
    /// `Kind/NAMESPACE/NAME` of those that there are.
    pub policies: HashSet<String>,
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
    /// A family with these labels; without a metric nothing is counted.
    pub fn new(metric: Option<V>, labels: &[&str]) -> Self {
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

    /// Marks the series of workloads and policies that are gone.
    pub fn mark(&mut self, live: &Live) {
        let place = |name: &str| self.labels.iter().position(|label| label == name);
        let pairs: Vec<(usize, usize)> = [
            ("source_namespace", "source_workload"),
            ("destination_namespace", "destination_workload"),
        ]
        .iter()
        .filter_map(|(namespace, workload)| Some((place(namespace)?, place(workload)?)))
        .collect();
        let policy = place("policy");
        for (labels, gone) in &mut self.series {
            let dead = pairs.iter().any(|(namespace, workload)| {
                let (namespace, workload) = (&labels[*namespace], &labels[*workload]);
                !namespace.is_empty()
                    && namespace != OTHER
                    && !live.workloads.contains(&format!("{namespace}/{workload}"))
            });
            let repealed = policy.is_some_and(|place| {
                let policy = &labels[place];
                policy != NONE && policy != OTHER && !live.policies.contains(policy)
            });
            match dead || repealed {
                true => _ = gone.get_or_insert_with(Instant::now),
                false => *gone = None,
            }
        }
    }

    /// Takes out the series of what was gone a while before `now`.
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
