//! A scraper's first look at a new series finds zero, and the count at its next look.
//!
//! Prometheus makes rates of differences: of a series that begins with 3 it never sees the first
//! three, so that a single denial would show in no graph. Only series that begin while a scraper
//! comes again and again are told so: what it finds at its very first look may be old.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::{Duration, Instant},
};

use prometheus::proto::{Bucket, Counter, Histogram, Metric, MetricFamily, MetricType};

/// Scrapers that are remembered at most.
const SCRAPERS: usize = 8;
/// A scraper that has not come for so long is a new one.
const AWAY: Duration = Duration::from_secs(600);

/// Which series each scraper has seen.
#[derive(Debug)]
pub struct FirstLooks {
    /// Families whose series begin with this process.
    families: HashSet<String>,
    scrapers: HashMap<IpAddr, Seen>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Seen {
    last: Instant,
    series: HashSet<u64>,
}

// === impl FirstLooks ===

impl FirstLooks {
    pub fn new(families: HashSet<String>) -> Self {
        Self {
            families,
            scrapers: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Sets what this scraper has not seen to zero.
    pub fn show(&mut self, scraper: IpAddr, gathered: &mut [MetricFamily], now: Instant) {
        self.scrapers
            .retain(|_, seen| now.saturating_duration_since(seen.last) < AWAY);
        let before = self.scrapers.remove(&scraper);
        let mut series = HashSet::new();
        for family in gathered {
            if !self.families.contains(family.name()) {
                continue;
            }
            let (name, kind) = (family.name().to_owned(), family.get_field_type());
            for metric in family.mut_metric() {
                let number = self.number(&name, metric);
                series.insert(number);
                let new = before
                    .as_ref()
                    .is_some_and(|before| !before.series.contains(&number));
                if new {
                    empty(metric, kind);
                }
            }
        }
        if self.scrapers.len() >= SCRAPERS
            && let Some(oldest) = self.oldest()
        {
            self.scrapers.remove(&oldest);
        }
        self.scrapers.insert(scraper, Seen { last: now, series });
    }

    fn oldest(&self) -> Option<IpAddr> {
        let scrapers = self.scrapers.iter();
        scrapers
            .min_by_key(|(_, seen)| seen.last)
            .map(|(scraper, _)| *scraper)
    }

    fn number(&self, family: &str, metric: &Metric) -> u64 {
        let labels: Vec<(&str, &str)> = metric
            .get_label()
            .iter()
            .map(|label| (label.name(), label.value()))
            .collect();
        self.hasher.hash_one((family, labels))
    }
}

fn empty(metric: &mut Metric, kind: MetricType) {
    match kind {
        MetricType::COUNTER => metric.set_counter(Counter::default()),
        MetricType::HISTOGRAM => {
            let bounds = metric.get_histogram().get_bucket().iter();
            let buckets = bounds.map(|bucket| {
                let mut none = Bucket::default();
                none.set_upper_bound(bucket.upper_bound());
                none
            });
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets.collect());
            metric.set_histogram(histogram);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    struct Page {
        registry: Registry,
        counts: IntCounterVec,
        looks: FirstLooks,
        now: Instant,
    }

    impl Page {
        fn new() -> Self {
            let registry = Registry::new();
            let counts = IntCounterVec::new(Opts::new("x_total", "x."), &["a"]).expect("a name");
            registry.register(Box::new(counts.clone())).expect("once");
            Self {
                registry,
                counts,
                looks: FirstLooks::new(HashSet::from(["x_total".to_owned(), "y".to_owned()])),
                now: Instant::now(),
            }
        }

        fn count(&self, label: &str) {
            self.counts.with_label_values(&[label]).inc();
        }

        fn seen_by(&mut self, scraper: IpAddr) -> String {
            let mut gathered = self.registry.gather();
            self.looks.show(scraper, &mut gathered, self.now);
            TextEncoder::new()
                .encode_to_string(&gathered)
                .expect("text")
        }
    }

    #[test]
    fn what_begins_between_two_looks_begins_at_zero() {
        let mut page = Page::new();
        page.count("old");
        assert!(page.seen_by(ONE).contains("x_total{a=\"old\"} 1"));
        page.count("old");
        page.count("new");
        let text = page.seen_by(ONE);
        assert!(text.contains("x_total{a=\"old\"} 2"), "{text}");
        assert!(text.contains("x_total{a=\"new\"} 0"), "{text}");
        assert!(page.seen_by(ONE).contains("x_total{a=\"new\"} 1"));
    }

    #[test]
    fn each_scraper_looks_for_itself() {
        let mut page = Page::new();
        page.seen_by(ONE);
        page.seen_by(OTHER);
        page.count("new");
        assert!(page.seen_by(ONE).contains("} 0"));
        assert!(page.seen_by(ONE).contains("} 1"));
        assert!(page.seen_by(OTHER).contains("} 0"));
        assert!(page.seen_by(OTHER).contains("} 1"));
    }

    #[test]
    fn one_that_was_away_is_new() {
        let mut page = Page::new();
        page.seen_by(ONE);
        page.count("new");
        page.now += AWAY;
        assert!(page.seen_by(ONE).contains("x_total{a=\"new\"} 1"));
    }

    #[test]
    fn a_series_that_comes_back_begins_anew() {
        let mut page = Page::new();
        page.count("a");
        page.seen_by(ONE);
        page.counts.remove_label_values(&["a"]).expect("was there");
        page.seen_by(ONE);
        page.count("a");
        assert!(page.seen_by(ONE).contains("x_total{a=\"a\"} 0"));
    }

    #[test]
    fn a_histogram_begins_empty_with_its_buckets() {
        let mut page = Page::new();
        page.seen_by(ONE);
        let options = HistogramOpts::new("y", "y.").buckets(vec![1.0, 2.0]);
        let times = HistogramVec::new(options, &["a"]).expect("a name");
        page.registry
            .register(Box::new(times.clone()))
            .expect("once");
        times.with_label_values(&["b"]).observe(1.5);
        let text = page.seen_by(ONE);
        for line in [
            "y_bucket{a=\"b\",le=\"2\"} 0",
            "y_bucket{a=\"b\",le=\"+Inf\"} 0",
            "y_sum{a=\"b\"} 0",
            "y_count{a=\"b\"} 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let text = page.seen_by(ONE);
        assert!(
            text.contains("y_sum{a=\"b\"} 1.5") && text.contains("le=\"2\"} 1"),
            "{text}"
        );
    }

    #[test]
    fn few_scrapers_are_remembered() {
        let mut page = Page::new();
        for number in 0..=255 {
            page.now += Duration::from_millis(1);
            page.seen_by(IpAddr::V4(Ipv4Addr::new(10, 0, 1, number)));
        }
        assert_eq!(page.looks.scrapers.len(), SCRAPERS);
    }
}
