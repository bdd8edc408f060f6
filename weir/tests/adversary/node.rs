//! Who is the node: its own packets pass, and nobody else's who says to be it.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use weir_lab::Topology;

use crate::attack::{Findings, Shot, Way, shoot};
use crate::common::{FAMILIES, Family, PATIENCE, in_both_topologies};
use crate::frame::transport::{ICMP, ICMPV6, SYN, TCP, UDP, icmp, ping, tcp, udp};
use crate::scene::{DATAGRAMS, Scene, WEB};
use crate::wire::{Tag, enter};

/// How long one attempt of a probe waits.
const AGAIN: Duration = Duration::from_secs(2);

in_both_topologies!(
    nobody_sends_as_the_node,
    the_node_reaches_isolated_pods_from_each_of_its_addresses,
);

/// Whole and in fragments, by every protocol, from pods and from the world.
fn nobody_sends_as_the_node(topology: Topology) {
    let scene = Scene::shared(topology);
    let mut found = Findings::default();
    for (address, interface) in addresses(scene) {
        let family = if address.is_ipv6() {
            Family::V6
        } else {
            Family::V4
        };
        for (protocol, size) in [(TCP, 0), (TCP, 2300), (UDP, 64), (UDP, 2300), (ICMP, 64)] {
            for way in Way::of(topology) {
                for (from, to) in [
                    ("loud", "closed"),
                    ("loud", "web"),
                    ("loud", "guarded"),
                    ("muted", "open"),
                    ("world", "closed"),
                    ("world", "private"),
                ] {
                    if from == "world" && *way == Way::Bridge {
                        continue;
                    }
                    let arrived = shoot(scene, from, to, family, *way, |shot| {
                        packets(shot, address, protocol, size)
                    });
                    let what = format!(
                        "{from} to {to} as {address} ({interface}), protocol {protocol}, \
                         {size} bytes, {way:?}: arrived"
                    );
                    found.expect(!arrived, what);
                }
            }
        }
    }
    // The same frames with the sender's own address are what they should be.
    for family in FAMILIES {
        for (protocol, size) in [(TCP, 0), (TCP, 2300), (UDP, 64), (UDP, 2300), (ICMP, 64)] {
            let own = scene.actor("loud").address(family);
            let arrived = shoot(scene, "loud", "open", family, Way::Router, |shot| {
                packets(shot, own, protocol, size)
            });
            let what = format!("{family:?} {protocol} {size}: the control did not arrive");
            found.expect(arrived, what);
        }
    }
    found.none();
}

fn packets(shot: &Shot<'_>, claimed: IpAddr, protocol: u8, size: usize) -> Vec<Vec<u8>> {
    let from = SocketAddr::new(claimed, shot.high());
    let (number, payload) = match protocol {
        TCP => (TCP, tcp(from, shot.target(WEB), SYN, shot.tag, size)),
        UDP => (UDP, udp(from, shot.target(DATAGRAMS), shot.tag, size)),
        _ => {
            let payload = ping(claimed, shot.target(0).ip(), shot.tag, size);
            let number = if claimed.is_ipv6() { ICMPV6 } else { ICMP };
            (number, payload)
        }
    };
    let mut ip = shot.ip(number);
    ip.from = claimed;
    let cuts: &[usize] = if size > 1400 { &[1208] } else { &[] };
    match cuts {
        [] => vec![shot.frame(&ip.packet(&payload))],
        _ => shot.frames(&ip.fragments(&payload, cuts)),
    }
}

/// As the kubelet's probes: a connection and a request, a datagram and its echo, a ping.
fn the_node_reaches_isolated_pods_from_each_of_its_addresses(topology: Topology) {
    let scene = Scene::shared(topology);
    let mut found = Findings::default();
    for to in ["closed", "web", "guarded"] {
        let link = scene.link(to);
        for (address, interface) in addresses(scene) {
            // A link-local address is one of its own link only; loopback is of none.
            let local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if address.is_loopback() || (local && interface != link) {
                continue;
            }
            let what = format!("{address} ({interface}) to {to}");
            let family = if address.is_ipv6() {
                Family::V6
            } else {
                Family::V4
            };
            let own = |port| own_address(scene, address, local, &link, port);
            let target = |port| SocketAddr::new(scene.actor(to).address(family), port);
            if let Err(error) = connects(scene, own(0), target(WEB)) {
                found.add(format!("{what}: TCP: {error}"));
            }
            // To a link-local address the server answers from its own such address.
            if !local && let Err(error) = echoes(scene, own(0), target(DATAGRAMS)) {
                found.add(format!("{what}: UDP: {error}"));
            }
            if let Err(error) = pings(scene, own(0), target(0)) {
                found.add(format!("{what}: ping: {error}"));
            }
        }
    }
    found.none();
}

