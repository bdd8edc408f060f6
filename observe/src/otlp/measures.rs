//! What `/metrics` serves, as OpenTelemetry has it.

use std::time::SystemTime;

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
        metric::Data, number_data_point::Value,
    },
};
use prometheus::proto;

use super::attributes::{nanos, text};

/// All families, counted since `began`.
pub(super) fn of(
    families: &[proto::MetricFamily],
    began: SystemTime,
    now: SystemTime,
) -> Vec<Metric> {
    let times = (nanos(began), nanos(now));
    let metric = |family: &proto::MetricFamily| {
        Some(Metric {
            name: family.name().to_owned(),
            description: family.help().to_owned(),
            data: Some(data(family, times)?),
            ..Metric::default()
        })
    };
    families.iter().filter_map(metric).collect()
}

fn data(family: &proto::MetricFamily, times: (u64, u64)) -> Option<Data> {
    let series = family.get_metric().iter();
    Some(match family.get_field_type() {
        proto::MetricType::COUNTER => Data::Sum(Sum {
            data_points: series
                .map(|of| point(of, times, of.get_counter().get_value()))
                .collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        proto::MetricType::GAUGE => Data::Gauge(Gauge {
            data_points: series
                .map(|of| point(of, times, of.get_gauge().get_value()))
                .collect(),
        }),
        proto::MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: series.map(|of| histogram(of, times)).collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        }),
        // The registry holds no others.
        proto::MetricType::SUMMARY | proto::MetricType::UNTYPED => return None,
    })
}

fn labels(series: &proto::Metric) -> Vec<KeyValue> {
    let labels = series.get_label().iter();
    labels
        .map(|label| text(label.name(), label.value()))
        .collect()
}

fn point(series: &proto::Metric, (began, now): (u64, u64), value: f64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(series),
        start_time_unix_nano: began,
        time_unix_nano: now,
        value: Some(Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Prometheus counts what is at most a bound, OpenTelemetry what is between two.
fn histogram(series: &proto::Metric, (began, now): (u64, u64)) -> HistogramDataPoint {
    let given = series.get_histogram();
    let finite = given.get_bucket().iter();
    let finite: Vec<_> = finite.filter(|of| of.upper_bound().is_finite()).collect();
    let mut below = 0;
    let mut counts: Vec<u64> = Vec::with_capacity(finite.len() + 1);
    for bucket in &finite {
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    let count = given.get_sample_count();
    counts.push(count.saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(series),
        start_time_unix_nano: began,
        time_unix_nano: now,
        count,
        sum: Some(given.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: finite.iter().map(|of| of.upper_bound()).collect(),
        ..HistogramDataPoint::default()
    }
}
