//! What the node itself sends: always let in, never proxied, and not to be forged.

use weir_policy::model::{Peers, Protocol};

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft},
};

const NODE: [&str; 2] = ["172.18.0.2", "fd00:18::2"];

#[test]
fn the_nodes_own_packets_pass_and_are_never_proxied() {
    for rules in [vec![rule(Peers::Any, Some(80), Some(vec![]))], vec![]] {
        let mut bench = Bench::new();
        bench.install(&world(Some(rules.clone()), None), 0);
        for family in EVERY_FAMILY {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
                let probe = Craft::new(ip(NODE[family]), ip(POD[family]), protocol);
                let probe = probe.ports(6000, 80).build();
                assert_eq!(bench.run_on(Way::ToPod, &probe, 0).0, Result::Pass);
            }
            let forwarded = Craft::new(ip(NODE[family]), ip(POD[family]), Protocol::Tcp)
                .ports(6001, 80)
                .build();
            let came = bench.run_on(Way::ToPod, &forwarded, 9).0;
            assert_ne!(came, Result::Pass, "it came in by an interface");
        }
    }
}

/// What is put together and fragmented again on its way comes in by no interface, too.
#[test]
fn what_came_by_no_interface_is_judged_by_its_source_all_the_same() {
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    for family in EVERY_FAMILY {
        for source in [CLIENT, BACKEND] {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
                let mut craft = Craft::new(ip(source[family]), ip(POD[family]), protocol);
                craft.extensions = 1;
                craft.payload = vec![0; 1200];
                for fragment in [None, Some((0, true, 9))] {
                    craft.fragment = fragment;
                    let came = bench.run_on(Way::ToPod, &craft.build(), 0).0;
                    assert_eq!(came, Result::Drop, "{protocol} {source:?}");
                }
            }
        }
    }
    assert_eq!(bench.counter("pass_node"), 0);
}

#[test]
fn an_address_that_is_no_longer_the_nodes_loses_its_connections() {
    let mut bench = Bench::new();
    let mut world = world(Some(vec![]), None);
    bench.install(&world, 0);
    for family in EVERY_FAMILY {
        let open = Craft::new(ip(NODE[family]), ip(POD[family]), Protocol::Tcp).ports(6000, 80);
        let data = open.clone().detail(ACK).build();
        assert_eq!(bench.run_on(Way::ToPod, &open.build(), 0).0, Result::Pass);
        assert_eq!(bench.run_on(Way::ToPod, &data, 0).0, Result::Pass);
    }
    world.nodes[0].addresses.clear();
    bench.install(&world, 0);
    for family in EVERY_FAMILY {
        let data = Craft::new(ip(NODE[family]), ip(POD[family]), Protocol::Tcp)
            .ports(6000, 80)
            .detail(ACK);
        assert_eq!(bench.run_on(Way::ToPod, &data.build(), 0).0, Result::Drop);
    }
}

#[test]
fn a_pod_cannot_send_from_the_nodes_address() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        let spoofed = Craft::new(ip(NODE[family]), ip(BACKEND[family]), Protocol::Tcp);
        assert_eq!(bench.run(Way::FromPod, &spoofed.build()), Result::Drop);
    }
    assert_eq!(bench.counter("drop_spoofed"), 2);
}
