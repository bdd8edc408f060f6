//! Whose address a packet has: the sender's own, also on a flow that is open, also link-local.

use std::net::SocketAddr;

use weir_lab::Topology;

use crate::attack::{Control, Findings, Way, aim, attack, attack_in, shoot};
use crate::common::{FAMILIES, Family, in_both_topologies};
use crate::frame::transport::{SYN, TCP, UDP, tcp, udp};
use crate::frame::{ethernet, ip::Ip, neighbour};
use crate::scene::{DATAGRAMS, Scene, WEB};

in_both_topologies!(
    an_answer_with_anothers_address_is_dropped,
    another_pods_address_opens_nothing,
    another_pods_link_local_address_opens_nothing,
    a_link_local_destination_is_the_pod_that_has_it,
    a_pod_is_not_the_world,
    a_frame_for_another_address_is_not_delivered,
);

/// The entry is there, and the ports are right.
fn an_answer_with_anothers_address_is_dropped(topology: Topology) {
    let scene = Scene::shared(topology);
    let mut found = Findings::default();
    for family in FAMILIES {
        for way in Way::of(topology) {
            // Who asks, who is asked, and who answers in the name of whom.
            for (asks, asked, answers, claims, expected) in [
                ("loud", "muted", "muted", "muted", true),
                ("loud", "muted", "muted", "bystander", false),
                ("closed", "bystander", "bystander", "bystander", true),
                ("closed", "bystander", "loud", "bystander", false),
                ("closed", "bystander", "muted", "bystander", false),
            ] {
                let question = aim(scene, asks, asked, family, *way);
                let port = question.high();
                let (from, to) = (question.source(port), question.target(DATAGRAMS));
                let packet = question.ip(UDP).packet(&udp(from, to, question.tag, 16));
                scene.send(asks, &[question.frame(&packet)]);
                let what = format!("{family:?} {way:?} {asks} asks {asked}");
                found.expect(scene.came(asked, question.tag), format!("{what}: lost"));
                let arrived = shoot(scene, answers, asks, family, *way, |shot| {
                    let from = scene.actor(claims).address(family);
                    let from = SocketAddr::new(from, DATAGRAMS);
                    let to = shot.target(port);
                    let ip = Ip::new(from.ip(), to.ip(), UDP);
                    vec![shot.frame(&ip.packet(&udp(from, to, shot.tag, 16)))]
                });
                let what = format!("{what}, {answers} answers as {claims}");
                found.expect(arrived == expected, format!("{what}: arrived: {arrived}"));
            }
        }
    }
    found.none();
}

/// `private` lets in whose address this is.
fn another_pods_address_opens_nothing(topology: Topology) {
    let mut found = Findings::default();
    let control = Control::Plain(|_, _| true);
    attack(topology, "as bystander", control, &mut found, |shot| {
        let bystander = Scene::shared(topology).actor("bystander");
        let from = SocketAddr::new(bystander.address(shot.family), shot.high());
        let mut ip = shot.ip(TCP);
        ip.from = from.ip();
        let segment = tcp(from, shot.target(WEB), SYN, shot.tag, 64);
        vec![shot.frame(&ip.packet(&segment))]
    });
    // Who has the address comes in with it.
    let scene = Scene::shared(topology);
    for family in FAMILIES {
        let arrived = shoot(scene, "bystander", "private", family, Way::Router, |shot| {
            let (from, to) = (shot.source(shot.high()), shot.target(DATAGRAMS));
            vec![shot.frame(&shot.ip(UDP).packet(&udp(from, to, shot.tag, 64)))]
        });
        found.expect(
            arrived,
            format!("{family:?}: bystander itself does not come in"),
        );
    }
    found.none();
}

/// Of the bystander, of the node, and one that nobody has.
fn another_pods_link_local_address_opens_nothing(topology: Topology) {
    let mut found = Findings::default();
    let bystander = Scene::shared(topology).actor("bystander");
    for (whose, address) in [
        ("a pod's", neighbour::link_local(bystander.mac)),
        ("the node's", neighbour::link_local(bystander.router)),
        ("the gateway's", "fe80::1".parse().expect("an address")),
        ("nobody's", "fe80::dead:beef".parse().expect("an address")),
    ] {
        // A router does not forward it; on a bridge it goes anywhere.
        let control = Control::Plain(|_, way| way == Way::Bridge);
        let what = format!("as {whose}");
        attack_in(
            &[Family::V6],
            topology,
            &what,
            control,
            &mut found,
            |shot| {
                let from = SocketAddr::new(address.into(), shot.high());
                let mut ip = shot.ip(UDP);
                ip.from = from.ip();
                vec![shot.frame(&ip.packet(&udp(from, shot.target(DATAGRAMS), shot.tag, 64)))]
            },
        );
    }
    found.none();
}

