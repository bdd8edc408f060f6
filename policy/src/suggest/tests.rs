//! What was seen passes under the proposal, and what was not does not.

mod record;

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;

use super::*;
use crate::{
    diff, lint,
    model::{Entity, Protocol},
    record::Seen,
    testing::sample::{Sample, policy},
    verdict::{Flow, HttpRequest, Outcome, Simulator},
};

fn seen(world: &World, name: &str) -> Seen {
    match world.pods.iter().find(|pod| pod.id() == *name) {
        Some(pod) => Seen {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            labels: pod.labels.clone(),
            address: pod.addresses[0].to_string(),
            ..Seen::default()
        },
        None => Seen {
            address: name.to_owned(),
            entities: entities(name),
            ..Seen::default()
        },
    }
}

/// What records call an address.
fn entities(address: &str) -> BTreeSet<Entity> {
    match address {
        "172.18.0.2" => [Entity::Host].into(),
        "172.18.0.3" => [Entity::RemoteNode].into(),
        "172.18.0.4" => [Entity::RemoteNode, Entity::KubeApiserver].into(),
        "192.0.2.8" => [Entity::KubeApiserver].into(),
        _ => BTreeSet::new(),
    }
}

fn recorded(world: &World, (from, to, protocol, port, path): &Tuple) -> Recorded {
    Recorded {
        from: seen(world, from),
        to: seen(world, to),
        protocol: *protocol,
        port: *port,
        http: path.map(|path| HttpRequest {
            method: "GET".into(),
            path: path.into(),
            host: Some("h".into()),
            ..HttpRequest::default()
        }),
        passed: true,
    }
}

type Tuple = (
    &'static str,
    &'static str,
    Protocol,
    u16,
    Option<&'static str>,
);

/// The verdict on a flow under proposals.
fn verdict(world: &World, suggestion: &Suggestion, flow: &Recorded) -> Outcome {
    let mut world = world.clone();
    let proposals = suggestion.proposals.iter();
    world.policies = proposals.map(|proposal| policy(&proposal.policy)).collect();
    let question = Flow {
        from: name(&flow.from),
        to: name(&flow.to),
        protocol: flow.protocol,
        port: (flow.protocol != Protocol::Icmp).then_some(flow.port),
        port_name: None,
        http: flow.http.clone(),
    };
    Simulator::new(&world)
        .judge(&question)
        .expect("a verdict")
        .verdict
}

fn name(seen: &Seen) -> String {
    seen.name()
}

fn world() -> World {
    Sample::default()
        .pod("shop/web-0", "app=web,pod-template-hash=1", &[80])
        .pod("shop/db-0", "app=db,tier=data", &[5432])
        .pod("shop/cache-0", "app=db,tier=cache", &[6379])
        .pod("front/gate-0", "app.kubernetes.io/name=gate", &[])
        .pod("front/old-0", "app=old", &[])
        .world
}

#[test]
fn the_kind_follows_the_traffic() {
    let world = world();
    let flows: Vec<Recorded> = [
        ("shop/web-0", "shop/db-0", Protocol::Tcp, 5432, None),
        (
            "front/gate-0",
            "shop/web-0",
            Protocol::Tcp,
            80,
            Some("/users/1"),
        ),
        (
            "front/gate-0",
            "shop/web-0",
            Protocol::Tcp,
            80,
            Some("/users/2"),
        ),
        ("front/gate-0", "shop/web-0", Protocol::Tcp, 80, None),
    ]
    .iter()
    .map(|flow| recorded(&world, flow))
    .collect();
    let found = suggest(&flows, &world, &Options::default());
    let [gate, db, web] = found.proposals.as_slice() else {
        panic!("three proposals: {found:?}");
    };
    assert_eq!(
        web.policy["spec"],
        json!({
            "endpointSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{
                "fromEndpoints": [{"matchLabels": {
                    "app.kubernetes.io/name": "gate", "io.kubernetes.pod.namespace": "front"}}],
                "toPorts": [{
                    "ports": [{"port": "80", "protocol": "TCP"}],
                    "rules": {"http": [{"method": "GET", "path": "/users/[^/]+"}]},
                }],
            }],
            "egress": [{
                "toEndpoints": [{"matchLabels": {"app": "db", "tier": "data"}}],
                "toPorts": [{"ports": [{"port": "5432", "protocol": "TCP"}]}],
            }],
        })
    );
    assert_eq!(db.policy["kind"], "NetworkPolicy");
    assert_eq!(
        db.policy["metadata"]["annotations"][ANNOTATION],
        "from 1 recorded flows"
    );
    assert_eq!(
        db.policy["spec"]["podSelector"]["matchLabels"],
        json!({"app": "db", "tier": "data"})
    );
    assert_eq!(
        gate.policy["spec"]["policyTypes"],
        json!(["Ingress", "Egress"])
    );
    let ingress = Options {
        direction: Some(Direction::Ingress),
        namespaces: vec!["shop".into()],
        ..Options::default()
    };
    let found = suggest(&flows, &world, &ingress);
    assert_eq!(found.proposals.len(), 2);
    assert!(
        found
            .proposals
            .iter()
            .all(|proposal| proposal.policy["spec"].get("egress").is_none())
    );
}

