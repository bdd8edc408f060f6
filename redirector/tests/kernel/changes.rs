//! Flows that live through a change of what is in force.

use std::{collections::BTreeMap, net::Ipv4Addr};

use weir_policy::model::{Peers, PodName, Protocol};
use weir_redirector::Placement;

use crate::small::*;
use crate::{
    bench::{Bench, LOOPBACK, Result, Way},
    packet::{ACK, Craft},
};

#[test]
fn a_new_revision_rejudges_tracked_flows() {
    let mut bench = Bench::new();
    let open = world(None, None);
    bench.install(&open, 0);
    let (pod, client) = (ip(POD[0]), ip(CLIENT[0]));
    let syn = Craft::new(client, pod, Protocol::Tcp).ports(9000, 80);
    let data = syn.clone().detail(ACK).build();
    let reply = Craft::new(pod, client, Protocol::Tcp)
        .ports(80, 9000)
        .detail(ACK)
        .build();
    assert_eq!(bench.run(Way::ToPod, &syn.build()), Result::Pass);
    assert_eq!(bench.run(Way::ToPod, &data), Result::Pass);
    // What now needs the proxy goes there, in both directions, and meets no socket.
    let http = rule(Peers::Any, Some(80), Some(vec![]));
    bench.install(&world(Some(vec![http]), None), 0);
    assert_eq!(bench.run(Way::ToPod, &data), Result::Redirect);
    assert_eq!(bench.run(Way::FromPod, &reply), Result::Redirect);
    // What is denied now is cut at once, for good, and in both directions.
    bench.install(&world(Some(vec![]), None), 0);
    for _ in 0..2 {
        assert_eq!(bench.run(Way::FromPod, &reply), Result::Drop);
        assert_eq!(bench.run(Way::ToPod, &data), Result::Drop);
    }
    bench.install(&open, 0);
    assert_eq!(
        bench.run(Way::ToPod, &data),
        Result::Redirect,
        "no way back"
    );
    assert!(bench.counter("rejudged") >= 2);
}

#[test]
fn a_denied_flow_stays_denied_until_it_is_opened_anew() {
    for family in EVERY_FAMILY {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let mut bench = Bench::new();
            bench.install(&world(None, None), 0);
            let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
            let opening = Craft::new(client, pod, protocol).ports(9000, 80);
            let data = opening.clone().detail(ACK).build();
            let reply = Craft::new(pod, client, protocol).ports(80, 9000);
            let reply = reply.detail(ACK).build();
            assert_eq!(bench.run(Way::ToPod, &opening.build()), Result::Pass);
            bench.install(&world(Some(vec![]), None), 0);
            assert_eq!(bench.run(Way::ToPod, &data), Result::Drop);
            for _ in 0..2 {
                assert_eq!(bench.run(Way::FromPod, &reply), Result::Drop, "{protocol}");
                assert_eq!(bench.run(Way::ToPod, &data), Result::Drop, "{protocol}");
            }
            bench.install(&world(None, None), 0);
            assert_eq!(bench.run(Way::FromPod, &reply), Result::Pass, "{protocol}");
            assert_eq!(bench.run(Way::ToPod, &data), Result::Pass, "{protocol}");
        }
    }
}

/// What a change leaves that had no room is not in the way of the next one.
#[test]
fn a_change_without_room_takes_none() {
    let mut bench = Bench::sized("policy=64");
    let open = |ports: std::ops::Range<u16>| {
        let rules = ports.map(|port| rule(backend_only(), Some(2 * port), None));
        world(Some(rules.collect()), None)
    };
    bench.install(&open(40..41), 0);
    let refused = bench.try_install(&open(100..200), 0).expect_err("no room");
    assert!(refused.to_string().contains("POLICY"), "{refused}");
    let to = |port| {
        Craft::new(ip(BACKEND[0]), ip(POD[0]), Protocol::Tcp)
            .ports(9000, port)
            .build()
    };
    // Judged as before.
    assert_eq!(bench.run(Way::ToPod, &to(80)), Result::Pass);
    assert_eq!(bench.run(Way::ToPod, &to(200)), Result::Drop);
    bench.install(&open(300..330), 0);
    assert_eq!(bench.run(Way::ToPod, &to(658)), Result::Pass);
}

/// More pods than the node's maps have room for: the change is refused with the map's name, and
/// what had no room is never open.
#[test]
fn a_full_map_opens_nothing() {
    let mut bench = Bench::new();
    let closed = world(Some(vec![]), Some(vec![]));
    bench.install(&closed, 0);
    let from_backend = Craft::new(ip(BACKEND[0]), ip(POD[0]), Protocol::Tcp)
        .ports(9000, 80)
        .build();
    assert_eq!(bench.run(Way::ToPod, &from_backend), Result::Drop);
    let mut crowded = closed.clone();
    for number in 0..5000u32 {
        let mut pod = closed.pods[0].clone();
        pod.name = format!("crowd-{number}");
        pod.addresses = vec![Ipv4Addr::from_bits(0x0a80_0000 + number).into()];
        crowded.pods.push(pod);
    }
    let places: BTreeMap<&str, u16> = crowded
        .pods
        .iter()
        .zip(2..)
        .map(|(pod, place)| (pod.name.as_str(), place))
        .collect();
    let place = |pod: &PodName| {
        let index = *places.get(pod.name.as_str())?;
        Some(Placement {
            index,
            interface: match pod.name.as_str() {
                "subject" => LOOPBACK,
                _ => u32::from(index),
            },
        })
    };
    let refused = bench
        .place(&crowded, place)
        .expect_err("no room")
        .to_string();
    assert!(
        refused.contains("INTERFACES") || refused.contains("ENDPOINTS"),
        "{refused}"
    );
    // Judged as before, and the next change that fits is taken.
    assert_eq!(bench.run(Way::ToPod, &from_backend), Result::Drop);
    bench.install(
        &world(Some(vec![rule(backend_only(), Some(80), None)]), None),
        0,
    );
    assert_eq!(bench.run(Way::ToPod, &from_backend), Result::Pass);
}
