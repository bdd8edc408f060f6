//! Tables are for everybody: what one pod sends takes nothing from another one.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use weir_lab::Topology;

use crate::attack::{Findings, Way, aim};
use crate::common::{FAMILIES, Family, Http, PATIENCE, in_both_topologies};
use crate::frame::transport::{SYN, TCP, UDP, tcp, udp};
use crate::frame::{checksum, ip::Ip};
use crate::scene::{DATAGRAMS, Scene, WEB};
use crate::wire::Tag;

in_both_topologies!(
    forged_openings_of_a_muted_pod_evict_nothing,
    allowed_openings_to_many_ports_evict_nothing,
    first_fragments_evict_nothing,
);

/// No flood is larger or longer.
const MOST_FRAMES: u32 = 400_000;
const LONGEST: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 40;

/// A lab of their own, one flood at a time.
fn scene(topology: Topology) -> (&'static Scene, MutexGuard<'static, ()>) {
    static SCENES: [(OnceLock<Scene>, Mutex<()>); 2] = [
        (OnceLock::new(), Mutex::new(())),
        (OnceLock::new(), Mutex::new(())),
    ];
    let (scene, alone) = &SCENES[usize::from(topology == Topology::Bridge)];
    let alone = alone.lock().unwrap_or_else(PoisonError::into_inner);
    (scene.get_or_init(|| Scene::up(topology, true)), alone)
}

/// From addresses of all pods, to the service and to its backend.
fn forged_openings_of_a_muted_pod_evict_nothing(topology: Topology) {
    let (scene, _alone) = scene(topology);
    let mut kept = connections(scene);
    for family in FAMILIES {
        let client = scene.actor("client").address(family);
        for to in [service(scene, family), own(scene, "server", family, WEB)] {
            flood(scene, "muted", "server", family, MOST_FRAMES / 4, |number| {
                // The neighbours of the client, and the client.
                let mut from = client;
                if let std::net::IpAddr::V4(v4) = client {
                    let [a, b, c, _] = v4.octets();
                    from = [a, b, c, number as u8].into();
                }
                (SocketAddr::new(from, (number >> 8) as u16 | 0x4000), to)
            });
        }
    }
    alive(&mut kept);
}

fn allowed_openings_to_many_ports_evict_nothing(topology: Topology) {
    let (scene, _alone) = scene(topology);
    let mut kept = connections(scene);
    for family in FAMILIES {
        flood(scene, "loud", "open", family, MOST_FRAMES / 2, |number| {
            let from = own(scene, "loud", family, 1024 + (number >> 12) as u16);
            (from, own(scene, "open", family, 1 + (number & 0xfff) as u16))
        });
    }
    alive(&mut kept);
}

/// Datagrams of another pod, of which the first halves are on their way.
fn first_fragments_evict_nothing(topology: Topology) {
    let (scene, _alone) = scene(topology);
    let mut found = Findings::default();
    for family in FAMILIES {
        let mut halves = Vec::new();
        for _ in 0..8 {
            let shot = aim(scene, "client", "server", family, Way::Router);
            let (from, to) = (shot.source(shot.high()), shot.target(DATAGRAMS));
            let mut whole = udp(from, to, Tag::next(), 2000);
            whole.truncate(1208);
            whole.extend(shot.tag.fill(800));
            let mut packets = shot.frames(&shot.ip(UDP).fragments(&whole, &[1208]));
            let second = packets.remove(1);
            scene.send("client", &packets);
            halves.push((shot.tag, second));
        }
        let shot = aim(scene, "loud", "open", family, Way::Router);
        let (from, to) = (shot.source(shot.high()), shot.target(DATAGRAMS));
        let payload = udp(from, to, Tag::next(), 24);
        let end = Instant::now() + LONGEST;
        for number in 0..MOST_FRAMES / 8 {
            let mut ip = shot.ip(UDP);
            ip.id = number as u16;
            scene.send("loud", &[shot.frame(&ip.fragment(0, true, &payload))]);
            if Instant::now() > end {
                break;
            }
        }
        for (_, second) in &halves {
            scene.send("client", std::slice::from_ref(second));
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        let whole = || {
            let ear = &scene.actor("server").ear;
            halves.iter().filter(|(tag, _)| ear.heard(*tag)).count()
        };
        while whole() < halves.len() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let said = format!("{family:?}: {} of {} came together", whole(), halves.len());
        found.expect(whole() == halves.len(), said);
    }
    found.none();
}

/// Connections of `client` to `server` through its service, half in each family.
fn connections(scene: &Scene) -> Vec<Http> {
    let netns = &scene.actor("client").netns;
    let one = |number: usize| {
        let to = service(scene, FAMILIES[number % 2]);
        let mut http = Http::open(netns, to).expect("a connection");
        let status = http.request("GET", "/").expect("an answer");
        assert_eq!(status, 200);
        http
    };
    (0..CONNECTIONS).map(one).collect()
}

fn alive(kept: &mut [Http]) {
    for http in kept.iter() {
        http.wait_at_most(PATIENCE / 4);
    }
    let answers: Vec<_> = kept
        .iter_mut()
        .map(|http| http.request("GET", "/"))
        .collect();
    let live = answers.iter().filter(|answer| matches!(answer, Ok(200)));
    let live = live.count();
    assert_eq!(live, kept.len(), "connections that live on: {answers:?}");
}

fn service(scene: &Scene, family: Family) -> SocketAddr {
    let addresses = scene.lab.service("default/server").expect("the service");
    let address = addresses.iter().find(|a| a.is_ipv6() == family.is_v6());
    SocketAddr::new(*address.expect("an address"), 8000)
}

fn own(scene: &Scene, actor: &str, family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(scene.actor(actor).address(family), port)
}

/// SYNs, each between the ends that its number says; sums are right where a stack would look.
fn flood(
    scene: &Scene,
    from: &str,
    to: &str,
    family: Family,
    count: u32,
    ends: impl Fn(u32) -> (SocketAddr, SocketAddr),
) {
    let shot = aim(scene, from, to, family, Way::Router);
    let (own, target) = ends(0);
    let ip = Ip::new(own.ip(), target.ip(), TCP);
    let mut frame = shot.frame(&ip.packet(&tcp(own, target, SYN, Tag::next(), 0)));
    let end = Instant::now() + LONGEST / 4;
    for number in 0..count.min(MOST_FRAMES) {
        let (own, target) = ends(number);
        let header = 14 + if family.is_v6() { 40 } else { 20 };
        if let std::net::IpAddr::V4(address) = own.ip() {
            frame[26..30].copy_from_slice(&address.octets());
            frame[24..26].copy_from_slice(&[0; 2]);
            let sum = checksum(&[&frame[14..34]]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        frame[header..header + 2].copy_from_slice(&own.port().to_be_bytes());
        frame[header + 2..header + 4].copy_from_slice(&target.port().to_be_bytes());
        scene.send(from, std::slice::from_ref(&frame));
        if number % 1024 == 0 && Instant::now() > end {
            break;
        }
    }
}
