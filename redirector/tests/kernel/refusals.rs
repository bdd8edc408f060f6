//! The answer to what egress rules deny, where one is to be given.

use std::net::IpAddr;

use weir_policy::model::Protocol;

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN},
};

const RST: u8 = 4;
const REFUSAL: u32 = 0x5a00_0005;

fn denying() -> Bench {
    let mut bench = Bench::new();
    bench.answers = true;
    bench.install(&world(None, Some(vec![])), 0);
    bench
}

/// The Internet checksum over bytes that hold a right one is zero.
fn folded(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let words = bytes.chunks(2).map(|two| {
        let low = two.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([two[0], low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Takes an answer apart: it must be a right one, from the address the pod had sent to. Returns what
/// it quotes.
fn taken_apart(sent: &[u8], answer: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
    assert_eq!(answer[..6], sent[6..12], "to who sent it");
    assert_eq!(answer[6..12], sent[..6]);
    assert_eq!(answer[12..14], sent[12..14]);
    let ip = &answer[14..];
    if from.is_ipv4() {
        assert_eq!((ip[0], ip[8], ip[9]), (0x45, 64, 1));
        assert_eq!(usize::from(ip[2]) << 8 | usize::from(ip[3]), ip.len());
        assert_eq!(folded(&[&ip[..20]]), 0, "the header's checksum");
        assert_eq!(ip[12..16], octets(from));
        assert_eq!(ip[16..20], octets(to));
        assert_eq!(ip[20..22], [3, 13], "administratively prohibited");
        assert_eq!(folded(&[&ip[20..]]), 0, "the message's checksum");
        return ip[28..].to_vec();
    }
    assert_eq!((ip[0], ip[6], ip[7]), (0x60, 58, 64));
    assert_eq!(usize::from(ip[4]) << 8 | usize::from(ip[5]), ip.len() - 40);
    assert_eq!(ip[8..24], octets(from));
    assert_eq!(ip[24..40], octets(to));
    assert_eq!(ip[40..42], [1, 1], "administratively prohibited");
    let length = ((ip.len() - 40) as u32).to_be_bytes();
    let pseudo = [&ip[8..40], &length, &[0, 0, 0, 58]].concat();
    assert_eq!(folded(&[&pseudo, &ip[40..]]), 0, "the message's checksum");
    ip[48..].to_vec()
}

#[test]
fn a_denied_packet_is_answered_with_what_it_was() {
    let mut bench = denying();
    for family in EVERY_FAMILY {
        let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp] {
            for length in [0, 8, 33, 100, 400, 1400] {
                let mut craft = Craft::new(pod, client, protocol);
                craft.payload = vec![7; length];
                let packet = craft.build();
                let (result, answer) = bench.run_on(Way::FromPod, &packet, 77);
                assert_eq!(result, Result::Redirect, "{protocol:?} {length}");
                let quoted = taken_apart(&packet, &answer, client, pod);
                let most = packet.len().min(14 + 128);
                assert_eq!(quoted, packet[14..most], "{protocol:?} {length}");
            }
        }
    }
    assert_eq!(bench.entries(), 0, "nothing is remembered of it");
    assert_eq!(bench.counter("drop_policy"), 48);
    assert!(bench.events().iter().all(|event| event.verdict == 0));
}

/// A pod that dialled a service knows no backend.
#[test]
fn what_went_to_a_service_is_quoted_as_the_pod_sent_it() {
    let mut bench = denying();
    for family in EVERY_FAMILY {
        let (pod, service) = (ip(POD[family]), ip(SERVICE[family]));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let packet = Craft::new(pod, service, protocol).ports(1000, 8000).build();
            let (result, answer) = bench.run_on(Way::FromPod, &packet, 77);
            assert_eq!(result, Result::Redirect);
            let quoted = taken_apart(&packet, &answer, service, pod);
            assert_eq!(quoted, packet[14..]);
        }
    }
    assert_eq!(bench.entries(), 0);
}

#[test]
fn nothing_answers_an_error_a_group_or_the_middle_of_a_connection() {
    let mut bench = denying();
    let (pod, client) = (ip(POD[0]), ip(CLIENT[0]));
    let silent = [
        Craft::new(pod, client, Protocol::Icmp).detail(3),
        Craft::new(pod, ip("224.0.0.9"), Protocol::Udp),
        Craft::new(pod, ip("255.255.255.255"), Protocol::Udp),
        Craft::new(ip(POD[1]), ip("ff02::9"), Protocol::Udp),
        Craft::new(pod, client, Protocol::Tcp).detail(ACK),
        Craft::new(pod, client, Protocol::Tcp).detail(RST),
        // Not its own address.
        Craft::new(client, pod, Protocol::Tcp),
    ];
    for craft in silent {
        let packet = craft.build();
        assert_eq!(bench.run(Way::FromPod, &packet), Result::Drop, "{craft:?}");
    }
    // What comes to the pod is answered to nobody.
    bench.install(&world(Some(vec![]), None), 0);
    let open = Craft::new(client, pod, Protocol::Tcp).detail(SYN).build();
    assert_eq!(bench.run(Way::ToPod, &open), Result::Drop);
}

#[test]
fn without_the_option_a_denied_packet_is_dropped() {
    let mut bench = Bench::new();
    bench.install(&world(None, Some(vec![])), 0);
    let open = Craft::new(ip(POD[0]), ip(CLIENT[0]), Protocol::Tcp).build();
    assert_eq!(bench.run(Way::FromPod, &open), Result::Drop);
}

#[test]
fn an_answer_reaches_the_pod_by_its_mark_alone() {
    let mut bench = denying();
    let packet = Craft::new(ip(POD[0]), ip(CLIENT[0]), Protocol::Tcp).build();
    let (_, answer) = bench.run_on(Way::FromPod, &packet, 77);
    assert_eq!(
        bench.run_marked(Way::ToPod, &answer, REFUSAL),
        (Result::Pass, 0)
    );
    assert_eq!(bench.counter("refused"), 1);
    // Without it, it is an error about a flow that nobody knows.
    bench.install(&world(Some(vec![]), Some(vec![])), 0);
    assert_eq!(bench.run(Way::ToPod, &answer), Result::Drop);
}
