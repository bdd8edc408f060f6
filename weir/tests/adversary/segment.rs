//! Neighbours on one bridge: who has which address is said by who has it, and no pod is a router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use weir_lab::Topology;

use crate::attack::{Findings, Way, aim};
use crate::common::Family;
use crate::frame::Frame;
use crate::frame::neighbour::{
    ADVERTISEMENT, ALL_NODES, BROADCAST, REPLY, REQUEST, SOLICITATION, about, arp, discovery,
    link_local, multicast, solicited,
};
use crate::scene::{Actor, Scene};
use crate::wire::Tag;

/// A lab of its own: what passes here changes the tables of those who hear it.
fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| Scene::up(Topology::Bridge, true))
}

const LIARS: [&str; 2] = ["loud", "muted"];
const HEARERS: [&str; 3] = ["open", "closed", "web"];
/// The bridge's own addresses, the pods' gateway.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 1);

/// A frame from one actor to another.
type Made<'a> = dyn Fn(&Actor, &Actor, Tag) -> Frame + 'a;

/// Whether a frame of one actor comes to another one.
fn arrives(
    scene: &Scene,
    from: &str,
    to: &str,
    make: impl Fn(&Actor, &Actor, Tag) -> Frame,
) -> bool {
    let shot = aim(scene, from, to, Family::V6, Way::Bridge);
    scene.send(from, &[make(shot.from, shot.to, shot.tag)]);
    scene.came(to, shot.tag)
}

/// Tries a frame that lies on everybody; the same with the truth arrives, and the lie too where
/// there is no Weir.
fn lies(
    found: &mut Findings,
    what: &str,
    lie: impl Fn(&Actor, &Actor, Tag) -> Frame,
    truth: Option<&Made<'_>>,
) {
    for from in LIARS {
        for to in HEARERS {
            let arrived = arrives(scene(), from, to, &lie);
            found.expect(!arrived, format!("{what}: {from} to {to}: arrived"));
            if let Some(truth) = truth {
                let arrived = arrives(scene(), from, to, truth);
                let said = "the control did not arrive";
                found.expect(arrived, format!("{what}: {from} to {to}: {said}"));
            }
        }
    }
    let arrived = arrives(Scene::plain(Topology::Bridge), "loud", "open", &lie);
    found.expect(arrived, format!("{what}: did not arrive without Weir"));
}

#[test]
fn arp_speaks_for_the_senders_own_address() {
    let mut found = Findings::default();
    let bystander = v4(scene().actor("bystander"));
    for operation in [REQUEST, REPLY] {
        for broadcast in [false, true] {
            let link = |to: &Actor| if broadcast { BROADCAST } else { to.mac };
            for claimed in [bystander, GATEWAY_V4] {
                let what = format!("ARP {operation} for {claimed}, broadcast: {broadcast}");
                let truth = |from: &Actor, to: &Actor, tag: Tag| {
                    arp(link(to), from.mac, operation, v4(from), v4(to), tag)
                };
                let lie = |from: &Actor, to: &Actor, tag: Tag| {
                    arp(link(to), from.mac, operation, claimed, v4(to), tag)
                };
                lies(&mut found, &what, lie, Some(&truth));
                // To nobody: everybody learns it.
                let lie = |from: &Actor, to: &Actor, tag: Tag| {
                    arp(link(to), from.mac, operation, claimed, claimed, tag)
                };
                lies(&mut found, &format!("{what}, gratuitous"), lie, None);
            }
        }
    }
    found.none();
}

#[test]
fn an_advertisement_speaks_for_the_senders_own_address() {
    let mut found = Findings::default();
    let bystander = v6(scene().actor("bystander"));
    for everybody in [false, true] {
        for claimed in [bystander, GATEWAY_V6] {
            let make = move |from: &Actor, to: &Actor, target: Ipv6Addr, tag: Tag| {
                let (link, address) = match everybody {
                    true => (multicast(ALL_NODES), ALL_NODES),
                    false => (to.mac, v6(to)),
                };
                let body = about(ADVERTISEMENT, target, tag);
                discovery(link, from.mac, v6(from), address, ADVERTISEMENT, &body)
            };
            let what = format!("an advertisement of {claimed}, to everybody: {everybody}");
            let truth = |from: &Actor, to: &Actor, tag: Tag| make(from, to, v6(from), tag);
            let lie = |from: &Actor, to: &Actor, tag: Tag| make(from, to, claimed, tag);
            lies(&mut found, &what, lie, Some(&truth));
        }
    }
    found.none();
}

