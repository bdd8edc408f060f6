//! ICMP errors: only about a flow of whom they go to, and only from who they say.

use weir_lab::Topology;

use crate::attack::{Findings, Shot, Way, aim};
use crate::common::{FAMILIES, Family, in_both_topologies};
use crate::frame::transport::{ICMP, ICMPV6, UDP, icmp, udp};
use crate::frame::{Frame, ethernet, ip::Ip};
use crate::scene::{DATAGRAMS, Scene};
use crate::wire::Tag;

in_both_topologies!(
    an_error_of_a_muted_pod_goes_to_whom_it_is_about,
    an_error_into_a_closed_pod_is_about_its_own_flow,
);

/// Types and codes: unreachable, too big, out of time, a bad field (RFC 792, RFC 4443).
fn errors(family: Family) -> [(u8, u8); 4] {
    if family.is_v6() {
        [(1, 4), (2, 0), (3, 0), (4, 0)]
    } else {
        [(3, 1), (3, 4), (11, 0), (12, 0)]
    }
}

fn an_error_of_a_muted_pod_goes_to_whom_it_is_about(topology: Topology) {
    let scene = Scene::shared(topology);
    let mut found = Findings::default();
    for (family, way) in everywhere(topology) {
        // The muted pod may answer this, and say that it cannot.
        let flow = datagram(scene, "loud", "muted", family, way, &mut found);
        for error in errors(family) {
            let mut try_it = |to: &str, claims: &str, expected: bool| {
                let arrived = send(scene, "muted", to, claims, family, way, error, &flow);
                let what = format!("{family:?} {way:?} {error:?} to {to} as {claims}");
                found.expect(arrived == expected, format!("{what}: arrived: {arrived}"));
            };
            try_it("loud", "muted", true);
            for other in ["open", "closed", "bystander"] {
                try_it(other, "muted", false);
            }
            try_it("loud", "bystander", false);
            try_it("open", "loud", false);
        }
    }
    found.none();
}

fn an_error_into_a_closed_pod_is_about_its_own_flow(topology: Topology) {
    let scene = Scene::shared(topology);
    let mut found = Findings::default();
    for (family, way) in everywhere(topology) {
        let own = datagram(scene, "closed", "loud", family, way, &mut found);
        let others = datagram(scene, "bystander", "loud", family, way, &mut found);
        for error in errors(family) {
            let mut try_it = |from: &str, to: &str, flow: &Flow, expected: bool| {
                let arrived = send(scene, from, to, from, family, way, error, flow);
                let what = format!("{family:?} {way:?} {error:?} from {from} to {to}");
                found.expect(arrived == expected, format!("{what}: arrived: {arrived}"));
            };
            try_it("loud", "closed", &own, true);
            // About a flow that is not this pod's.
            try_it("loud", "closed", &others, false);
            try_it("loud", "guarded", &own, false);
            try_it("loud", "private", &others, false);
            // By a pod that may send nothing and has no part in the flow.
            try_it("muted", "closed", &own, false);
            // About a flow that never was: another port.
            let never = Flow {
                packet: own.elsewhere(family),
            };
            try_it("loud", "closed", &never, false);
        }
    }
    found.none();
}

/// What an error quotes.
struct Flow {
    packet: Vec<u8>,
}

// === impl Flow ===

impl Flow {
    /// The same packet from another port.
    fn elsewhere(&self, family: Family) -> Vec<u8> {
        let mut packet = self.packet.clone();
        let ports = if family.is_v6() { 40 } else { 20 };
        packet[ports] ^= 0x10;
        packet
    }
}

fn everywhere(topology: Topology) -> impl Iterator<Item = (Family, Way)> {
    let ways = Way::of(topology).iter();
    ways.flat_map(|way| FAMILIES.map(|family| (family, *way)))
}

/// Opens a flow that policies allow.
fn datagram(
    scene: &Scene,
    from: &str,
    to: &str,
    family: Family,
    way: Way,
    found: &mut Findings,
) -> Flow {
    let shot = aim(scene, from, to, family, way);
    let (source, target) = (shot.source(shot.high()), shot.target(DATAGRAMS));
    let packet = shot.ip(UDP).packet(&udp(source, target, shot.tag, 32));
    scene.send(from, &[shot.frame(&packet)]);
    let arrived = scene.came(to, shot.tag);
    found.expect(
        arrived,
        format!("{from} to {to}: an allowed datagram did not arrive"),
    );
    Flow { packet }
}

#[expect(
    clippy::too_many_arguments,
    reason = "an error is from, to, as, how, what, about"
)]
fn send(
    scene: &Scene,
    from: &str,
    to: &str,
    claims: &str,
    family: Family,
    way: Way,
    kind: (u8, u8),
    about: &Flow,
) -> bool {
    let shot = aim(scene, from, to, family, way);
    let frame = error(&shot, scene.actor(claims).address(family), kind, about);
    scene.send(from, &[frame]);
    scene.came(to, shot.tag)
}

fn error(shot: &Shot<'_>, from: std::net::IpAddr, kind: (u8, u8), about: &Flow) -> Frame {
    let to = shot.target(0).ip();
    let protocol = if shot.family.is_v6() { ICMPV6 } else { ICMP };
    // Where it says that a packet was too big; else a field that nobody reads.
    let mtu = 1400u32.to_be_bytes();
    let quote = tagged(&about.packet, shot.family, shot.tag);
    let payload = icmp(from, to, kind, mtu, &quote);
    let ip = Ip::new(from, to, protocol);
    ethernet(
        shot.link,
        shot.from.mac,
        ip.ethertype(),
        &ip.packet(&payload),
    )
}

/// The packet with another tag in its data: the way by which an error carries anything.
fn tagged(packet: &[u8], family: Family, tag: Tag) -> Vec<u8> {
    let header = if family.is_v6() { 48 } else { 28 };
    [&packet[..header], &tag.fill(packet.len() - header)].concat()
}
