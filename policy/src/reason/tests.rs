//! What shows a verdict shows the same one: the proxy that judges a request and the tools that are
//! asked about it. (Of connections: `observe/src/why/tests.rs`.)

use proptest::prelude::*;

use crate::{
    compile::{Compiler, Local, Slot, Verdict},
    http::{Request, judge_every_reading},
    l7::{Judge as _, L7Table, RequestFlow},
    model::{Direction, PodName, Protocol},
    testing::generate::{NODE, world_and_flows},
    verdict::{Flow, HttpRequest, Outcome, Simulator},
};

#[test]
fn a_client_does_not_choose_how_long_a_sentence_is() {
    use super::told;
    assert_eq!(told("/a?b=c"), "/a?b=c");
    let long = |path: &str| told(path).into_owned();
    assert_eq!(
        long(&format!("/a?b={}", "c".repeat(300))),
        "/a… (305 bytes)"
    );
    let path = format!("/{}", "é".repeat(300));
    assert_eq!(long(&path), format!("/{}… (601 bytes)", "é".repeat(127)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_proxy_and_the_simulator_say_the_same_of_a_request(
        (world, flows) in world_and_flows(40),
        path in prop::sample::select(vec!["/", "/a", "/a/1", "/b?x=1", "/a/../b", "/a//1"]),
        method in prop::sample::select(vec!["GET", "POST", "HEAD"]),
        body in any::<bool>(),
    ) {
        let snapshot = Compiler::new().compile(&world, Local::Node(NODE));
        let index = |pod: &PodName| {
            let of = |e: &crate::compile::Endpoint| e.pod == *pod;
            snapshot.endpoints.iter().position(of).map(|at| at as u16 + 1)
        };
        let table = L7Table::new(&snapshot, index);
        let mut simulator = Simulator::new(&world);
        for flow in flows.into_iter().filter(|flow| flow.protocol == Protocol::Tcp) {
            let pod = &world.pods[flow.pod];
            let Some(endpoint) = snapshot.endpoint(&pod.id()) else {
                continue;
            };
            let side = snapshot.sets[&endpoint.set].side(flow.direction);
            let class = snapshot.address(flow.peer).expect("a default route").class;
            let decision = side.decide(&snapshot.classes[&class], Slot::Tcp, flow.port);
            let own = pod.addresses.iter().find(|own| own.is_ipv6() == flow.peer.is_ipv6());
            let own = own.expect("both families").to_string();
            let (from, to) = match flow.direction {
                Direction::Ingress => (flow.peer.to_string(), own),
                Direction::Egress => (own, flow.peer.to_string()),
            };
            let proxied = matches!(decision.verdict, Verdict::L7 | Verdict::L7Audit);
            let service = to.parse().is_ok_and(|to| {
                world.service_at(to, flow.protocol, flow.port).is_some()
            });
            if !proxied || service || from == to {
                continue;
            }
            let length = if body { "5" } else { "0" };
            let asked = Flow {
                from,
                to,
                protocol: flow.protocol,
                port: Some(flow.port),
                port_name: None,
                http: Some(HttpRequest {
                    method: method.into(),
                    path: path.into(),
                    host: Some("h".into()),
                    headers: [("content-length".to_owned(), length.to_owned())].into(),
                }),
            };
            let told = simulator.judge(&asked).expect("a verdict");
            let told = match flow.direction {
                Direction::Ingress => told.ingress,
                Direction::Egress => told.egress,
            };
            if told.reason == super::Reason::OwnNode.to_string() {
                continue;
            }
            let on = RequestFlow {
                endpoint: index(&pod.id()).expect("an endpoint"),
                direction: flow.direction,
                peer: flow.peer,
                protocol: flow.protocol,
                port: flow.port,
            };
            let request = Request {
                method,
                path: Some(path),
                host: Some("h"),
                headers: &[("content-length", length.as_bytes())],
                body,
            };
            let judged = judge_every_reading(&request, |request| table.judge(on, request));
            prop_assert_eq!(&judged.reason, &told.reason);
            prop_assert_eq!(judged.allowed, told.verdict == Outcome::Allow);
            prop_assert_eq!(judged.audit, told.audit);
            prop_assert_eq!(&judged.policies, &told.policies);
            prop_assert_eq!(Vec::from_iter(judged.rule), told.decided_by);
            let plain = judged.allowed && !judged.audit;
            prop_assert_eq!(judged.nearest.is_some(), !plain, "{}", judged.reason);
            prop_assert_eq!(judged.nearest, told.nearest_miss);
        }
    }
}
