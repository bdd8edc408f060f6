//! What became of the records for an OpenTelemetry collector.

use super::registry::{Counter, Documented};

/// The families about the collector.
#[derive(Debug)]
pub struct OtlpMetrics {
    sent: Counter,
    dropped: Counter,
}

// === impl OtlpMetrics ===

impl OtlpMetrics {
    pub(super) fn new(all: &mut Documented) -> Self {
        Self {
            sent: all.counter(
                "weir_otlp_sent_total",
                "Log records and spans that the OpenTelemetry collector took.",
            ),
            dropped: all.counter(
                "weir_otlp_dropped_total",
                "Records that the OpenTelemetry collector was not sent or did not take: it was away, or they came too fast.",
            ),
        }
    }

    /// So many were taken.
    pub fn sent(&self, count: u64) {
        self.sent.add(count);
    }

    /// So many were not.
    pub fn dropped(&self, count: u64) {
        self.dropped.add(count);
    }
}
