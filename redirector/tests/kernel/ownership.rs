//! Whose address a packet has: every packet, also of flows that are known.

use weir_policy::model::Protocol;

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN},
};

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
fn unspecified_and_group_addresses_are_nobodys_source() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for source in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
        let family = usize::from(source.contains(':'));
        let spoofed = Craft::new(ip(source), ip(CLIENT[family]), Protocol::Udp);
        let came = bench.run(Way::FromPod, &spoofed.build());
        assert_eq!(came, Result::Drop, "{source}");
    }
}

/// What an entry allows it allows its own ends only.
#[test]
fn a_known_flow_does_not_carry_another_source() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        let (backend, client) = (ip(BACKEND[family]), ip(CLIENT[family]));
        // On a bridge the frames of another pod reach this one's interface, too.
        let open = Craft::new(client, backend, Protocol::Tcp).ports(9000, 80);
        assert_eq!(bench.run(Way::ToPod, &open.build()), Result::Drop);
        let answer = Craft::new(backend, client, Protocol::Tcp)
            .ports(80, 9000)
            .detail(SYN | ACK);
        assert_eq!(bench.run(Way::FromPod, &answer.build()), Result::Drop);
    }
    assert_eq!(bench.counter("drop_not_own"), 2);
    assert_eq!(bench.counter("drop_spoofed"), 2);
}

#[test]
fn groups_are_delivered_where_policy_lets_them() {
    for (world, expected) in [
        (world(None, None), Result::Pass),
        (world(Some(vec![]), None), Result::Drop),
    ] {
        let mut bench = Bench::new();
        bench.install(&world, 0);
        for (group, client) in [
            ("224.0.0.251", CLIENT[0]),
            ("255.255.255.255", CLIENT[0]),
            ("ff02::fb", CLIENT[1]),
        ] {
            let craft = Craft::new(ip(client), ip(group), Protocol::Udp);
            assert_eq!(bench.run(Way::ToPod, &craft.build()), expected, "{group}");
        }
    }
}

/// A pod's link-local address is not known. It stands for nobody: not for the world, and not for
/// the node, whose own ones are.
#[test]
fn link_local_addresses_of_nobody_are_nobodys_peers() {
    let mut world = world(None, None);
    world.nodes[0].addresses.push(ip("fe80::1"));
    let mut bench = Bench::new();
    bench.install(&world, 0);
    let from = |source: &str| Craft::new(ip(source), ip(CLIENT[1]), Protocol::Udp).build();
    assert_eq!(bench.run(Way::FromPod, &from("fe80::77")), Result::Pass);
    assert_eq!(bench.run(Way::FromPod, &from("fe80::1")), Result::Drop);
    let data = Craft::new(ip("fe80::77"), ip("fe80::2"), Protocol::Tcp).detail(ACK);
    assert_eq!(bench.run(Way::ToPod, &data.build()), Result::Pass);
}
