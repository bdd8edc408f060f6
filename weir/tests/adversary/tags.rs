//! IP in wrappers: tags that the stack strips, tunnels that it may open, types that nobody knows.

use weir_lab::Topology;

use crate::attack::{Control, Findings, Shot, Way, attack};
use crate::common::{Family, in_both_topologies};
use crate::frame::transport::{UDP, udp};
use crate::frame::{Frame, IPV4, IPV6, ethernet};
use crate::scene::{DATAGRAMS, Scene};

in_both_topologies!(
    a_vlan_tag_hides_nothing,
    a_second_tag_hides_nothing,
    a_tagged_frame_with_anothers_address_is_dropped,
    pppoe_mpls_and_snap_hide_nothing,
    types_that_nobody_knows_do_not_pass,
);

const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
/// A double tag of old switches, which Linux does not know.
const OLD_DOUBLE: u16 = 0x9100;

/// VLAN 0 is a priority only: the stack takes the packet as if there were no tag.
fn stripped(_: Family, _: Way) -> bool {
    true
}

fn bridged(_: Family, way: Way) -> bool {
    way == Way::Bridge
}

fn a_vlan_tag_hides_nothing(topology: Topology) {
    let mut found = Findings::default();
    for (name, kind) in [("802.1Q", VLAN), ("802.1ad", SERVICE_VLAN)] {
        for vlan in [0u16, 0xe000, 5, 4095] {
            let what = format!("{name}, tag {vlan:#x}");
            let passes = if vlan & 0xfff == 0 { stripped } else { bridged };
            attack(
                topology,
                &what,
                Control::Plain(passes),
                &mut found,
                |shot| vec![tagged(shot, &[(kind, vlan)], None)],
            );
        }
    }
    found.none();
}

fn a_second_tag_hides_nothing(topology: Topology) {
    let mut found = Findings::default();
    for (outer, inner) in [
        ((VLAN, 0), (VLAN, 0)),
        ((SERVICE_VLAN, 0), (VLAN, 0)),
        ((VLAN, 0), (SERVICE_VLAN, 0)),
        ((VLAN, 0), (VLAN, 5)),
        ((SERVICE_VLAN, 5), (VLAN, 0)),
        ((OLD_DOUBLE, 0), (VLAN, 0)),
    ] {
        let what = format!("{outer:x?} {inner:x?}");
        let all_zero = outer.1 == 0 && inner.1 == 0 && outer.0 != OLD_DOUBLE;
        let passes = if all_zero { stripped } else { bridged };
        attack(
            topology,
            &what,
            Control::Plain(passes),
            &mut found,
            |shot| vec![tagged(shot, &[outer, inner], None)],
        );
    }
    found.none();
}

/// The check of the source is not behind the tag.
fn a_tagged_frame_with_anothers_address_is_dropped(topology: Topology) {
    let mut found = Findings::default();
    for tags in [
        &[(VLAN, 0)][..],
        &[(SERVICE_VLAN, 0)],
        &[(VLAN, 0), (VLAN, 0)],
    ] {
        let what = format!("{tags:x?} with another pod's address");
        let control = Control::Plain(stripped);
        attack(topology, &what, control, &mut found, |shot| {
            vec![tagged(shot, tags, Some("bystander"))]
        });
    }
    found.none();
}

fn pppoe_mpls_and_snap_hide_nothing(topology: Topology) {
    let mut found = Findings::default();
    let control = Control::Plain(bridged);
    attack(topology, "PPPoE", control, &mut found, |shot| {
        let packet = datagram(shot, None);
        let length = (packet.len() as u16 + 2).to_be_bytes();
        let protocol: u16 = if shot.family.is_v6() { 0x0057 } else { 0x0021 };
        let head = [&[0x11, 0, 0, 1], &length[..], &protocol.to_be_bytes()].concat();
        vec![wrapped(shot, 0x8864, &[head, packet].concat())]
    });
    for kind in [0x8847, 0x8848] {
        let what = format!("MPLS {kind:x}");
        attack(topology, &what, control, &mut found, |shot| {
            // Label 16, the last of the stack, time to live 64 (RFC 3032).
            let label = (16u32 << 12 | 1 << 8 | 64).to_be_bytes();
            let payload = [&label[..], &datagram(shot, None)].concat();
            vec![wrapped(shot, kind, &payload)]
        });
    }
    for (name, link) in [
        ("SNAP", &[0xaa, 0xaa, 3, 0, 0, 0][..]),
        ("LLC", &[0x06, 0x06, 3]),
        ("raw 802.3", &[0xff, 0xff]),
    ] {
        attack(topology, name, control, &mut found, |shot| {
            let mut payload = link.to_vec();
            if link[0] == 0xaa {
                let kind = if shot.family.is_v6() { IPV6 } else { IPV4 };
                payload.extend(kind.to_be_bytes());
            }
            payload.extend(datagram(shot, None));
            vec![wrapped(shot, payload.len() as u16, &payload)]
        });
    }
    found.none();
}

fn types_that_nobody_knows_do_not_pass(topology: Topology) {
    let mut found = Findings::default();
    // Experiments, Ethernet in Ethernet, loopback, RARP, EAPOL, MACsec, LLDP, PTP, IPX, NSH, batman.
    for kind in [
        0x88b5, 0x88b6, 0x6558, 0x9000, 0x8035, 0x888e, 0x88e5, 0x88cc, 0x88f7, 0x8137, 0x894f,
        0x4305,
    ] {
        let what = format!("type {kind:x}");
        let control = Control::Plain(bridged);
        attack(topology, &what, control, &mut found, |shot| {
            vec![wrapped(shot, kind, &datagram(shot, None))]
        });
    }
    found.none();
}

fn wrapped(shot: &Shot<'_>, ethertype: u16, payload: &[u8]) -> Frame {
    ethernet(shot.link, shot.from.mac, ethertype, payload)
}

fn tagged(shot: &Shot<'_>, tags: &[(u16, u16)], claims: Option<&str>) -> Frame {
    let mut payload = Vec::new();
    let inner = if shot.family.is_v6() { IPV6 } else { IPV4 };
    let types = tags[1..].iter().map(|tag| tag.0).chain([inner]);
    for ((_, vlan), next) in tags.iter().zip(types) {
        payload.extend(vlan.to_be_bytes());
        payload.extend(next.to_be_bytes());
    }
    payload.extend(datagram(shot, claims));
    wrapped(shot, tags[0].0, &payload)
}

/// A datagram of the sender's own, or with another's address.
fn datagram(shot: &Shot<'_>, claims: Option<&str>) -> Vec<u8> {
    let mut from = shot.source(shot.high());
    if let Some(other) = claims {
        // The addresses of a scene's pods are the same in every lab of a topology.
        let other = Scene::shared(shot.topology).actor(other);
        from.set_ip(other.address(shot.family));
    }
    let mut ip = shot.ip(UDP);
    ip.from = from.ip();
    ip.packet(&udp(from, shot.target(DATAGRAMS), shot.tag, 64))
}
