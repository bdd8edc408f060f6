//! ICMP errors: about a tracked flow, from its other end or a router on the way, and to the one who
//! sent what they quote.

use std::net::IpAddr;

use weir_policy::model::Protocol;

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::Craft,
};

const ROUTER: [&str; 2] = ["198.51.100.1", "2001:db8:ffff::1"];

/// An error from one address to another about a packet.
fn error(family: usize, from: IpAddr, to: IpAddr, about: &[u8]) -> Craft {
    let mut error = Craft::new(from, to, Protocol::Icmp)
        .ports(0, 0)
        .detail(if family == 0 { 3 } else { 1 });
    error.payload = about[14..].to_vec();
    error
}

#[test]
fn icmp_errors_pass_only_for_tracked_flows() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    for family in EVERY_FAMILY {
        let (pod, client, router) = (ip(POD[family]), ip(CLIENT[family]), ip(ROUTER[family]));
        let open = Craft::new(pod, client, Protocol::Udp)
            .ports(5000, 53)
            .build();
        let mut error = error(family, router, pod, &open);
        assert_eq!(
            bench.run(Way::ToPod, &error.build()),
            Result::Drop,
            "not tracked yet"
        );
        assert_eq!(bench.run(Way::FromPod, &open), Result::Pass);
        assert_eq!(
            bench.run(Way::ToPod, &error.build()),
            Result::Pass,
            "tracked"
        );
        error.payload.truncate(20);
        assert_eq!(
            bench.run(Way::ToPod, &error.build()),
            Result::Drop,
            "quotes too little"
        );
    }
}

/// Else a quote of any tracked flow would carry a payload to anybody.
#[test]
fn an_error_goes_to_the_one_who_sent_what_it_quotes() {
    let mut bench = Bench::new();
    bench.install(&world(None, Some(vec![])), 0);
    for family in EVERY_FAMILY {
        let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
        let asked = Craft::new(client, pod, Protocol::Udp)
            .ports(7000, 53)
            .build();
        assert_eq!(bench.run(Way::ToPod, &asked), Result::Pass);
        let good = error(family, pod, client, &asked).build();
        assert_eq!(bench.run(Way::FromPod, &good), Result::Pass);
        let other = ip(ROUTER[family]);
        let elsewhere = error(family, pod, other, &asked).build();
        assert_eq!(
            bench.run(Way::FromPod, &elsewhere),
            Result::Drop,
            "to another"
        );
        let spoofed = error(family, other, client, &asked).build();
        assert_eq!(
            bench.run(Way::FromPod, &spoofed),
            Result::Drop,
            "from another"
        );
    }
}

#[test]
fn a_quoted_fragment_without_ports_is_about_nothing() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    let (pod, client) = (ip(POD[0]), ip(CLIENT[0]));
    let open = Craft::new(pod, client, Protocol::Udp)
        .ports(5000, 53)
        .build();
    assert_eq!(bench.run(Way::FromPod, &open), Result::Pass);
    let mut error = error(0, client, pod, &open);
    assert_eq!(bench.run(Way::ToPod, &error.build()), Result::Pass);
    error.payload[7] = 1;
    assert_eq!(bench.run(Way::ToPod, &error.build()), Result::Drop);
}

/// What is too long for a path is often a fragment already.
#[test]
fn a_first_fragment_that_is_too_long_is_told_of() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    for family in EVERY_FAMILY {
        let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
        let mut first = Craft::new(pod, client, Protocol::Udp).ports(5000, 53);
        first.payload = vec![0; 1200];
        first.fragment = Some((0, true, 9));
        let first = first.build();
        assert_eq!(bench.run(Way::FromPod, &first), Result::Pass);
        let error = error(family, ip(ROUTER[family]), pod, &first).build();
        assert_eq!(bench.run(Way::ToPod, &error), Result::Pass);
    }
}
