//! Tables are for everybody: what one pod sends takes nothing from another one.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_lab::Topology;

use crate::attack::{Findings, Way, aim};
use crate::common::{FAMILIES, Family, Http, PATIENCE, WEIR, in_both_topologies};
use crate::frame::transport::{SYN, TCP, UDP, tcp, udp};
use crate::frame::{Frame, checksum, ip::Ip};
use crate::scene::{DATAGRAMS, Scene, WEB};
use crate::wire::{Tag, enter};

in_both_topologies!(
    forged_openings_of_a_muted_pod_evict_nothing,
    allowed_openings_to_many_ports_evict_nothing,
    first_fragments_evict_nothing,
);

/// No flood is larger or longer.
const MOST_FRAMES: u32 = 400_000;
const LONGEST: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 40;
/// More answered flows than one endpoint's share has room for.
const ANSWERED: u32 = 64_000;
/// Datagrams of which the first halves are on their way.
const HALVES: usize = 8;

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
        let to = [service(scene, family), own(scene, "server", family, WEB)];
        let client = scene.actor("client").address(family);
        flood(scene, "muted", "server", family, |number| {
            // The neighbours of the client, and the client; few to the backend itself.
            let from = match client {
                IpAddr::V4(v4) => {
                    let [a, b, c, _] = v4.octets();
                    IpAddr::from([a, b, c, number as u8])
                }
                IpAddr::V6(v6) => {
                    let [a, b, c, d, e, f, g, _] = v6.segments();
                    IpAddr::from([a, b, c, d, e, f, g, number as u8 as u16])
                }
            };
            let to = to[usize::from(number % 16 == 15)];
            (SocketAddr::new(from, (number >> 8) as u16 | 0x4000), to)
        });
        // The server lets go of what says nothing for half a minute.
        alive(&mut kept);
    }
}

fn allowed_openings_to_many_ports_evict_nothing(topology: Topology) {
    let (scene, _alone) = scene(topology);
    let mut kept = connections(scene);
    for family in FAMILIES {
        let service = service(scene, family);
        let (from, to) = (scene.actor("loud"), scene.actor("open"));
        let (from, to) = (from.address(family), to.address(family));
        flood(scene, "loud", "open", family, |number| match number % 3 {
            // It may send to the service, whose pods do not let it in.
            0 => (SocketAddr::new(from, (number / 3) as u16), service),
            _ => {
                let own = SocketAddr::new(from, 1024 + (number >> 12) as u16);
                (own, SocketAddr::new(to, 1 + (number & 0xfff) as u16))
            }
        });
        // The server lets go of what says nothing for half a minute.
        alive(&mut kept);
    }
    // Flows that are in use go for nobody: in a table for all, others would find no room.
    for family in FAMILIES {
        let before = table_full(scene);
        fill(scene, "bystander", "private", family);
        let full = table_full(scene);
        assert!(full > before + 1000, "{family:?}: the share is not used up");
        connections(scene);
        assert_eq!(table_full(scene), full, "{family:?}: others find no room");
    }
}

/// Flows of two pods that answer each other, which cost nobody but these two.
fn fill(scene: &Scene, from: &str, to: &str, family: Family) {
    let end = Instant::now() + LONGEST;
    let ends = |number: u32| {
        let one = own(scene, from, family, 1024 + number as u16);
        (one, own(scene, to, family, DATAGRAMS))
    };
    let datagram = |from: &str, to: &str, (one, other): (SocketAddr, SocketAddr)| {
        let shot = aim(scene, from, to, family, Way::Router);
        let packet = shot.ip(UDP).packet(&udp(one, other, Tag::next(), 0));
        shot.frame(&packet)
    };
    let (one, other) = ends(0);
    let mut there = datagram(from, to, (one, other));
    let mut back = datagram(to, from, (other, one));
    for number in 0..ANSWERED {
        let (one, other) = ends(number);
        between(&mut there, one, other);
        between(&mut back, other, one);
        scene.send(from, std::slice::from_ref(&there));
        scene.send(to, std::slice::from_ref(&back));
        if number % 1024 == 0 && Instant::now() > end {
            println!("{family:?}: {number} flows in {LONGEST:?}");
            break;
        }
    }
}

/// Packets that found no room in the connection table so far.
fn table_full(scene: &Scene) -> u64 {
    let words = ["status", "--lab", &scene.name, "-o", "json"];
    let output = Command::new(WEIR).args(words).output().expect("weir");
    let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let count = status["counters"]["drop_table_full"].as_u64();
    count.unwrap_or_else(|| panic!("no such counter: {status}"))
}

