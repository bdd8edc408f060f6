//! Packets that ask for one behaviour each.

use weir_policy::model::{Peers, Protocol};

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN},
};

#[test]
fn replies_pass_and_strays_do_not() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    for family in EVERY_FAMILY {
        let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let reply = Craft::new(client, pod, protocol)
                .ports(80, 4000)
                .detail(SYN | ACK);
            assert_eq!(
                bench.run(Way::ToPod, &reply.build()),
                Result::Drop,
                "before: {protocol}"
            );
            let open = Craft::new(pod, client, protocol).ports(4000, 80);
            assert_eq!(bench.run(Way::FromPod, &open.build()), Result::Pass);
            assert_eq!(
                bench.run(Way::ToPod, &reply.build()),
                Result::Pass,
                "after: {protocol}"
            );
            let other = Craft::new(client, pod, protocol)
                .ports(81, 4000)
                .detail(SYN | ACK);
            assert_eq!(
                bench.run(Way::ToPod, &other.build()),
                Result::Drop,
                "other port: {protocol}"
            );
        }
        // The other end of an open connection cannot open one back over it.
        let back = Craft::new(client, pod, Protocol::Tcp).ports(80, 4000);
        assert_eq!(bench.run(Way::ToPod, &back.build()), Result::Drop);
        let ping = Craft::new(pod, client, Protocol::Icmp).ports(9, 9);
        let pong = Craft::new(client, pod, Protocol::Icmp)
            .ports(9, 9)
            .detail(if family == 0 { 0 } else { 129 });
        assert_eq!(bench.run(Way::ToPod, &pong.build()), Result::Drop);
        assert_eq!(bench.run(Way::FromPod, &ping.build()), Result::Pass);
        assert_eq!(bench.run(Way::ToPod, &pong.build()), Result::Pass);
        let ping_back = Craft::new(client, pod, Protocol::Icmp).ports(9, 9);
        assert_eq!(bench.run(Way::ToPod, &ping_back.build()), Result::Drop);
    }
}

#[test]
fn icmp_errors_pass_only_for_tracked_flows() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    for family in EVERY_FAMILY {
        let (pod, client, router) = (
            ip(POD[family]),
            ip(CLIENT[family]),
            ip(["198.51.100.1", "2001:db8:ffff::1"][family]),
        );
        let open = Craft::new(pod, client, Protocol::Udp)
            .ports(5000, 53)
            .build();
        let mut error = Craft::new(router, pod, Protocol::Icmp)
            .ports(0, 0)
            .detail(if family == 0 { 3 } else { 1 });
        error.payload = open[14..].to_vec();
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

#[test]
fn neighbour_discovery_is_never_blocked() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), Some(vec![])), 0);
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 2, 0x08, 0x06], &[0; 28]].concat();
    let link_local = ip("fe80::1");
    for way in [Way::ToPod, Way::FromPod] {
        assert_eq!(bench.run(way, &arp), Result::Pass);
        for kind in 133..=137 {
            let nd = Craft::new(link_local, ip(POD[1]), Protocol::Icmp).detail(kind);
            assert_eq!(bench.run(way, &nd.build()), Result::Pass, "type {kind}");
            // From beyond the link its hop limit is not 255 any more.
            let mut far = nd.build();
            far[21] = 64;
            assert_eq!(bench.run(way, &far), Result::Drop, "type {kind} from afar");
        }
    }
    let lldp = [
        &[1, 0x80, 0xc2, 0, 0, 0x0e][..],
        &[2, 0, 0, 0, 0, 2, 0x88, 0xcc],
        &[0; 40],
    ]
    .concat();
    assert_eq!(
        bench.run(Way::ToPod, &lldp),
        Result::Drop,
        "what is not IP cannot be judged"
    );
}

