//! What a verdict on a request costs, the proxy's and `weir simulate`'s, by what the rules look like.

use std::{hint::black_box, time::Instant};

use weir_policy::{
    http::Request,
    l7::{Judge as _, L7Table, RequestFlow},
    model::{Direction, Protocol, World},
    verdict::{Outcome, Simulator},
};

use super::{Node, RULES, apart, told, world};

/// Requests of one measurement, of which the best of ten counts.
const REQUESTS: u32 = 20_000;

/// Rules with the path of each by its number, and a request's for the last of them.
type Rules = (&'static str, fn(usize) -> String, fn(usize) -> String);

pub fn verdicts(node: &mut Node) {
    let kinds: [Rules; 4] = [
        ("proxy, paths apart", apart, |last| {
            format!("/service-{last}/items/12")
        }),
        ("  routes alike", route, |last| {
            format!("/api/v1/things/res{last}")
        }),
        ("  patterns alike", pattern, |last| {
            format!("/api/v1/things/res{last}?page=2")
        }),
        ("  denied by those", pattern, |_| {
            "/api/v1/things/other".into()
        }),
    ];
    for (what, path, asked) in kinds {
        let times = RULES.map(|rules| verdict(node, rules, path, &asked(rules - 1)));
        told(what, &times);
    }
    for (what, asked) in [
        ("simulate, allowed", "/api/v1/things/res0?page=2"),
        ("  denied", "/api/v1/things/other"),
    ] {
        told(
            what,
            &RULES.map(|rules| simulated(&world(rules, pattern), asked)),
        );
    }
}

/// Paths that begin alike, of whole segments.
fn route(number: usize) -> String {
    format!("/api/v1/[^/]+/res{number}")
}

/// Paths that begin alike, of anything.
fn pattern(number: usize) -> String {
    format!("/api/v[0-9]/[a-z]+/res{number}(\\?.*)?")
}

/// Nanoseconds of a flow that `weir simulate` reads as a line of JSON.
fn simulated(world: &World, path: &str) -> f64 {
    let [from, to] = [1, 0].map(|pod| world.pods[pod].id());
    let line = format!(
        r#"{{"from":"{from}","to":"{to}","protocol":"TCP","port":80,"http":{{"path":"{path}"}}}}"#
    );
    let mut simulator = Simulator::new(world);
    let expected = match path.ends_with("other") {
        true => Outcome::HttpDeny,
        false => Outcome::Allow,
    };
    let told = simulator.judge_line(&line).expect("a flow");
    assert_eq!(told.ingress.verdict, expected, "{line}: {told:?}");
    best(|| black_box(simulator.judge_line(black_box(&line))).is_ok())
}

/// Nanoseconds of a verdict.
fn verdict(node: &mut Node, rules: usize, path: fn(usize) -> String, asked: &str) -> f64 {
    let world = world(rules, path);
    let mut table = L7Table::new(&node.compile(&world), |pod| {
        (pod.name == "pod-0").then_some(1)
    });
    table.prepare(None);
    let flow = RequestFlow {
        endpoint: 1,
        direction: Direction::Ingress,
        peer: world.pods[1].addresses[0],
        protocol: Protocol::Tcp,
        port: 80,
    };
    let request = Request {
        method: "GET",
        path: Some(asked),
        host: Some("h"),
        headers: &[],
        body: false,
    };
    let allowed = !asked.ends_with("other");
    assert_eq!(table.judge(flow, &request).allowed, allowed, "{asked}");
    best(|| table.judge(flow, black_box(&request)).allowed)
}

/// Nanoseconds of one of many runs.
fn best(mut run: impl FnMut() -> bool) -> f64 {
    let times = (0..10).map(|_| {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            black_box(run());
        }
        start.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
    });
    times.fold(f64::MAX, f64::min)
}
