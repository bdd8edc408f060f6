//! Control messages that are none: by their number of the network's own housekeeping, by their
//! destination and their length a way to carry data.

use weir_lab::Topology;

use crate::attack::{Control, Findings, Shot, Way, attack_in};
use crate::common::{Family, in_both_topologies};
use crate::frame::Frame;
use crate::frame::transport::{ICMPV6, icmp, octets};

in_both_topologies!(
    multicast_reports_to_one_pod_are_judged,
    igmp_to_one_pod_is_judged,
    neighbour_discovery_with_data_is_judged,
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
