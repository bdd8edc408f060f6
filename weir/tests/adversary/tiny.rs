//! Fragments so small or so placed that two readers see two headers, and lengths that lie.

use weir_lab::Topology;

use crate::attack::{Control, Findings, Shot, Way, attack};
use crate::common::{Family, in_both_topologies};
use crate::frame::Frame;
use crate::frame::transport::{ACK, ICMP, ICMPV6, SCTP, SYN, TCP, UDP, ping, sctp, tcp, udp};
use crate::scene::{DATAGRAMS, WEB};

in_both_topologies!(
    a_first_fragment_of_14_bytes_shows_nothing_else,
    a_first_fragment_of_8_bytes_and_padding_shows_nothing_else,
    a_first_fragment_of_uneven_length_is_judged,
    a_fragment_over_the_header_is_judged,
    a_length_shorter_than_the_frame_counts,
);

const DATA: usize = 120;
const PROTOCOLS: [u8; 4] = [TCP, UDP, ICMP, SCTP];

/// Linux cuts the first fragment of IPv4 to eight bytes: what a program reads behind them comes
/// from the second one for the receiver.
fn a_first_fragment_of_14_bytes_shows_nothing_else(topology: Topology) {
    let passes = |family: Family, way| way == Way::Bridge || !family.is_v6();
    try_all(topology, Control::Plain(passes), |shot, protocol| {
        let whole = payload(shot, protocol);
        let mut first = whole[..14].to_vec();
        // An ACK where the whole has a SYN.
        first[13] = ACK;
        vec![(0, true, first), (8, false, whole[8..].to_vec())]
    });
}

fn a_first_fragment_of_8_bytes_and_padding_shows_nothing_else(topology: Topology) {
    let mut found = Findings::default();
    for protocol in PROTOCOLS {
        let what = format!("protocol {protocol}");
        attack(
            topology,
            &what,
            Control::Plain(|_, _| true),
            &mut found,
            |shot| {
                let whole = payload(shot, protocol);
                let ip = shot.ip(number(shot, protocol));
                let mut first = shot.frame(&ip.fragment(0, true, &whole[..8]));
                // Behind the end of the packet: a header that says ACK.
                let mut padding = whole[8..40].to_vec();
                padding[5] = ACK;
                first.extend(padding);
                vec![first, shot.frame(&ip.fragment(8, false, &whole[8..]))]
            },
        );
    }
    found.none();
}

/// Only the last fragment may have a length that is no multiple of eight (RFC 791, 3.2; RFC 8200,
/// 4.5).
fn a_first_fragment_of_uneven_length_is_judged(topology: Topology) {
    let passes = |family: Family, way| way == Way::Bridge || !family.is_v6();
    try_all(topology, Control::Plain(passes), |shot, protocol| {
        let whole = payload(shot, protocol);
        vec![
            (0, true, whole[..30].to_vec()),
            (24, false, whole[24..].to_vec()),
        ]
    });
}

/// Kernels of today throw overlaps away (RFC 5722), on a bridge too where netfilter looks into it:
/// the control is the same without the overlap.
fn a_fragment_over_the_header_is_judged(topology: Topology) {
    try_all(topology, Control::Plain(|_, _| true), |shot, protocol| {
        let whole = payload(shot, protocol);
        vec![
            (0, true, whole[..32].to_vec()),
            (32, false, whole[32..].to_vec()),
        ]
    });
    let control = Control::Plain(|_, _| false);
    try_all(topology, control, |shot, protocol| {
        let whole = payload(shot, protocol);
        let mut first = whole[..32].to_vec();
        first[13] = ACK;
        vec![(0, true, first), (8, false, whole[8..].to_vec())]
    });
    // The whole header a second time.
    try_all(topology, control, |shot, protocol| {
        let whole = payload(shot, protocol);
        let mut first = whole[..32].to_vec();
        first[2..4].copy_from_slice(&1u16.to_be_bytes());
        vec![
            (0, true, first),
            (0, true, whole[..32].to_vec()),
            (32, false, whole[32..].to_vec()),
        ]
    });
}

/// A whole packet whose IP length ends in or before the header; the rest is padding of the frame.
fn a_length_shorter_than_the_frame_counts(topology: Topology) {
    let mut found = Findings::default();
    for protocol in PROTOCOLS {
        for kept in [4, 8, 13] {
            let what = format!("protocol {protocol}, {kept} bytes");
            // A router forwards what it does not read.
            let control = Control::Plain(|_, way| way == Way::Bridge);
            attack(topology, &what, control, &mut found, |shot| {
                let mut whole = payload(shot, protocol);
                if kept < 8 {
                    whole[..4].copy_from_slice(&shot.tag.0);
                }
                let ip = shot.ip(number(shot, protocol));
                let mut frame = shot.frame(&ip.packet(&whole[..kept]));
                frame.extend(&whole[kept..]);
                vec![frame]
            });
        }
    }
    found.none();
}

type Piece = (usize, bool, Vec<u8>);

fn try_all(topology: Topology, control: Control, cut: impl Fn(&Shot<'_>, u8) -> Vec<Piece>) {
    let mut found = Findings::default();
    for protocol in PROTOCOLS {
        let what = format!("protocol {protocol}");
        attack(topology, &what, control, &mut found, |shot| {
            let ip = shot.ip(number(shot, protocol));
            let piece = |(offset, more, bytes): Piece| -> Frame {
                shot.frame(&ip.fragment(offset, more, &bytes))
            };
            cut(shot, protocol).into_iter().map(piece).collect()
        });
    }
    found.none();
}

fn number(shot: &Shot<'_>, protocol: u8) -> u8 {
    match protocol {
        ICMP if shot.family.is_v6() => ICMPV6,
        other => other,
    }
}

/// What opens something in each protocol, with the tag in its first eight bytes.
fn payload(shot: &Shot<'_>, protocol: u8) -> Vec<u8> {
    let from = shot.source(shot.high());
    match protocol {
        TCP => tcp(from, shot.target(WEB), SYN, shot.tag, DATA),
        SCTP => sctp(from, shot.target(7000), shot.tag, DATA),
        UDP => {
            let mut datagram = udp(from, shot.target(DATAGRAMS), shot.tag, DATA);
            datagram[4..8].copy_from_slice(&shot.tag.0);
            datagram
        }
        _ => ping(from.ip(), shot.target(0).ip(), shot.tag, DATA),
    }
}
