//! Fragments, and packets that say another length than their frame has.

use weir_policy::model::{Peers, Protocol};

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN},
};

const PROTOCOLS: [(Protocol, usize); 4] = [
    (Protocol::Tcp, 20),
    (Protocol::Udp, 8),
    (Protocol::Icmp, 8),
    (Protocol::Sctp, 12),
];

fn to_pod(family: usize, protocol: Protocol) -> Craft {
    Craft::new(ip(CLIENT[family]), ip(POD[family]), protocol).ports(7000, 80)
}

/// Cuts the packet after so many bytes of its payload, lengths included.
fn cut(mut frame: Vec<u8>, family: usize, header: usize, keep: usize) -> Vec<u8> {
    frame.truncate(header + keep);
    let length = if family == 0 {
        frame.len() - 14
    } else {
        frame.len() - 54
    };
    let at = if family == 0 { 16 } else { 18 };
    frame[at..at + 2].copy_from_slice(&(length as u16).to_be_bytes());
    frame
}

/// Where the transport header of a fragment begins.
const TRANSPORT: [usize; 2] = [34, 62];

#[test]
fn fragments_follow_their_first_one() {
    for (protocol, header) in PROTOCOLS {
        let mut bench = Bench::new();
        bench.install(&world(Some(vec![rule(Peers::Any, None, None)]), None), 0);
        for family in EVERY_FAMILY {
            let id = 5;
            let mut first = to_pod(family, protocol);
            first.payload = vec![0; 32 - header % 8];
            let mut later = first.clone();
            first.fragment = Some((0, true, id));
            later.fragment = Some((10, false, id));
            later.payload = vec![0; 33];
            let what = format!("{protocol} {family}");
            assert_eq!(
                bench.run(Way::ToPod, &later.build()),
                Result::Drop,
                "{what}: orphan"
            );
            assert_eq!(
                bench.run(Way::ToPod, &first.build()),
                Result::Pass,
                "{what}: first"
            );
            assert_eq!(
                bench.run(Way::ToPod, &later.build()),
                Result::Pass,
                "{what}: later"
            );
        }
        assert!(bench.counter("drop_fragment") > 0);
    }
}

#[test]
fn a_denied_first_fragment_opens_nothing_for_later_ones() {
    let mut bench = Bench::new();
    bench.install(
        &world(Some(vec![rule(Peers::Any, Some(80), None)]), None),
        0,
    );
    for family in EVERY_FAMILY {
        let mut first = to_pod(family, Protocol::Tcp).ports(7000, 81);
        first.payload = vec![0; 12];
        let mut later = first.clone();
        first.fragment = Some((0, true, 9));
        later.fragment = Some((4, false, 9));
        assert_eq!(bench.run(Way::ToPod, &first.build()), Result::Drop);
        assert_eq!(bench.run(Way::ToPod, &later.build()), Result::Drop);
    }
    assert_eq!(bench.entries(), 0, "nothing is stored before the verdict");
}

/// IPv6 says the protocol in the first fragment only; a later one may say another.
#[test]
fn later_fragments_are_what_the_first_one_was() {
    let mut bench = Bench::new();
    bench.install(
        &world(Some(vec![rule(Peers::Any, Some(80), None)]), None),
        0,
    );
    let mut first = to_pod(1, Protocol::Tcp);
    first.payload = vec![0; 12];
    let mut later = first.clone();
    first.fragment = Some((0, true, 9));
    later.fragment = Some((4, false, 9));
    assert_eq!(bench.run(Way::ToPod, &first.build()), Result::Pass);
    later.protocol = 60;
    assert_eq!(bench.run(Way::ToPod, &later.build()), Result::Pass);
}

/// Linux keeps what the IP header says and whole units of eight bytes; what is behind them must
/// not decide.
#[test]
fn a_first_fragment_holds_its_transport_header_in_whole_units() {
    for (protocol, header) in PROTOCOLS {
        let mut bench = Bench::new();
        bench.install(&world(None, None), 0);
        for family in EVERY_FAMILY {
            let mut craft = to_pod(family, protocol);
            craft.payload = vec![0; 64];
            craft.fragment = Some((0, true, 3));
            let frame = craft.build();
            for keep in 0..64 {
                let whole = keep % 8 == 0 && keep >= header;
                let expected = if whole { Result::Pass } else { Result::Drop };
                let short = cut(frame.clone(), family, TRANSPORT[family], keep);
                let what = format!("{protocol} {family}: {keep} bytes");
                assert_eq!(bench.run(Way::ToPod, &short), expected, "{what}");
                // Padding behind the packet is no part of it.
                let padded = [short, vec![0; 60]].concat();
                assert_eq!(bench.run(Way::ToPod, &padded), expected, "{what}, padded");
            }
        }
    }
}

/// The frame shows an ACK where the packet, as long as its header says, has none.
#[test]
fn nothing_is_read_beyond_the_length_that_ip_says() {
    for family in EVERY_FAMILY {
        for (protocol, header) in PROTOCOLS {
            let mut bench = Bench::new();
            bench.install(&world(None, None), 0);
            let frame = to_pod(family, protocol).detail(ACK).build();
            let start = [34, 54][family];
            let at = if family == 0 { 16 } else { 18 };
            for keep in 0..header.min(8) {
                let mut lying = frame.clone();
                let length = (start + keep - if family == 0 { 14 } else { 54 }) as u16;
                lying[at..at + 2].copy_from_slice(&length.to_be_bytes());
                let came = bench.run(Way::ToPod, &lying);
                assert_eq!(came, Result::Drop, "{protocol} {family}: {keep} bytes");
            }
            // More than the frame holds.
            let mut lying = frame.clone();
            let length = frame.len() as u16;
            lying[at..at + 2].copy_from_slice(&length.to_be_bytes());
            assert_eq!(bench.run(Way::ToPod, &lying), Result::Drop, "too long");
        }
    }
}

/// RFC 3128: a second fragment over the first one's header, flags and all.
#[test]
fn a_fragment_over_the_transport_header_is_dropped() {
    for (protocol, header) in PROTOCOLS {
        let mut bench = Bench::new();
        bench.install(&world(Some(vec![rule(Peers::Any, None, None)]), None), 0);
        for family in EVERY_FAMILY {
            let mut first = to_pod(family, protocol).detail(SYN);
            first.payload = vec![0; 32 - header % 8];
            if protocol == Protocol::Icmp {
                first = first.detail([8, 128][family]);
            }
            first.fragment = Some((0, true, 4));
            assert_eq!(bench.run(Way::ToPod, &first.build()), Result::Pass);
            for place in 1..4u16 {
                let mut over = first.clone();
                over.fragment = Some((place, true, 4));
                over.payload = vec![0; 16];
                let expected = if usize::from(place) * 8 < header {
                    Result::Drop
                } else {
                    Result::Pass
                };
                let came = bench.run(Way::ToPod, &over.build());
                assert_eq!(came, expected, "{protocol} {family}: at {}", place * 8);
            }
        }
    }
}
