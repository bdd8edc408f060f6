//! Frames that are not plain IP: none of them passes, whatever is in them.

use weir_policy::model::Protocol;

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::Craft,
};

/// Puts something between a frame's addresses and its EtherType.
fn tagged(frame: &[u8], tag: &[u8]) -> Vec<u8> {
    [&frame[..12], tag, &frame[12..]].concat()
}

#[test]
fn tagged_frames_pass_neither_way() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
        for (way, from, to) in [(Way::FromPod, pod, client), (Way::ToPod, client, pod)] {
            let plain = Craft::new(from, to, Protocol::Udp).build();
            assert_eq!(bench.run(way, &plain), Result::Pass, "the same untagged");
            for tag in [
                // 802.1Q with VLAN 0 and priority, VLAN 1; 802.1ad; both.
                &[0x81, 0, 0, 0][..],
                &[0x81, 0, 0xe0, 0],
                &[0x81, 0, 0, 1],
                &[0x88, 0xa8, 0, 0],
                &[0x88, 0xa8, 0, 0, 0x81, 0, 0, 0],
            ] {
                let came = bench.run(way, &tagged(&plain, tag));
                assert_eq!(came, Result::Drop, "{way:?} {tag:02x?}");
            }
        }
    }
    assert_eq!(bench.counter("drop_not_ip"), 20);
}

#[test]
fn only_ip_and_arp_pass() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    let plain = Craft::new(ip(POD[0]), ip(CLIENT[0]), Protocol::Udp).build();
    for ethertype in [
        // 802.3 length (LLC, SNAP), RARP, MPLS, PPPoE, 802.1X, LLDP, transparent bridging,
        // MAC security, an experiment.
        0x0030u16, 0x8035, 0x8847, 0x8848, 0x8863, 0x8864, 0x888e, 0x88cc, 0x6558, 0x88e5, 0x88b5,
    ] {
        for way in [Way::FromPod, Way::ToPod] {
            let mut frame = plain.clone();
            frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
            assert_eq!(bench.run(way, &frame), Result::Drop, "{ethertype:#06x}");
        }
    }
    assert_eq!(bench.counter("drop_not_ip"), 22);
}

/// A route in the header sends a packet on to somebody who was not judged.
#[test]
fn packets_that_name_their_own_route_are_dropped() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    let mut craft = Craft::new(ip(POD[0]), ip(CLIENT[0]), Protocol::Udp);
    for (words, options) in [
        (2, &[131u8, 7, 4, 10, 0, 0, 1, 0][..]),
        (2, &[137, 7, 4, 10, 0, 0, 1, 0]),
        (3, &[1, 1, 1, 1, 131, 7, 4, 10, 0, 0, 1, 0]),
        (3, &[148, 4, 0, 0, 131, 7, 4, 10, 0, 0, 1, 0]),
        // A length that leads nowhere.
        (1, &[148, 0, 0, 0]),
    ] {
        craft.options = words;
        let mut frame = craft.build();
        assert_eq!(
            bench.run(Way::FromPod, &frame),
            Result::Pass,
            "no-operations"
        );
        frame[34..34 + options.len()].copy_from_slice(options);
        assert_eq!(bench.run(Way::FromPod, &frame), Result::Drop, "{options:?}");
        // Behind the end of the options it means nothing.
        frame[34] = 0;
        assert_eq!(bench.run(Way::FromPod, &frame), Result::Pass, "{options:?}");
    }
    let mut craft = Craft::new(ip(POD[1]), ip(CLIENT[1]), Protocol::Udp);
    craft.extensions = 1;
    let mut frame = craft.build();
    // The first extension becomes a routing header of type 4 with one segment left.
    frame[20] = 43;
    frame[56..58].copy_from_slice(&[4, 0]);
    assert_eq!(bench.run(Way::FromPod, &frame), Result::Pass, "none left");
    frame[57] = 1;
    assert_eq!(bench.run(Way::FromPod, &frame), Result::Drop);
}
