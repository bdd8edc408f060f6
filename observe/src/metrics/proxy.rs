//! What a proxy counts, shown as it is declared: a counter more needs no word here.

use std::collections::HashMap;

use prometheus::IntCounterVec;
use weir_link::proxy::{CountersSnapshot, counters::FAMILIES};

use super::{
    family::Family,
    registry::{Documented, Gauges},
};

/// The families that proxies declare.
#[derive(Debug)]
pub struct ProxyMetrics(HashMap<&'static str, Shown>);

#[derive(Debug)]
enum Shown {
    Counts(Family<IntCounterVec>),
    Holds(Gauges),
}

// === impl ProxyMetrics ===

impl ProxyMetrics {
    /// All of them, with every series: a rate needs a count to begin with.
    pub fn new(all: &mut Documented) -> Self {
        let shown = FAMILIES.iter().map(|family| {
            let (name, help, labels) = (family.name, family.help, family.labels);
            let shown = match family.gauge {
                true => Shown::Holds(all.gauges(name, help, labels)),
                false => Shown::Counts(all.counters(name, help, labels)),
            };
            (name, shown)
        });
        let made = Self(shown.collect());
        made.set(&CountersSnapshot::default());
        made
    }

    /// Takes over what a proxy counted.
    pub fn set(&self, counters: &CountersSnapshot) {
        counters.series(|family, values, count| match self.0.get(family) {
            Some(Shown::Counts(counts)) => counts.set(values, count),
            Some(Shown::Holds(holds)) => holds.set(values, count),
            None => {}
        });
    }

    /// There is no proxy: what it counted stays, what it held is gone with it.
    pub fn gone(&self) {
        CountersSnapshot::default().series(|family, values, _| {
            if let Some(Shown::Holds(holds)) = self.0.get(family) {
                holds.set(values, 0);
            }
        });
    }
}