#[test]
fn denied_flows_and_pods_without_labels_are_left_out() {
    let world = world();
    let mut dropped = recorded(
        &world,
        &("front/old-0", "shop/web-0", Protocol::Tcp, 80, None),
    );
    dropped.passed = false;
    assert_eq!(
        suggest(&[dropped.clone()], &world, &Options::default()),
        Suggestion::default()
    );
    let all = Options {
        denied_too: true,
        ..Options::default()
    };
    assert_eq!(suggest(&[dropped.clone()], &world, &all).proposals.len(), 2);
    dropped.passed = true;
    dropped.from = Seen {
        namespace: "x".into(),
        pod: "p".into(),
        ..Seen::default()
    };
    let found = suggest(&[dropped], &world, &Options::default());
    assert_eq!(
        found.left_out,
        ["flows of x/p: it has no labels to select it by"]
    );
}

const PODS: [&str; 5] = [
    "shop/web-0",
    "shop/db-0",
    "shop/cache-0",
    "front/gate-0",
    "front/old-0",
];
fn flow() -> impl Strategy<Value = Tuple> {
    flow_of([PODS.as_slice(), &["192.0.2.7"]].concat())
}

fn flow_of(ends: Vec<&'static str>) -> impl Strategy<Value = Tuple> {
    let kind = prop_oneof![
        3 => select(vec![80u16, 443]).prop_map(|port| (Protocol::Tcp, port, None)),
        3 => select(vec!["/", "/users/7", "/a.b?x=1", "/a//b", "/x/../y", "/v/%2e%2e/z", "/a%2fb", "/a;v=1/b", "/ü"])
            .prop_map(|path| (Protocol::Tcp, 80, Some(path))),
        1 => Just((Protocol::Udp, 53, None)),
        1 => Just((Protocol::Icmp, 0, None)),
    ];
    (select(ends.clone()), select(ends), kind)
        .prop_filter(
            "a pod on one side, another end on the other",
            |(from, to, _)| from != to && (from.contains('/') || to.contains('/')),
        )
        .prop_map(|(from, to, (protocol, port, path))| (from, to, protocol, port, path))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_was_seen_passes_and_nothing_else(flows in vec(flow(), 1..12), other in flow()) {
        let world = world();
        let list: Vec<Recorded> = flows.iter().map(|flow| recorded(&world, flow)).collect();
        let found = suggest(&list, &world, &Options::default());
        for flow in &list {
            prop_assert_eq!(verdict(&world, &found, flow), Outcome::Allow, "{:?} {:?}", flow, found);
        }
        // Another edge or port, between ends of which a policy is about one.
        let (from, to, protocol, port, _) = other;
        let known = |name: &str| flows.iter().any(|(from, to, ..)| *from == name || *to == name);
        let same = flows.iter().any(|(f, t, p, n, _)| (*f, *t, *p, *n) == (from, to, protocol, port));
        let unseen = recorded(&world, &other);
        let is_pod = |name: &str| !name.starts_with('1');
        if !same && ((known(from) && is_pod(from)) || (known(to) && is_pod(to))) {
            prop_assert_eq!(verdict(&world, &found, &unseen), Outcome::Deny, "{:?} {:?}", unseen, found);
        }
        // Another request, where requests were seen.
        for flow in list.iter().filter(|flow| flow.http.is_some() && !flow.to.namespace.is_empty()) {
            let mut unseen = flow.clone();
            unseen.http = Some(HttpRequest { method: "GET".into(), path: "/admin/x".into(), ..HttpRequest::default() });
            prop_assert_eq!(verdict(&world, &found, &unseen), Outcome::HttpDeny);
        }
    }

}
