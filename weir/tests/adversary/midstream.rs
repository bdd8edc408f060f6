//! Segments of connections that nobody opened: no flags of TCP stand for an opening.

use weir_lab::Topology;

use crate::attack::{Control, Findings, Shot, attack};
use crate::common::in_both_topologies;
use crate::frame::Frame;
use crate::frame::transport::{ACK, FIN, PSH, RST, SYN, TCP, URG, tcp};
use crate::scene::WEB;

in_both_topologies!(
    a_segment_with_data_opens_nothing,
    the_end_of_a_connection_opens_nothing,
    an_answer_to_nothing_opens_nothing,
    a_segment_without_flags_opens_nothing,
);

/// Gives source and destination.
type Ports = fn(&Shot<'_>) -> (u16, u16);

/// Ports of both sides, below and above 32768: whichever looks like a server's.
const PORTS: [(&str, Ports); 5] = [
    ("high to low", |shot| (shot.high(), WEB)),
    ("low to high", |shot| (WEB, shot.high())),
    ("low to low", |shot| (shot.low(), WEB)),
    ("high to high", |shot| (shot.high(), 40_001)),
    ("a fresh low one to a high one", |shot| (shot.low(), 40_001)),
];

fn a_segment_with_data_opens_nothing(topology: Topology) {
    with_flags(topology, &[("ACK", ACK), ("PSH+ACK", PSH | ACK)], 200);
}

fn the_end_of_a_connection_opens_nothing(topology: Topology) {
    let flags = [
        ("FIN", FIN),
        ("FIN+ACK", FIN | ACK),
        ("RST", RST),
        ("RST+ACK", RST | ACK),
    ];
    with_flags(topology, &flags, 0);
}

fn an_answer_to_nothing_opens_nothing(topology: Topology) {
    let flags = [("SYN+ACK", SYN | ACK)];
    with_flags(topology, &flags, 0);
    with_flags(topology, &flags, 200);
}

fn a_segment_without_flags_opens_nothing(topology: Topology) {
    with_flags(topology, &[("none", 0), ("URG", URG)], 200);
}

fn with_flags(topology: Topology, flags: &[(&str, u8)], data: usize) {
    let mut found = Findings::default();
    for (name, flags) in flags {
        for (ports, of) in PORTS {
            let what = format!("{name} with {data} bytes, {ports}");
            attack(topology, &what, Control::Open, &mut found, |shot| {
                segment(shot, of(shot), *flags, data)
            });
        }
    }
    found.none();
}

fn segment(shot: &Shot<'_>, (from, to): (u16, u16), flags: u8, data: usize) -> Vec<Frame> {
    let (from, to) = (shot.source(from), shot.target(to));
    let packet = shot.ip(TCP).packet(&tcp(from, to, flags, shot.tag, data));
    vec![shot.frame(&packet)]
}
