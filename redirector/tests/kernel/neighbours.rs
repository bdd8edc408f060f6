//! ARP, neighbour discovery and multicast reports: never blocked, and no way around.

use std::net::IpAddr;

use weir_policy::model::{Protocol, World};

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::Craft,
};

const LINK_LOCAL: &str = "fe80::5";
const ALL_NODES: &str = "ff02::1";

fn closed() -> World {
    world(Some(vec![]), Some(vec![]))
}

/// An ARP frame: 1 asks, 2 answers.
fn arp(operation: u8, sender: &str, target: &str) -> Vec<u8> {
    let octets = |text: &str| match ip(text) {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(_) => panic!("ARP is of IPv4"),
    };
    let mut frame = vec![0xff; 6];
    let own = [2, 0, 0, 0, 0, 2];
    frame.extend(own);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(own);
    frame.extend(octets(sender));
    frame.extend([0; 6]);
    frame.extend(octets(target));
    frame
}

/// A message with a target and one option: a solicitation or an advertisement.
fn discovery(kind: u8, from: &str, to: &str, target: &str) -> Craft {
    let mut craft = Craft::new(ip(from), ip(to), Protocol::Icmpv6)
        .detail(kind)
        .ports(0, 0);
    let IpAddr::V6(target) = ip(target) else {
        panic!("of IPv6");
    };
    craft.payload = [&target.octets()[..], &[1, 1, 2, 0, 0, 0, 0, 2]].concat();
    craft
}

/// Reports and queries of both versions, as long as what they hold.
fn reports() -> Vec<Vec<u8>> {
    let report = |kind: u8, number: u16, payload: &[u8]| {
        let mut craft = Craft::new(ip(LINK_LOCAL), ip("ff02::16"), Protocol::Icmpv6)
            .detail(kind)
            .ports(0, 0);
        craft.payload = payload.to_vec();
        let mut frame = craft.build();
        frame[21] = 1;
        frame[60..62].copy_from_slice(&number.to_be_bytes());
        frame
    };
    let record = |sources: u8| {
        [
            &[4, 0, 0, sources][..],
            &[0; 16],
            &vec![0; 16 * usize::from(sources)],
        ]
        .concat()
    };
    vec![
        report(131, 0, &[0; 16]),
        report(132, 0, &[0; 16]),
        report(130, 0, &[0; 16]),
        report(130, 0, &[&[0; 16][..], &[2, 125, 0, 0]].concat()),
        report(130, 0, &[&[0; 16][..], &[2, 125, 0, 1], &[0; 16]].concat()),
        report(143, 1, &record(0)),
        report(143, 3, &[record(0), record(2), record(1)].concat()),
    ]
}

#[test]
fn a_report_carries_nothing_else() {
    let mut bench = Bench::new();
    bench.install(&closed(), 0);
    for (number, report) in reports().into_iter().enumerate() {
        for more in [8, 64] {
            let mut longer = [report.clone(), vec![7; more]].concat();
            let length = (longer.len() - 54) as u16;
            longer[18..20].copy_from_slice(&length.to_be_bytes());
            for way in [Way::FromPod, Way::ToPod] {
                assert_eq!(bench.run(way, &longer), Result::Drop, "{number} and {more}");
            }
        }
    }
}

#[test]
fn a_pod_asks_and_answers_for_itself() {
    for world in [closed(), world(None, None)] {
        let mut bench = Bench::new();
        bench.install(&world, 0);
        let pod = POD[1];
        let good = [
            arp(1, POD[0], "10.244.0.1"),
            arp(2, POD[0], "10.244.0.1"),
            arp(1, "0.0.0.0", POD[0]),
            discovery(135, pod, ALL_NODES, "fd00:18::2").build(),
            discovery(135, pod, "fd00:18::2", "fd00:18::2").build(),
            discovery(135, "::", "ff02::1:ff00:2", pod).build(),
            discovery(135, LINK_LOCAL, "fe80::1", "fe80::1").build(),
            discovery(136, pod, "fe80::1", pod).build(),
            discovery(136, LINK_LOCAL, ALL_NODES, LINK_LOCAL).build(),
            discovery(133, LINK_LOCAL, "ff02::2", "::").build()[..14 + 40 + 16].to_vec(),
        ];
        for (number, frame) in good.iter().enumerate() {
            let mut frame = frame.clone();
            if frame[12] == 0x86 {
                let length = (frame.len() - 54) as u16;
                frame[18..20].copy_from_slice(&length.to_be_bytes());
            }
            assert_eq!(bench.run(Way::FromPod, &frame), Result::Pass, "{number}");
        }
        for (number, report) in reports().iter().enumerate() {
            assert_eq!(bench.run(Way::FromPod, report), Result::Pass, "{number}");
            assert_eq!(bench.run(Way::ToPod, report), Result::Pass, "{number}");
        }
    }
}