#[test]
fn the_nodes_own_packets_pass_and_are_never_proxied() {
    let mut bench = Bench::new();
    bench.install(
        &world(Some(vec![rule(Peers::Any, Some(80), Some(vec![]))]), None),
        0,
    );
    for family in EVERY_FAMILY {
        let node = ip(["172.18.0.2", "fd00:18::2"][family]);
        let probe = Craft::new(node, ip(POD[family]), Protocol::Tcp)
            .ports(6000, 80)
            .build();
        assert_eq!(bench.run_on(Way::ToPod, &probe, 0).0, Result::Pass);
        let forwarded = Craft::new(node, ip(POD[family]), Protocol::Tcp)
            .ports(6001, 80)
            .build();
        assert_eq!(
            bench.run_on(Way::ToPod, &forwarded, 9).0,
            Result::Redirect,
            "not its own"
        );
    }
}

#[test]
fn headers_that_cannot_be_read_are_dropped() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    let tcp = Craft::new(ip(CLIENT[0]), ip(POD[0]), Protocol::Tcp).build();
    // The kernel runs no shorter frame than one with an IP header.
    for length in 14 + 20..14 + 20 + 14 {
        assert_eq!(
            bench.run(Way::ToPod, &tcp[..length]),
            Result::Drop,
            "{length} bytes"
        );
    }
    let mut short_header = tcp.clone();
    short_header[14] = 0x44;
    assert_eq!(bench.run(Way::ToPod, &short_header), Result::Drop);
    let mut extensions = Craft::new(ip(CLIENT[1]), ip(POD[1]), Protocol::Tcp);
    extensions.extensions = 7;
    assert_eq!(bench.run(Way::ToPod, &extensions.build()), Result::Pass);
    extensions.extensions = 9;
    assert_eq!(
        bench.run(Way::ToPod, &extensions.build()),
        Result::Drop,
        "endless extensions"
    );
    assert!(bench.counter("drop_malformed") > 0);
}

#[test]
fn fragments_follow_their_first_one() {
    let mut bench = Bench::new();
    bench.install(
        &world(Some(vec![rule(Peers::Any, Some(80), None)]), None),
        0,
    );
    for family in EVERY_FAMILY {
        for (port, expected) in [(80, Result::Pass), (81, Result::Drop)] {
            let id = u32::from(port);
            let mut first =
                Craft::new(ip(CLIENT[family]), ip(POD[family]), Protocol::Tcp).ports(7000, port);
            first.payload = vec![0; 12];
            let mut later = first.clone();
            first.fragment = Some((0, true, id));
            later.fragment = Some((4, false, id));
            let orphan = Craft {
                fragment: Some((4, false, id + 1000)),
                ..later.clone()
            };
            assert_eq!(
                bench.run(Way::ToPod, &orphan.build()),
                Result::Drop,
                "no first one"
            );
            assert_eq!(
                bench.run(Way::ToPod, &first.build()),
                expected,
                "first to {port}"
            );
            assert_eq!(
                bench.run(Way::ToPod, &later.build()),
                expected,
                "later to {port}"
            );
        }
    }
    assert!(bench.counter("drop_fragment") > 0);
}

#[test]
fn a_pod_cannot_use_anothers_address() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        let own = Craft::new(ip(POD[family]), ip(CLIENT[family]), Protocol::Udp);
        assert_eq!(bench.run(Way::FromPod, &own.build()), Result::Pass);
        for other in [BACKEND[family], ["203.0.113.5", "2001:db8::5"][family]] {
            let spoofed = Craft::new(ip(other), ip(CLIENT[family]), Protocol::Udp);
            assert_eq!(
                bench.run(Way::FromPod, &spoofed.build()),
                Result::Drop,
                "{other}"
            );
        }
    }
    assert_eq!(bench.counter("drop_spoofed"), 4);
}

#[test]
fn an_interface_without_an_endpoint_passes_nothing() {
    let mut bench = Bench::new();
    let packet = Craft::new(ip(CLIENT[0]), ip(POD[0]), Protocol::Tcp).build();
    assert_eq!(bench.run(Way::ToPod, &packet), Result::Drop);
    assert_eq!(bench.counter("drop_no_endpoint"), 1);
}