fn own_address(scene: &Scene, address: IpAddr, local: bool, link: &str, port: u16) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if local => {
            let scope = enter(&scene.node_netns(), |_| {
                nix::net::if_::if_nametoindex(link).expect("the link")
            });
            SocketAddrV6::new(v6, port, 0, scope).into()
        }
        other => SocketAddr::new(other, port),
    }
}

fn bound(own: SocketAddr, kind: Type, protocol: Option<Protocol>) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(own), kind, protocol)?;
    socket.set_read_timeout(Some(AGAIN))?;
    socket.bind(&own.into())?;
    Ok(socket)
}

fn connects(scene: &Scene, own: SocketAddr, to: SocketAddr) -> std::io::Result<()> {
    enter(&scene.node_netns(), |_| {
        let socket = bound(own, Type::STREAM, None)?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(b"GET /ip HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        (&socket).read_exact(&mut answer)?;
        if &answer == b"HTTP/1.1 200" {
            return Ok(());
        }
        Err(std::io::Error::other(String::from_utf8_lossy(&answer)))
    })
}

fn echoes(scene: &Scene, own: SocketAddr, to: SocketAddr) -> std::io::Result<()> {
    enter(&scene.node_netns(), |_| {
        let socket = bound(own, Type::DGRAM, None)?;
        socket.connect(&to.into())?;
        thrice(|| {
            socket.send(b"probe")?;
            (&socket).read_exact(&mut [0; 5])
        })
    })
}

fn pings(scene: &Scene, own: SocketAddr, to: SocketAddr) -> std::io::Result<()> {
    let (tag, v6) = (Tag::next(), own.is_ipv6());
    let protocol = if v6 {
        Protocol::ICMPV6
    } else {
        Protocol::ICMPV4
    };
    enter(&scene.node_netns(), |_| {
        let socket = bound(own, Type::RAW, Some(protocol))?;
        socket.connect(&to.into())?;
        let kind = if v6 { 128 } else { 8 };
        thrice(|| {
            // The kernel fills in the checksum of ICMPv6.
            socket.send(&icmp(own.ip(), to.ip(), (kind, 0), tag.0, &tag.fill(16)))?;
            let mut buffer = [0; 2048];
            loop {
                let length = (&socket).read(&mut buffer)?;
                if buffer[..length].windows(4).any(|bytes| bytes == tag.0) {
                    return Ok(());
                }
            }
        })
    })
}

/// A datagram may be lost, as the kubelet knows.
fn thrice(attempt: impl Fn() -> std::io::Result<()>) -> std::io::Result<()> {
    attempt().or_else(|_| attempt()).or_else(|_| attempt())
}

/// Every address of the node, with its interface.
fn addresses(scene: &Scene) -> Vec<(IpAddr, String)> {
    let output = scene.lab.exec("@node", &["ip", "-j", "addr"]).expect("ip");
    let links: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut found = Vec::new();
    for link in links.as_array().expect("links") {
        let name = link["ifname"].as_str().expect("a name");
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let text = address["local"].as_str().expect("an address");
            let address: IpAddr = text.parse().expect("an address");
            // Each link of a pod has the same gateway address; once is enough.
            let local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if local || !found.iter().any(|(known, _)| *known == address) {
                found.push((address, name.to_owned()));
            }
        }
    }
    let count = |v6| found.iter().filter(|(a, _)| a.is_ipv6() == v6).count();
    assert!(count(false) >= 3 && count(true) >= 3, "{found:?}");
    found
}