#[test]
fn a_pod_does_not_speak_for_others() {
    for world in [closed(), world(None, None)] {
        let mut world = world;
        world.nodes[0].addresses.push(ip("fe80::1"));
        let mut bench = Bench::new();
        bench.install(&world, 0);
        let pod = POD[1];
        let bad = [
            arp(2, BACKEND[0], "10.244.0.1"),
            arp(1, BACKEND[0], "10.244.0.1"),
            arp(1, "10.244.0.1", POD[0]),
            arp(1, "0.0.0.0", BACKEND[0]),
            arp(2, "0.0.0.0", POD[0]),
            discovery(136, pod, ALL_NODES, BACKEND[1]).build(),
            discovery(136, pod, ALL_NODES, "fe80::1").build(),
            discovery(136, BACKEND[1], ALL_NODES, pod).build(),
            discovery(135, BACKEND[1], ALL_NODES, pod).build(),
            discovery(135, "fe80::1", ALL_NODES, pod).build(),
            // No router.
            discovery(134, LINK_LOCAL, ALL_NODES, "::").build(),
            discovery(137, LINK_LOCAL, pod, "::").build(),
        ];
        for (number, frame) in bad.iter().enumerate() {
            assert_eq!(bench.run(Way::FromPod, frame), Result::Drop, "{number}");
        }
        assert_eq!(bench.counter("drop_neighbour"), bad.len() as u64);
        // A frame of another machine's.
        let mut foreign = arp(2, POD[0], "10.244.0.1");
        foreign[11] = 9;
        assert_eq!(bench.run(Way::FromPod, &foreign), Result::Drop);
    }
}

#[test]
fn what_is_asked_and_answered_on_the_link_reaches_the_pod() {
    let mut bench = Bench::new();
    bench.install(&closed(), 0);
    let pod = POD[1];
    for frame in [
        arp(1, "10.244.0.1", POD[0]),
        arp(2, "10.244.0.1", POD[0]),
        discovery(135, "fe80::1", "ff02::1:ff00:2", pod).build(),
        discovery(136, "fe80::1", pod, "fe80::1").build(),
        discovery(134, "fe80::1", ALL_NODES, "::").build(),
        discovery(137, "fe80::1", pod, "::").build(),
    ] {
        assert_eq!(bench.run(Way::ToPod, &frame), Result::Pass);
    }
}

/// Type numbers alone make no neighbour: what is not as these messages are is judged.
#[test]
fn nothing_is_carried_in_the_guise_of_a_neighbour() {
    let mut bench = Bench::new();
    bench.install(&closed(), 0);
    let pod = POD[1];
    let far = |mut frame: Vec<u8>, hop_limit: u8| {
        frame[21] = hop_limit;
        frame
    };
    let payload = |mut craft: Craft| {
        craft.payload.extend([0; 64]);
        craft.build()
    };
    let fragment = |mut craft: Craft| {
        craft.fragment = Some((0, true, 5));
        craft.build()
    };
    let out = |kind| discovery(kind, pod, ALL_NODES, pod);
    let long_arp = [arp(1, POD[0], "10.244.0.1"), vec![7; 100]].concat();
    for (number, frame) in [
        far(out(135).build(), 64),
        far(out(136).build(), 254),
        // Off the link.
        discovery(135, pod, CLIENT[1], pod).build(),
        discovery(136, pod, CLIENT[1], pod).build(),
        payload(out(135)),
        payload(out(136)),
        fragment(out(136)),
        // Reports that leave the link, or go to one.
        out(131).build(),
        far(discovery(143, LINK_LOCAL, CLIENT[1], pod).build(), 1),
        far(discovery(143, pod, ALL_NODES, pod).build(), 1),
        long_arp.clone(),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(bench.run(Way::FromPod, frame), Result::Drop, "out {number}");
    }
    let into = |kind| discovery(kind, CLIENT[1], pod, pod);
    for (number, frame) in [
        far(into(135).build(), 254),
        far(into(136).build(), 64),
        payload(into(135)),
        far(into(134).build(), 64),
        into(134).build(),
        into(143).build(),
        far(into(143).build(), 1),
        long_arp,
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(bench.run(Way::ToPod, frame), Result::Drop, "in {number}");
    }
    assert_eq!(bench.counter("pass_neighbour"), 0);
}
