//! OpenMetrics 1.0, for scrapers that ask for it: what Prometheus' text format says, and exemplars.

use std::{collections::HashMap, fmt::Write as _, time::SystemTime};

use prometheus::proto::{Metric, MetricFamily, MetricType};

/// What it is called in a header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A request that fell into a bucket, with the trace by which it is found elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// The trace, in hex.
    pub trace: String,
    /// What was measured.
    pub value: f64,
    /// When.
    pub time: SystemTime,
}

/// The last exemplar of each bucket of a family, by the series' label values in their order of names.
#[derive(Debug, Default)]
pub struct Exemplars(HashMap<Vec<String>, HashMap<u64, Exemplar>>);

/// Series that may have some at once; those of gone workloads go with the rest when it is reached.
const MOST: usize = 1_000;

// === impl Exemplars ===

impl Exemplars {
    /// Keeps an exemplar of a series, in the bucket with this bound.
    pub fn put(&mut self, series: &[&str], bound: f64, exemplar: Exemplar) {
        let mut key: Vec<String> = series.iter().map(|value| (*value).to_owned()).collect();
        key.sort_unstable();
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let of_series = self.0.entry(key).or_default();
        of_series.insert(bound.to_bits(), exemplar);
    }

    fn of(&self, series: &Metric, bound: f64) -> Option<&Exemplar> {
        if self.0.is_empty() {
            return None;
        }
        let labels = series.get_label().iter();
        let mut key: Vec<String> = labels.map(|label| label.value().to_owned()).collect();
        key.sort_unstable();
        self.0.get(&key)?.get(&bound.to_bits())
    }
}

/// All families; `exemplars` are those of the family of this name.
pub fn encode(families: &[MetricFamily], exemplars: (&str, &Exemplars)) -> String {
    let mut text = String::new();
    for family in families {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            // The registry holds no others.
            MetricType::SUMMARY | MetricType::UNTYPED => continue,
        };
        // A counter's family has no `_total`, its series do.
        let name = match kind {
            "counter" => family.name().trim_end_matches("_total"),
            _ => family.name(),
        };
        put(&mut text, format_args!("# TYPE {name} {kind}\n"));
        put(
            &mut text,
            format_args!("# HELP {name} {}\n", escaped(family.help())),
        );
        for series in family.get_metric() {
            match kind {
                "counter" => {
                    let (labels, value) = (labels(series, None), series.get_counter());
                    let value = value.get_value();
                    put(&mut text, format_args!("{name}_total{labels} {value}\n"));
                }
                "gauge" => {
                    let (labels, value) = (labels(series, None), series.get_gauge());
                    put(
                        &mut text,
                        format_args!("{name}{labels} {}\n", value.get_value()),
                    );
                }
                _ => {
                    let of = (exemplars.0 == family.name()).then_some(exemplars.1);
                    histogram(&mut text, name, series, of);
                }
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn histogram(text: &mut String, name: &str, series: &Metric, exemplars: Option<&Exemplars>) {
    let of = series.get_histogram();
    let finite = of.get_bucket().iter();
    let finite = finite.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let finite = finite.filter(|(bound, _)| bound.is_finite());
    let all = finite.chain([(f64::INFINITY, of.get_sample_count())]);
    for (bound, count) in all {
        let labels = labels(series, Some(bound));
        put(text, format_args!("{name}_bucket{labels} {count}"));
        if let Some(exemplar) = exemplars.and_then(|all| all.of(series, bound)) {
            let since = exemplar.time.duration_since(SystemTime::UNIX_EPOCH);
            let seconds = since.unwrap_or_default().as_secs_f64();
            let (trace, value) = (&exemplar.trace, exemplar.value);
            put(
                text,
                format_args!(" # {{trace_id=\"{trace}\"}} {value} {seconds:.3}"),
            );
        }
        text.push('\n');
    }
    let labels = labels(series, None);
    put(
        text,
        format_args!("{name}_sum{labels} {}\n", of.get_sample_sum()),
    );
    put(
        text,
        format_args!("{name}_count{labels} {}\n", of.get_sample_count()),
    );
}

/// Labels in braces; nothing where there is none.
fn labels(series: &Metric, bound: Option<f64>) -> String {
    let labels = series.get_label().iter();
    let mut all: Vec<String> = labels
        .map(|label| format!("{}=\"{}\"", label.name(), escaped(label.value())))
        .collect();
    all.extend(bound.map(|bound| match bound.is_finite() {
        // A bound has always a point, so that all write it alike.
        true if bound.fract() == 0.0 => format!("le=\"{bound:.1}\""),
        true => format!("le=\"{bound}\""),
        false => "le=\"+Inf\"".to_owned(),
    }));
    match all.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", all.join(",")),
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', r"\\");
    text.replace('"', "\\\"").replace('\n', r"\n")
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).ok();
}