/// Who is asked learns where the asker is.
#[test]
fn a_solicitation_comes_from_the_senders_own_address() {
    let mut found = Findings::default();
    let bystander = v6(scene().actor("bystander"));
    for claimed in [bystander, GATEWAY_V6] {
        let make = |from: &Actor, to: &Actor, source: Ipv6Addr, tag: Tag| {
            let group = solicited(v6(to));
            let body = about(SOLICITATION, v6(to), tag);
            discovery(
                multicast(group),
                from.mac,
                source,
                group,
                SOLICITATION,
                &body,
            )
        };
        let what = format!("a solicitation from {claimed}");
        let truth = |from: &Actor, to: &Actor, tag: Tag| make(from, to, v6(from), tag);
        let lie = |from: &Actor, to: &Actor, tag: Tag| make(from, to, claimed, tag);
        lies(&mut found, &what, lie, Some(&truth));
    }
    found.none();
}

#[test]
fn no_pod_is_a_router() {
    let mut found = Findings::default();
    for everybody in [false, true] {
        for as_router in [false, true] {
            let place = move |from: &Actor, to: &Actor| {
                let (link, address) = match everybody {
                    true => (multicast(ALL_NODES), ALL_NODES),
                    false => (to.mac, v6(to)),
                };
                let source = if as_router { from.router } else { from.mac };
                (link, address, link_local(source))
            };
            let how = format!("to everybody: {everybody}, as the router: {as_router}");
            let advertise = move |from: &Actor, to: &Actor, tag: Tag| {
                let (link, address, source) = place(from, to);
                // A router for half an hour, of a prefix that has the tag in it (RFC 4861, 4.6.2).
                let mut body = vec![64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
                body.extend([3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0]);
                body.extend([0x20, 1, 0xd, 0xb8]);
                body.extend(tag.0);
                body.extend([0; 8]);
                discovery(link, from.mac, source, address, 134, &body)
            };
            lies(
                &mut found,
                &format!("a router advertisement, {how}"),
                advertise,
                None,
            );
            let redirect = move |from: &Actor, to: &Actor, tag: Tag| {
                let (link, address, source) = place(from, to);
                let mut body = vec![0; 4];
                body.extend(link_local(from.mac).octets());
                body.extend([0x20, 1, 0xd, 0xb8]);
                body.extend(tag.0);
                body.extend([0; 8]);
                discovery(link, from.mac, source, address, 137, &body)
            };
            lies(&mut found, &format!("a redirect, {how}"), redirect, None);
        }
    }
    found.none();
}

/// The tables of a pod that hears all this are as they were.
#[test]
fn neighbours_stay_where_they_are() {
    let (scene, mut found) = (scene(), Findings::default());
    let (open, bystander) = (scene.actor("open"), scene.actor("bystander"));
    for address in [bystander.v4, bystander.v6] {
        let ping = |tries: &str| {
            let words = ["ping", "-n", "-c", tries, "-W", "5", &address.to_string()];
            scene
                .lab
                .exec("open", &words)
                .expect("ping")
                .status
                .success()
        };
        found.expect(ping("1"), format!("{address}: not reached before"));
        let known = neighbour_of(scene, "open", address);
        for _ in 0..5 {
            let tag = Tag::next();
            let frame = match address {
                IpAddr::V4(claimed) => {
                    let mac = scene.actor("loud").mac;
                    arp(open.mac, mac, REPLY, claimed, v4(open), tag)
                }
                IpAddr::V6(claimed) => {
                    let mac = scene.actor("loud").mac;
                    let body = about(ADVERTISEMENT, claimed, tag);
                    discovery(open.mac, mac, claimed, v6(open), ADVERTISEMENT, &body)
                }
            };
            scene.send("loud", &[frame]);
            found.expect(
                !scene.came("open", tag),
                format!("{address}: a lie arrived"),
            );
        }
        let now = neighbour_of(scene, "open", address);
        found.expect(now == known, format!("{address}: {known:?} became {now:?}"));
    }
    found.none();
}

/// Where a pod believes that an address is.
fn neighbour_of(scene: &Scene, pod: &str, address: IpAddr) -> Option<String> {
    let words = ["ip", "-j", "neigh", "show", &address.to_string()];
    let output = scene.lab.exec(pod, &words).expect("ip");
    let known: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    known[0]["lladdr"].as_str().map(str::to_owned)
}

fn v4(actor: &Actor) -> Ipv4Addr {
    match actor.v4 {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => panic!("{v6}"),
    }
}

fn v6(actor: &Actor) -> Ipv6Addr {
    match actor.v6 {
        IpAddr::V6(v6) => v6,
        IpAddr::V4(v4) => panic!("{v4}"),
    }
}
