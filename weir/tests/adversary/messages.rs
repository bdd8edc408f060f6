//! Control messages that are none: by their number of the network's own housekeeping, by their
//! destination and their length a way to carry data.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use weir_abi::mark;
use weir_lab::Topology;

use crate::attack::{Control, Findings, Shot, Way, aim, attack_in, shoot};
use crate::common::{FAMILIES, Family, in_both_topologies};
use crate::frame::ip::Ip;
use crate::frame::neighbour::{BROADCAST, link_local, multicast};
use crate::frame::transport::{ICMPV6, UDP, icmp, octets, udp};
use crate::frame::{Frame, IPV4, IPV6, ethernet};
use crate::scene::{DATAGRAMS, Scene, stay};
use crate::wire::{Sender, enter};

in_both_topologies!(
    multicast_reports_to_one_pod_are_judged,
    igmp_to_one_pod_is_judged,
    neighbour_discovery_with_data_is_judged,
    a_group_is_judged_as_its_members,
    a_report_to_a_group_carries_nothing_else,
    a_mark_on_a_packet_means_nothing,
);

/// MLD queries, reports and dones (RFC 2710, RFC 9777).
const MLD: [u8; 4] = [130, 131, 132, 143];
const IGMP: u8 = 2;

fn multicast_reports_to_one_pod_are_judged(topology: Topology) {
    let mut found = Findings::default();
    for kind in MLD {
        for hops in [1, 64, 255] {
            let what = format!("MLD {kind}, hop limit {hops}");
            let passes = if hops == 1 { bridged } else { always };
            let control = Control::Plain(passes);
            attack_in(
                &[Family::V6],
                topology,
                &what,
                control,
                &mut found,
                |shot| {
                    let group = [&[0xff, 2][..], &[0; 13], &[0xfb]].concat();
                    vec![message(
                        shot,
                        kind,
                        hops,
                        &[&group[..], &shot.tag.fill(200)].concat(),
                    )]
                },
            );
        }
    }
    found.none();
}

fn igmp_to_one_pod_is_judged(topology: Topology) {
    let mut found = Findings::default();
    // A query, and reports of its three versions.
    for kind in [0x11, 0x12, 0x16, 0x22] {
        for hops in [1, 64] {
            let what = format!("IGMP {kind:x}, time to live {hops}");
            let passes = if hops == 1 { bridged } else { always };
            let control = Control::Plain(passes);
            attack_in(
                &[Family::V4],
                topology,
                &what,
                control,
                &mut found,
                |shot| {
                    let (from, to) = (shot.source(0).ip(), shot.target(0).ip());
                    // IGMP has ICMP's shape and checksum.
                    let body = shot.tag.fill(200);
                    let payload = icmp(from, to, (kind, 0), [224, 0, 0, 251], &body);
                    let mut ip = shot.ip(IGMP);
                    ip.hop_limit = hops;
                    vec![shot.frame(&ip.packet(&payload))]
                },
            );
        }
    }
    found.none();
}

/// Off-link, or on the link with more behind it than it says.
fn neighbour_discovery_with_data_is_judged(topology: Topology) {
    let mut found = Findings::default();
    for kind in 133..=137 {
        for hops in [64, 255] {
            let what = format!("ND {kind}, hop limit {hops}");
            let control = Control::Plain(always);
            attack_in(
                &[Family::V6],
                topology,
                &what,
                control,
                &mut found,
                |shot| {
                    let target = octets(shot.source(0).ip());
                    let body = [&target[..], &shot.tag.fill(200)].concat();
                    vec![message(shot, kind, hops, &body)]
                },
            );
            // In an option of the length that it says.
            let what = format!("ND {kind}, hop limit {hops}, in an option");
            attack_in(
                &[Family::V6],
                topology,
                &what,
                control,
                &mut found,
                |shot| {
                    let target = octets(shot.source(0).ip());
                    let option = [&[253, 26][..], &shot.tag.fill(206)].concat();
                    vec![message(shot, kind, hops, &[target, option].concat())]
                },
            );
        }
    }
    found.none();
}

/// Multicast and broadcast come to every pod of a bridge; who may not be reached is not.
fn a_group_is_judged_as_its_members(topology: Topology) {
    if topology == Topology::Routed {
        // The node forwards none of it.
        return;
    }
    let mut found = Findings::default();
    for (family, group) in [
        (Family::V4, "224.0.0.251"),
        (Family::V4, "255.255.255.255"),
        (Family::V6, "ff02::fb"),
        (Family::V6, "ff02::1"),
    ] {
        on_the_bridge(&mut found, group, true, family, |shot| {
            let to: IpAddr = group.parse().expect("a group");
            let (from, target) = (shot.source(shot.high()), SocketAddr::new(to, DATAGRAMS));
            let packet = Ip::new(from.ip(), to, UDP).packet(&udp(from, target, shot.tag, 64));
            vec![to_group(shot, to, &packet)]
        });
    }
    found.none();
}