/// Datagrams of another pod, of which the first halves are on their way.
fn first_fragments_evict_nothing(topology: Topology) {
    let (scene, _alone) = scene(topology);
    let mut found = Findings::default();
    // The kernel's own store of fragments is the whole node's: here it is never full.
    enter(&scene.node_netns(), |_| {
        for limit in [
            "ipv4/ipfrag_high_thresh",
            "ipv6/ip6frag_high_thresh",
            "netfilter/nf_conntrack_frag6_high_thresh",
        ] {
            let path = Path::new("/proc/sys/net").join(limit);
            fs::write(&path, "1073741824").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    });
    for family in FAMILIES {
        let whole = halves_come_together(scene, family, || {});
        found.expect(
            whole == HALVES,
            format!("{family:?}: the control: {whole} came together"),
        );
        let shot = aim(scene, "loud", "open", family, Way::Router);
        let (from, to) = (shot.source(shot.high()), shot.target(DATAGRAMS));
        let payload = udp(from, to, Tag::next(), 24);
        let whole = halves_come_together(scene, family, || {
            let end = Instant::now() + LONGEST / 2;
            for number in 0..MOST_FRAMES / 8 {
                let mut ip = shot.ip(UDP);
                ip.id = number as u16;
                scene.send("loud", &[shot.frame(&ip.fragment(0, true, &payload))]);
                if Instant::now() > end {
                    break;
                }
            }
        });
        let said = format!("{family:?}: {whole} of {HALVES} came together");
        found.expect(whole == HALVES, said);
    }
    found.none();
}

/// Datagrams of `client` in two fragments each: the first ones, something between, the second ones.
/// How many second ones come to the server.
fn halves_come_together(scene: &Scene, family: Family, between: impl FnOnce()) -> usize {
    let mut seconds = Vec::new();
    for _ in 0..HALVES {
        let shot = aim(scene, "client", "server", family, Way::Router);
        let (from, to) = (shot.source(shot.high()), shot.target(DATAGRAMS));
        let mut whole = udp(from, to, Tag::next(), 2000);
        whole.truncate(1208);
        whole.extend(shot.tag.fill(800));
        let mut packets = shot.frames(&shot.ip(UDP).fragments(&whole, &[1208]));
        seconds.push((shot.tag, packets.remove(1)));
        scene.send("client", &packets);
    }
    between();
    for (_, second) in &seconds {
        scene.send("client", std::slice::from_ref(second));
    }
    let ear = &scene.actor("server").ear;
    let came = || seconds.iter().filter(|(tag, _)| ear.heard(*tag)).count();
    let deadline = Instant::now() + PATIENCE / 4;
    while came() < HALVES && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    came()
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

/// SYNs, each between the ends that its number says.
fn flood(
    scene: &Scene,
    from: &str,
    to: &str,
    family: Family,
    ends: impl Fn(u32) -> (SocketAddr, SocketAddr),
) {
    let shot = aim(scene, from, to, family, Way::Router);
    let (own, target) = ends(0);
    let ip = Ip::new(own.ip(), target.ip(), TCP);
    let mut frame = shot.frame(&ip.packet(&tcp(own, target, SYN, Tag::next(), 0)));
    let end = Instant::now() + LONGEST;
    for number in 0..MOST_FRAMES {
        // Each twice: an LRU keeps what was used again before what was not.
        let (own, target) = ends(number / 2);
        between(&mut frame, own, target);
        scene.send(from, std::slice::from_ref(&frame));
        if number % 1024 == 0 && Instant::now() > end {
            println!("{family:?}: {number} frames in {LONGEST:?}");
            break;
        }
    }
}

/// Gives a frame other ends; sums are right where a router looks.
fn between(frame: &mut Frame, own: SocketAddr, target: SocketAddr) {
    let ports = match (own.ip(), target.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame[26..30].copy_from_slice(&from.octets());
            frame[30..34].copy_from_slice(&to.octets());
            frame[24..26].copy_from_slice(&[0; 2]);
            let sum = checksum(&[&frame[14..34]]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            34
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame[22..38].copy_from_slice(&from.octets());
            frame[38..54].copy_from_slice(&to.octets());
            54
        }
        (from, to) => panic!("{from} and {to}: two families"),
    };
    frame[ports..ports + 2].copy_from_slice(&own.port().to_be_bytes());
    frame[ports + 2..ports + 4].copy_from_slice(&target.port().to_be_bytes());
}
