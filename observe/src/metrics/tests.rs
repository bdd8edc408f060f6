//! The registry, its page, and the bounds of its families.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    family::{Live, MOST, NONE},
    *,
};

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment"
)]
fn the_page_is_that_of_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).expect("docs/metrics.md");
    }
    let written = std::fs::read_to_string(path).expect("docs/metrics.md");
    assert_eq!(
        written,
        page(),
        "WRITE_DOCS=1 cargo test -p weir-observe metrics"
    );
}

#[test]
fn everything_is_registered_once_and_named_as_its_kind() {
    let metrics = Metrics::new();
    // A family that could not be registered is missing here.
    assert_eq!(metrics.descriptions().len(), 61);
    let mut names = HashSet::new();
    for metric in metrics.descriptions() {
        assert!(names.insert(metric.name.clone()), "{} twice", metric.name);
        assert_eq!(
            metric.kind == "counter",
            metric.name.ends_with("_total"),
            "{}",
            metric.name
        );
        assert!(
            metric.help.ends_with('.') || metric.help.contains(": "),
            "{}",
            metric.name
        );
    }
}

#[test]
fn a_family_is_bounded() {
    let mut all = Documented::new();
    let mut family = all.counters("x_total", "x.", &["a", "b"]);
    for number in 0..MOST + 10 {
        family.add(&[&number.to_string(), "y"], 1);
    }
    let (registry, _) = all.finish();
    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .expect("text");
    assert!(text.contains("x_total{a=\"other\",b=\"other\"} 10"));
    assert_eq!(
        text.lines().filter(|line| !line.starts_with('#')).count(),
        MOST + 1
    );
}

#[test]
fn series_of_workloads_that_are_gone_go_a_minute_later() {
    let mut all = Documented::new();
    let labels = [
        "source_namespace",
        "source_workload",
        "destination_namespace",
        "destination_workload",
    ];
    let mut family = all.counters("x_total", "x.", &labels);
    family.add(&["default", "a", "default", "b"], 1);
    family.add(&["default", "a", "", "world"], 1);
    let (registry, _) = all.finish();
    let series = || {
        let text = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text");
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let (soon, late) = (
        Instant::now() + Duration::from_secs(30),
        Instant::now() + Duration::from_secs(90),
    );
    let live = |names: &[&str]| Live {
        workloads: names.iter().map(|name| (*name).to_owned()).collect(),
        policies: HashSet::new(),
    };
    family.mark(&live(&["default/a", "default/b"]));
    family.forget(late);
    assert_eq!(series(), 2);
    family.mark(&live(&["default/a"]));
    family.forget(soon);
    assert_eq!(series(), 2);
    family.forget(late);
    assert_eq!(series(), 1, "the one about b went");
    // It came back in time.
    family.mark(&live(&[]));
    family.mark(&live(&["default/a"]));
    family.forget(late);
    assert_eq!(series(), 1);
}

#[test]
fn series_of_policies_that_are_gone_go_too() {
    let mut all = Documented::new();
    let mut family = all.counters("x_total", "x.", &["policy"]);
    for policy in ["NetworkPolicy/default/a", "NetworkPolicy/default/b", NONE] {
        family.add(&[policy], 1);
    }
    let (registry, _) = all.finish();
    let live = Live {
        policies: HashSet::from(["NetworkPolicy/default/a".to_owned()]),
        ..Live::default()
    };
    family.mark(&live);
    family.forget(Instant::now() + Duration::from_secs(90));
    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .expect("text");
    assert!(text.contains("default/a\"} 1") && text.contains("policy=\"none\"} 1"));
    assert!(!text.contains("default/b"), "{text}");
}

#[test]
fn a_count_that_begins_anew_is_taken_over() {
    let mut all = Documented::new();
    let counter = all.counter("x_total", "x.");
    counter.set(5);
    counter.set(7);
    counter.set(2);
    let (registry, _) = all.finish();
    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .expect("text");
    assert!(text.contains("x_total 2"), "{text}");
}
