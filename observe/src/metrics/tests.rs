//! The registry, its page, and the bounds of its families.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use weir_link::proxy::{CountersSnapshot, counters::FAMILIES};

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
    assert_eq!(metrics.descriptions().len(), 69);
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

/// What a proxy declares is shown, from the beginning and under its labels.
#[test]
fn each_counter_of_a_proxy_is_a_metric() {
    let metrics = Metrics::new();
    let facts = |counters: CountersSnapshot| agent::AgentFacts {
        proxy: Some(agent::ProxyFacts {
            revision: 1,
            counters: Some(counters),
        }),
        ..agent::AgentFacts::default()
    };
    let line = |family: &str, values: &[&str], count: u64| {
        let found = FAMILIES.iter().find(|known| known.name == family);
        let labels = found.expect("a family").labels.iter().zip(values);
        let mut labels: Vec<_> = labels.map(|(l, v)| format!("{l}=\"{v}\"")).collect();
        labels.sort();
        match labels.is_empty() {
            true => format!("{family} {count}"),
            false => format!("{family}{{{}}} {count}", labels.join(",")),
        }
    };
    let shown = |counters: &CountersSnapshot| {
        let text = metrics.text().expect("text");
        counters.series(|family, values, count| {
            let line = line(family, values, count);
            assert!(text.lines().any(|shown| shown == line), "{line}");
        });
    };
    shown(&CountersSnapshot::default());
    let mut counted = CountersSnapshot {
        queries_denied: 3,
        connections_open: 5,
        ..CountersSnapshot::default()
    };
    counted.requests_refused.insert("no host".to_owned(), 7);
    metrics.agent().set(&facts(counted.clone()));
    shown(&counted);
    // What it counted stays, what it held is gone with it.
    metrics.agent().set(&agent::AgentFacts::default());
    counted.connections_open = 0;
    shown(&counted);
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

/// Pods come and go without a mark on a dashboard, and so does an agent that begins.
#[test]
fn a_change_of_policies_is_told_and_no_other() {
    let metrics = Metrics::new();
    let changed = || {
        let text = metrics.text().expect("text");
        let line = text
            .lines()
            .find(|line| line.starts_with("weir_policies_changed_timestamp_seconds "));
        line.expect("the gauge")
            .rsplit(' ')
            .next()
            .expect("a value")
            .to_owned()
    };
    let names = crate::testing::names(Vec::new());
    metrics.renamed(&names);
    metrics.renamed(&names);
    assert_eq!(changed(), "0");
    let other = crate::testing::policy(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: default}, \
         spec: {podSelector: {}}}",
    );
    metrics.renamed(&other);
    assert_ne!(changed(), "0");
}

/// What a scraper gets that asks for OpenMetrics: the same series, one exemplar in the bucket of the
/// request that has a trace, and an end.
#[test]
fn openmetrics_has_the_same_series_and_exemplars() {
    let metrics = Metrics::new();
    let names = crate::testing::names(Vec::new());
    let mut request = crate::testing::passed(Some(200));
    metrics.request(&request, &names);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    if let weir_link::proxy::Application::Http(http) = &mut request.application {
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        http.headers = vec![("traceparent".into(), parent)];
    }
    metrics.request(&request, &names);
    let (plain, open) = (metrics.text().unwrap(), metrics.open_text(None));
    assert!(open.ends_with("\n# EOF\n"));
    let exemplars: Vec<&str> = open.lines().filter(|line| line.contains(" # {")).collect();
    let [exemplar] = exemplars.as_slice() else {
        panic!("one: {exemplars:?}");
    };
    assert!(exemplar.starts_with("hubble_http_request_duration_seconds_bucket{"));
    assert!(
        exemplar.contains("le=\"0.0025\"} 2 # {trace_id=\""),
        "{exemplar}"
    );
    assert!(
        exemplar.contains(&format!("\"{trace}\"}} 0.0025 10.000")),
        "{exemplar}"
    );
    // The same numbers, whatever the order of labels and the writing of bounds.
    let series = |text: &str| -> std::collections::BTreeMap<String, String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let plain = lines.map(|line| line.split(" # ").next().unwrap_or(line));
        plain
            .filter(|line| !line.starts_with("process_"))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.replace(".0\"}", "\"}"), value.to_owned()))
            .collect()
    };
    assert_eq!(series(&plain), series(&open));
    for line in open.lines().filter(|line| line.starts_with("# TYPE")) {
        assert!(!line.contains("_total counter"), "{line}");
    }
}
