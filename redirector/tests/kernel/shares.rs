//! The connection table: what one endpoint does costs the others nothing.

use weir_policy::model::{PodName, Protocol};
use weir_redirector::Placement;

use crate::small::*;
use crate::{
    bench::{Bench, LOOPBACK, Result, Way},
    packet::{ACK, Craft, SYN},
};

#[test]
fn packets_that_do_not_pass_leave_nothing() {
    for world in [world(None, Some(vec![])), world(None, None)] {
        let mut bench = Bench::new();
        bench.install(&world, 0);
        for family in EVERY_FAMILY {
            for port in 1..200 {
                // Spoofed, and to a service; where the pod is isolated its own are denied.
                let spoofed = Craft::new(ip(CLIENT[family]), ip(SERVICE[family]), Protocol::Tcp);
                let spoofed = spoofed.ports(port, 8000).build();
                assert_eq!(bench.run(Way::FromPod, &spoofed), Result::Drop);
            }
        }
        assert_eq!(bench.entries(), 0);
    }
    let mut bench = Bench::new();
    bench.install(&world(None, Some(vec![])), 0);
    for port in 1..200 {
        let denied = Craft::new(ip(POD[0]), ip(SERVICE[0]), Protocol::Tcp).ports(port, 8000);
        assert_eq!(bench.run(Way::FromPod, &denied.build()), Result::Drop);
    }
    assert_eq!(bench.entries(), 0);
}

/// Two pods that take turns on the one interface of the bench.
fn turns(bench: &mut Bench, pod: usize) {
    let world = world(None, None);
    let place = |of: &PodName| {
        let index = if of.name == "subject" { 1 } else { 2 };
        let here = (of.name == "subject") == (pod == 0);
        Some(Placement {
            index,
            interface: if here { LOOPBACK } else { 1000 },
        })
    };
    bench.place(&world, place).expect("it fits");
}

#[test]
fn a_flood_takes_no_entry_of_another_endpoint() {
    let mut bench = Bench::new();
    bench.share = 64;
    for family in EVERY_FAMILY {
        let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
        turns(&mut bench, 0);
        let open = |port| Craft::new(pod, client, Protocol::Tcp).ports(port, 80);
        let answer = |port| {
            let answer = Craft::new(client, pod, Protocol::Tcp).ports(80, port);
            answer.detail(SYN | ACK).build()
        };
        for port in 1..21 {
            assert_eq!(bench.run(Way::FromPod, &open(port).build()), Result::Pass);
            assert_eq!(bench.run(Way::ToPod, &answer(port)), Result::Pass);
        }
        // The other one opens ten thousand flows, and sends as many first fragments.
        turns(&mut bench, 1);
        let other = ip(BACKEND[family]);
        for port in 1..10_000 {
            let mut flood = Craft::new(other, client, Protocol::Udp).ports(port, port);
            flood.fragment = port.is_multiple_of(2).then_some((0, true, u32::from(port)));
            assert_eq!(bench.run(Way::FromPod, &flood.build()), Result::Pass);
        }
        assert!(bench.entries() <= 2 * 64 + 64, "{}", bench.entries());
        turns(&mut bench, 0);
        for port in 1..21 {
            let data = open(port).detail(ACK).build();
            let tracked = bench.counter("pass_tracked");
            assert_eq!(bench.run(Way::FromPod, &data), Result::Pass);
            assert_eq!(bench.counter("pass_tracked"), tracked + 1, "port {port}");
        }
    }
    assert!(bench.counter("evicted") > 0);
}

/// A full share: what nobody answered goes first, and what is in use does not go at all.
#[test]
fn a_flood_towards_an_endpoint_does_not_take_its_answered_flows() {
    let mut bench = Bench::new();
    bench.share = 64;
    bench.install(&world(None, None), 0);
    let (pod, client) = (ip(POD[0]), ip(CLIENT[0]));
    let segment = |port, flags| {
        let craft = Craft::new(client, pod, Protocol::Tcp).ports(port, 80);
        craft.detail(flags).build()
    };
    let answer = |port| {
        let answer = Craft::new(pod, client, Protocol::Tcp).ports(80, port);
        answer.detail(SYN | ACK).build()
    };
    for port in 1..41 {
        assert_eq!(bench.run(Way::ToPod, &segment(port, SYN)), Result::Pass);
        assert_eq!(bench.run(Way::FromPod, &answer(port)), Result::Pass);
    }
    let mut came = 0;
    for port in 1000..20_000 {
        came += u32::from(bench.run(Way::ToPod, &segment(port, SYN)) == Result::Pass);
        // The flood answers for itself: only the pod's word counts.
        bench.run(Way::ToPod, &segment(port, ACK));
    }
    assert!(came > 5000, "new flows still get in: {came}");
    let tracked = bench.counter("pass_tracked");
    for port in 1..41 {
        assert_eq!(bench.run(Way::ToPod, &segment(port, ACK)), Result::Pass);
    }
    assert_eq!(bench.counter("pass_tracked"), tracked + 40);
}

#[test]
fn a_share_that_is_in_use_takes_nothing_more_and_says_so() {
    let mut bench = Bench::new();
    bench.share = 32;
    bench.install(&world(None, None), 0);
    let (pod, client) = (ip(POD[0]), ip(CLIENT[0]));
    let mut refused = 0;
    for port in 1..65 {
        let open = Craft::new(client, pod, Protocol::Tcp).ports(port, 80);
        let answer = Craft::new(pod, client, Protocol::Tcp).ports(80, port);
        if bench.run(Way::ToPod, &open.build()) == Result::Drop {
            refused += 1;
            continue;
        }
        let answer = answer.detail(SYN | ACK).build();
        assert_eq!(bench.run(Way::FromPod, &answer), Result::Pass);
    }
    assert_eq!(refused, 32);
    assert_eq!(bench.counter("drop_table_full"), refused);
    let told = bench.events();
    let full = told.iter().filter(|event| event.verdict == 0);
    assert!(full.clone().count() > 0 && full.clone().all(|event| event.endpoint == 1));
}

#[test]
fn a_smaller_share_and_a_pod_that_goes_give_back_what_they_had() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for port in 1..201 {
        let open = Craft::new(ip(POD[0]), ip(CLIENT[0]), Protocol::Tcp).ports(port, 80);
        assert_eq!(bench.run(Way::FromPod, &open.build()), Result::Pass);
    }
    assert_eq!(bench.entries(), 200);
    bench.share = 50;
    bench.install(&world(None, None), 0);
    assert_eq!(bench.entries(), 50);
    bench.forget();
    assert_eq!(bench.entries(), 0);
}
