//! Packets that the node puts together and takes apart again: they come out as new buffers, of
//! which nobody knows where they came in.

use weir_lab::Topology;

use crate::attack::{Control, Findings, Shot, Way, aim, attack};
use crate::common::{FAMILIES, in_both_topologies};
use crate::frame::Frame;
use crate::frame::ip::{DESTINATION_OPTIONS, FRAGMENT, padded_options};
use crate::frame::transport::{ICMP, ICMPV6, SYN, TCP, UDP, ping, sealed, tcp, udp};
use crate::scene::{DATAGRAMS, Scene, WEB};
use crate::wire::Tag;

in_both_topologies!(
    a_syn_with_data_in_two_fragments_is_judged,
    a_syn_behind_destination_options_is_judged,
    datagrams_and_pings_in_fragments_are_judged,
    later_fragments_first_are_judged,
    only_open_pods_answer_datagrams_in_fragments,
);

/// More than a link takes in one packet, so that the node must cut what it put together.
const DATA: usize = 2300;
/// What the first fragment has of it, or has with as many options as a link takes.
const CUT: usize = 1208;
const LONG_CUT: usize = 1384;

fn a_syn_with_data_in_two_fragments_is_judged(topology: Topology) {
    try_all(topology, "a SYN with data", |shot| {
        let packets = shot.ip(TCP).fragments(&syn(shot), &[CUT]);
        shot.frames(&packets)
    });
}

/// As part of what is cut, and before the fragment header of the first fragment only. IPv4 has
/// options instead.
fn a_syn_behind_destination_options_is_judged(topology: Topology) {
    // A program may well refuse headers that continue in the next fragment.
    let (mut found, control) = (Findings::default(), Control::Plain(|_, _| true));
    attack(topology, "options inside", control, &mut found, |shot| {
        if !shot.family.is_v6() {
            let mut ip = shot.ip(TCP);
            // No operation (RFC 791, 3.1).
            ip.options = vec![1; 40];
            return shot.frames(&ip.fragments(&syn(shot), &[CUT]));
        }
        let payload = [padded_options(TCP, 64), syn(shot)].concat();
        let ip = shot.ip(DESTINATION_OPTIONS);
        shot.frames(&ip.fragments(&payload, &[LONG_CUT]))
    });
    found.none();
    for cut in [CUT, LONG_CUT] {
        let what = format!("options before the first fragment of {cut}");
        try_all(topology, &what, |shot| {
            let whole = syn(shot);
            let (mut first, second) = (shot.ip(TCP), shot.ip(TCP));
            first.id = second.id;
            if shot.family.is_v6() {
                first.options = padded_options(FRAGMENT, 64);
            }
            let packets = [
                first.fragment(0, true, &whole[..cut]),
                second.fragment(cut, false, &whole[cut..]),
            ];
            shot.frames(&packets)
        });
    }
}

fn datagrams_and_pings_in_fragments_are_judged(topology: Topology) {
    try_all(topology, "a datagram", |shot| {
        let packets = shot.ip(UDP).fragments(&datagram(shot), &[CUT]);
        shot.frames(&packets)
    });
    try_all(topology, "a ping", |shot| {
        let packets = shot.ip(icmp(shot)).fragments(&echo(shot), &[CUT]);
        shot.frames(&packets)
    });
}

/// No order shows ports to the program that the receiver does not read.
fn later_fragments_first_are_judged(topology: Topology) {
    // The node waits for all of them; on the bridge each goes its own way.
    let mut found = Findings::default();
    let control = Control::Plain(|_, _| true);
    attack(topology, "the second first", control, &mut found, |shot| {
        let mut packets = shot.ip(UDP).fragments(&datagram(shot), &[CUT]);
        packets.reverse();
        shot.frames(&packets)
    });
    found.none();
}

/// By ordinary sockets: the echo of an open pod comes back, that of a closed one does not.
fn only_open_pods_answer_datagrams_in_fragments(topology: Topology) {
    let scene = Scene::shared(topology);
    let mut found = Findings::default();
    for family in FAMILIES {
        for way in Way::of(topology) {
            for (to, expected) in [("open", true), ("closed", false), ("guarded", false)] {
                let shot = aim(scene, "loud", to, family, *way);
                // Its end, which no ICMP error quotes, has another tag.
                let (mut whole, end) = (datagram(&shot), Tag::next());
                whole.truncate(DATA - 400);
                whole.extend(end.fill(8 + 400));
                whole[6..8].fill(0);
                let (from, target) = (shot.source(0).ip(), shot.target(0).ip());
                let whole = sealed(from, target, UDP, whole, 6);
                let packets = shot.ip(UDP).fragments(&whole, &[CUT]);
                scene.send("loud", &shot.frames(&packets));
                // The server is another process, so its answer is waited for, or its absence.
                let answered = scene.answered("loud", to, end, expected);
                let what = format!("{family:?} {way:?} {to}: answered: {answered}");
                found.expect(answered == expected, what);
            }
        }
    }
    found.none();
}

fn try_all(topology: Topology, what: &str, make: impl Fn(&Shot<'_>) -> Vec<Frame>) {
    let mut found = Findings::default();
    attack(topology, what, Control::Open, &mut found, make);
    found.none();
}

fn syn(shot: &Shot<'_>) -> Vec<u8> {
    let (from, to) = (shot.source(shot.high()), shot.target(WEB));
    tcp(from, to, SYN, shot.tag, DATA)
}

fn datagram(shot: &Shot<'_>) -> Vec<u8> {
    let (from, to) = (shot.source(shot.high()), shot.target(DATAGRAMS));
    udp(from, to, shot.tag, DATA)
}

fn echo(shot: &Shot<'_>) -> Vec<u8> {
    let (from, to) = (shot.source(0).ip(), shot.target(0).ip());
    ping(from, to, shot.tag, DATA)
}

fn icmp(shot: &Shot<'_>) -> u8 {
    if shot.family.is_v6() { ICMPV6 } else { ICMP }
}