/// Servers that listen on every address listen on this one, too.
fn a_link_local_destination_is_the_pod_that_has_it(topology: Topology) {
    if topology == Topology::Routed {
        // Pods have no link in common there.
        return;
    }
    let mut found = Findings::default();
    for own_is_local in [false, true] {
        let mut try_it = |scene: &Scene, from: &str, to: &str, expected: bool| {
            let arrived = shoot(scene, from, to, Family::V6, Way::Bridge, |shot| {
                let mut own = shot.source(shot.high());
                if own_is_local {
                    own.set_ip(neighbour::link_local(shot.from.mac).into());
                }
                let to = neighbour::link_local(shot.to.mac).into();
                let ip = Ip::new(own.ip(), to, TCP);
                let segment = tcp(own, SocketAddr::new(to, WEB), SYN, shot.tag, 64);
                vec![shot.frame(&ip.packet(&segment))]
            });
            let what = format!("{from} to {to}, own is link-local: {own_is_local}");
            found.expect(arrived == expected, format!("{what}: arrived: {arrived}"));
        };
        let (weir, plain) = (Scene::shared(topology), Scene::plain(topology));
        try_it(plain, "loud", "open", true);
        for to in ["closed", "web", "guarded", "private", "worldly"] {
            try_it(weir, "loud", to, false);
        }
        try_it(weir, "muted", "open", false);
    }
    found.none();
}

/// Whatever address a pod writes, a rule for the world does not let it in.
fn a_pod_is_not_the_world(topology: Topology) {
    let scene = Scene::shared(topology);
    let bystander = scene.actor("bystander");
    let mut found = Findings::default();
    for (family, claimed) in [
        (Family::V4, "198.51.100.77".to_owned()),
        (Family::V4, "10.244.0.250".to_owned()),
        (Family::V4, scene.actor("loud").v4.to_string()),
        (Family::V4, "0.0.0.0".to_owned()),
        (Family::V4, "127.0.0.1".to_owned()),
        (Family::V4, "224.0.0.1".to_owned()),
        (Family::V4, "255.255.255.255".to_owned()),
        (Family::V6, "::".to_owned()),
        (Family::V6, "::1".to_owned()),
        (Family::V6, "ff02::1".to_owned()),
        // What IPv4 addresses are in tables for both.
        (Family::V6, "::ffff:198.51.100.77".to_owned()),
        (Family::V6, format!("::ffff:{}", scene.actor("loud").v4)),
        (Family::V6, format!("::ffff:{}", bystander.v4)),
        (Family::V6, "2001:db8::77".to_owned()),
        (Family::V6, scene.actor("loud").v6.to_string()),
        (Family::V6, neighbour::link_local(bystander.mac).to_string()),
        (
            Family::V6,
            neighbour::link_local(scene.actor("loud").mac).to_string(),
        ),
        (Family::V6, "fe80::dead:beef".to_owned()),
    ] {
        for way in Way::of(topology) {
            let arrived = shoot(scene, "loud", "worldly", family, *way, |shot| {
                let from = SocketAddr::new(claimed.parse().expect("an address"), shot.high());
                let mut ip = shot.ip(UDP);
                ip.from = from.ip();
                vec![shot.frame(&ip.packet(&udp(from, shot.target(DATAGRAMS), shot.tag, 64)))]
            });
            found.expect(!arrived, format!("{way:?} as {claimed}: arrived"));
        }
    }
    for family in FAMILIES {
        let arrived = shoot(scene, "world", "worldly", family, Way::Router, |shot| {
            let (from, to) = (shot.source(shot.high()), shot.target(DATAGRAMS));
            vec![shot.frame(&shot.ip(UDP).packet(&udp(from, to, shot.tag, 64)))]
        });
        found.expect(arrived, format!("{family:?}: the world does not come in"));
    }
    found.none();
}

/// The link says one pod, IP another one: neither the one nor the other is reached by it.
fn a_frame_for_another_address_is_not_delivered(topology: Topology) {
    if topology == Topology::Routed {
        // There the node alone chooses the link.
        return;
    }
    let mut found = Findings::default();
    for family in FAMILIES {
        let mut try_it = |scene: &Scene, link: Option<&str>, meant: &str, to: &str, expected| {
            let arrived = shoot(scene, "loud", to, family, Way::Bridge, |shot| {
                let own = shot.source(shot.high());
                let meant = scene.actor(meant).address(family);
                let ip = Ip::new(own.ip(), meant, UDP);
                let target = SocketAddr::new(meant, DATAGRAMS);
                let packet = ip.packet(&udp(own, target, shot.tag, 64));
                let mac = link.map_or(neighbour::BROADCAST, |link| scene.actor(link).mac);
                vec![ethernet(mac, shot.from.mac, ip.ethertype(), &packet)]
            });
            let what = format!("{family:?} to {meant} at {link:?}, {to}: arrived: {arrived}");
            found.expect(arrived == expected, what);
        };
        let (weir, plain) = (Scene::shared(topology), Scene::plain(topology));
        for to in ["closed", "guarded", "private"] {
            try_it(weir, Some(to), "open", to, false);
            try_it(plain, Some(to), "open", to, true);
            try_it(weir, None, "open", to, false);
            try_it(plain, None, "open", to, true);
        }
        try_it(weir, Some("open"), "open", "open", true);
        try_it(weir, Some("open"), "closed", "open", false);
    }
    found.none();
}
