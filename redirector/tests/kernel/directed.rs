//! Packets that ask for one behaviour each.

use weir_policy::model::Protocol;

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
fn an_interface_without_an_endpoint_passes_nothing() {
    let mut bench = Bench::new();
    let packet = Craft::new(ip(CLIENT[0]), ip(POD[0]), Protocol::Tcp).build();
    assert_eq!(bench.run(Way::ToPod, &packet), Result::Drop);
    assert_eq!(bench.counter("drop_no_endpoint"), 1);
}