/// Reports pass without a policy, so they are no longer than reports are.
fn a_report_to_a_group_carries_nothing_else(topology: Topology) {
    if topology == Topology::Routed {
        return;
    }
    let mut found = Findings::default();
    for kind in MLD {
        let what = format!("MLD {kind} with data");
        on_the_bridge(&mut found, &what, false, Family::V6, |shot| {
            let from = link_local(shot.from.mac);
            let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
            let body = [&to.octets()[..], &shot.tag.fill(1000)].concat();
            let payload = icmp(from.into(), to.into(), (kind, 0), [0; 4], &body);
            let mut ip = Ip::new(from.into(), to.into(), ICMPV6);
            ip.hop_limit = 1;
            vec![to_group(shot, to.into(), &ip.packet(&payload))]
        });
    }
    found.none();
}

/// A pod may mark its packets; Weir's own marks on a node are of nobody's writing.
fn a_mark_on_a_packet_means_nothing(topology: Topology) {
    let scene = Scene::shared(topology);
    let mut found = Findings::default();
    let ends = [
        ("muted", "open"),
        ("loud", "closed"),
        ("loud", "web"),
        ("loud", "open"),
    ];
    for (from, to) in ends {
        let sender = enter(&scene.actor(from).netns, |inside| {
            Sender::open(inside, "eth0")
        });
        let private = (0..8)
            .flat_map(|endpoint| [true, false].map(|from_pod| mark::private(endpoint, from_pod)));
        for mark in [mark::INJECTED, mark::HAIRPIN].into_iter().chain(private) {
            sender.mark(mark);
            for family in FAMILIES {
                for way in Way::of(topology) {
                    let shot = aim(scene, from, to, family, *way);
                    let (own, target) = (shot.source(shot.high()), shot.target(DATAGRAMS));
                    let packet = shot.ip(UDP).packet(&udp(own, target, shot.tag, 64));
                    stay();
                    sender.send(&shot.frame(&packet));
                    let (arrived, expected) = (scene.came(to, shot.tag), to == "open");
                    let expected = expected && from == "loud";
                    let what = format!("{family:?} {way:?} {from} to {to}, mark {mark:#x}");
                    found.expect(arrived == expected, format!("{what}: arrived: {arrived}"));
                }
            }
        }
    }
    found.none();
}

/// What goes to a group comes to none that may not be reached, nor from one that may not send; and
/// to an open pod if it may pass at all, else only where there is no Weir.
fn on_the_bridge(
    found: &mut Findings,
    what: &str,
    passes: bool,
    family: Family,
    make: impl Fn(&Shot<'_>) -> Vec<Frame>,
) {
    let (weir, plain) = (
        Scene::shared(Topology::Bridge),
        Scene::plain(Topology::Bridge),
    );
    let mut try_it = |scene: &Scene, from: &str, to: &str, expected: bool| {
        let arrived = shoot(scene, from, to, family, Way::Bridge, &make);
        let what = format!("{what}: {from} to {to}: arrived: {arrived}");
        found.expect(arrived == expected, what);
    };
    for to in ["closed", "private", "guarded"] {
        try_it(weir, "loud", to, false);
    }
    try_it(weir, "muted", "open", false);
    try_it(plain, "loud", "open", true);
    if passes {
        try_it(weir, "loud", "open", true);
    }
}

fn to_group(shot: &Shot<'_>, group: IpAddr, packet: &[u8]) -> Frame {
    let (link, kind) = match group {
        IpAddr::V6(group) => (multicast(group), IPV6),
        IpAddr::V4(group) if group.is_broadcast() => (BROADCAST, IPV4),
        // RFC 1112, 6.4.
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            ([1, 0, 0x5e, b & 0x7f, c, d], IPV4)
        }
    };
    ethernet(link, shot.from.mac, kind, packet)
}

fn message(shot: &Shot<'_>, kind: u8, hops: u8, body: &[u8]) -> Frame {
    let (from, to) = (shot.source(0).ip(), shot.target(0).ip());
    let payload = icmp(from, to, (kind, 0), [0; 4], body);
    let mut ip = shot.ip(ICMPV6);
    ip.hop_limit = hops;
    shot.frame(&ip.packet(&payload))
}

fn always(_: Family, _: Way) -> bool {
    true
}

fn bridged(_: Family, way: Way) -> bool {
    way == Way::Bridge
}
