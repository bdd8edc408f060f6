//! The order in which a change reaches the maps: what is new stands before anything leads to it, and
//! what is old goes when no program reads it any more.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use aya::maps::{Array, LpmTrie, Map, MapData, lpm_trie::Key};
use weir_abi::{
    Address,
    policy::{AddressValue, Config},
};
use weir_policy::model::{Peer, Peers, Pod, Port, PortMatch, Protocol, World};

use crate::bench::Bench;
use crate::small::*;

/// The fewest entries that a map may have.
const LEAST: usize = 64;
/// Half of what a change waits before it takes old entries away.
const AWHILE: Duration = Duration::from_millis(10);
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(20);

/// An ingress rule of the subject: so many ranges, each with an exception.
fn with_ranges(ranges: u8, ports: &[u16]) -> World {
    let ranges = (0..ranges).map(|number| Peer::Cidr {
        cidr: format!("198.18.{number}.0/24").parse().expect("a range"),
        except: vec![
            format!("198.18.{number}.7/32")
                .parse()
                .expect("an exception"),
        ],
        cluster_too: true,
    });
    let mut rule = rule(Peers::OneOf(ranges.collect()), None, None);
    rule.ports = ports
        .iter()
        .map(|port| PortMatch {
            protocol: Protocol::Tcp,
            port: Port::Range(*port, *port),
        })
        .collect();
    world(Some(vec![rule]), None)
}

fn with_more_pods(mut world: World, count: usize) -> World {
    let backend = world.pods[1].clone();
    world.pods.extend((0..count).map(|number| Pod {
        name: format!("more-{number}"),
        addresses: vec![Ipv4Addr::from_bits(0x0af4_0100 + number as u32).into()],
        ..backend.clone()
    }));
    world
}

/// As the maps have it: length of the prefix and address.
fn range(number: u8) -> (u32, Address) {
    (
        96 + 24,
        Ipv4Addr::new(198, 18, number, 0).to_ipv6_mapped().octets(),
    )
}

fn exception(number: u8) -> (u32, Address) {
    (
        128,
        Ipv4Addr::new(198, 18, number, 7).to_ipv6_mapped().octets(),
    )
}

fn addresses(bench: &Bench) -> LpmTrie<MapData, Address, AddressValue> {
    let pinned = MapData::from_pin(bench.pin("ADDRESSES")).expect("it is pinned");
    LpmTrie::try_from(Map::LpmTrie(pinned)).expect("a trie")
}

fn keys(bench: &Bench) -> BTreeSet<(u32, Address)> {
    let map = addresses(bench);
    let keys = map.keys().map(|key| key.expect("readable"));
    keys.map(|key| (key.prefix_len(), key.data())).collect()
}

/// Ranges that no rule names any more: the compiler keeps them for one more change.
fn unused(bench: &mut Bench, ranges: u8) {
    bench.install(&with_ranges(ranges, &[]), 0);
    bench.install(&world(Some(vec![]), None), 0);
    assert!(keys(bench).contains(&range(0)) && keys(bench).contains(&exception(0)));
}

/// Between the two the exception would be judged as the range. A map that is full stops the change
/// in each place.
#[test]
fn an_exception_stands_before_the_range_that_it_is_an_exception_to() {
    let mut halfway = 0;
    for left in 0..4 {
        let mut bench = Bench::sized("addresses=64");
        bench.install(&world(Some(vec![]), None), 0);
        let more = LEAST - left - keys(&bench).len();
        bench.install(&with_more_pods(world(Some(vec![]), None), more), 0);
        assert_eq!(keys(&bench).len(), LEAST - left);
        let change = with_more_pods(with_ranges(1, &[]), more);
        let refused = bench.try_install(&change, 0).is_err();
        let keys = keys(&bench);
        let (range, exception) = (keys.contains(&range(0)), keys.contains(&exception(0)));
        assert!(exception || !range, "{left} entries of room");
        assert_eq!(refused, !range, "{left} entries of room");
        halfway += usize::from(exception && !range);
    }
    assert!(halfway > 0, "the change never stopped between the two");
}

#[test]
fn verdicts_stand_before_the_addresses_that_they_are_for() {
    let mut bench = Bench::sized("policy=64");
    bench.install(&world(Some(vec![]), None), 0);
    let before = keys(&bench);
    let ports: Vec<u16> = (0..100).map(|number| 1000 + 2 * number).collect();
    let refused = bench.try_install(&with_ranges(1, &ports), 0);
    let refused = refused.map(drop).expect_err("no room").to_string();
    assert!(refused.contains("POLICY"), "{refused}");
    assert_eq!(keys(&bench), before);
}

/// A program that has just read the class of an address still finds that class's verdicts.
#[test]
fn old_entries_stay_until_the_programs_that_read_them_are_done() {
    let mut bench = Bench::new();
    let mut stayed = Vec::new();
    for _ in 0..TRIES {
        unused(&mut bench, 1);
        let pinned = MapData::from_pin(bench.pin("CONFIG")).expect("it is pinned");
        let config: Array<MapData, Config> = Array::try_from(Map::Array(pinned)).expect("an array");
        let map = addresses(&bench);
        let before = config.get(&0, 0).expect("readable").revision;
        let key = Key::new(range(0).0, range(0).1);
        let class = map.get(&key, 0).expect("it is there").class;
        let watch = thread::spawn(move || {
            while config.get(&0, 0).expect("readable").revision == before {}
            let begun = Instant::now();
            while map.get(&key, 0).is_ok_and(|value| value.class == class) {
                assert!(begun.elapsed() < PATIENCE, "it never goes");
            }
            begun.elapsed()
        });
        bench.install(&world(Some(vec![]), None), 0);
        assert!(!keys(&bench).contains(&range(0)));
        stayed.push(watch.join().expect("it goes at last"));
        if stayed.iter().any(|time| *time >= AWHILE) {
            return;
        }
    }
    panic!("gone at once: {stayed:?}");
}

/// Else what is excluded would fall to the range around it.
#[test]
fn a_range_goes_before_its_exceptions() {
    const RANGES: u8 = 200;
    let mut bench = Bench::new();
    for _ in 0..TRIES {
        unused(&mut bench, RANGES);
        let map = addresses(&bench);
        let class = |(length, address)| map.get(&Key::new(length, address), 0).map(|v| v.class);
        let (range, own) = (
            class(range(0)).expect("there"),
            class(exception(0)).expect("there"),
        );
        assert_ne!(range, own);
        let (watching, done) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while !done.load(Relaxed) {
                    let now = class(exception(0)).ok();
                    assert_ne!(now, Some(range), "it fell to the range");
                    watching.store(true, Relaxed);
                }
            });
            while !(watching.load(Relaxed) || watch.is_finished()) {
                thread::yield_now();
            }
            bench.install(&world(Some(vec![]), None), 0);
            done.store(true, Relaxed);
            watch.join().expect("nothing fell to a range");
        });
        assert!(!keys(&bench).contains(&exception(0)));
    }
}
