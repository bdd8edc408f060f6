//! Drops that no policy made: each is counted, few are told of, and verdicts come through.

use std::time::{Duration, Instant};

use nix::{
    sched::{CpuSet, sched_getcpu, sched_setaffinity},
    unistd::Pid,
};
use weir_policy::model::Protocol;

use crate::bench::{Bench, Result, Way};
use crate::packet::Craft;
use crate::small::*;

/// More than the ring could hold.
const FLOOD: u64 = 12_000;
/// What is told of in each interval at the most.
const DROPS: u128 = 32;
const INTERVAL: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);

/// Each CPU counts for itself.
fn stay() {
    let mut own = CpuSet::new();
    own.set(sched_getcpu().expect("a CPU"))
        .expect("one of them");
    sched_setaffinity(Pid::from_raw(0), &own).expect("this thread's own");
}

#[test]
fn a_flood_of_broken_packets_leaves_the_ring_to_verdicts() {
    stay();
    let mut bench = Bench::new();
    bench.install(&world(Some(vec![]), None), 0);
    let spoofed = Craft::new(ip(CLIENT[0]), ip(BACKEND[0]), Protocol::Tcp).build();
    let begun = Instant::now();
    for _ in 0..FLOOD {
        assert_eq!(bench.run(Way::FromPod, &spoofed), Result::Drop);
    }
    let intervals = begun.elapsed().as_millis() / INTERVAL.as_millis() + 2;
    let denied = Craft::new(ip(CLIENT[0]), ip(POD[0]), Protocol::Tcp).build();
    assert_eq!(bench.run(Way::ToPod, &denied), Result::Drop);
    let events = bench.events();
    let drops = events.iter().filter(|event| event.set == 0).count();
    assert_eq!(events.len() - drops, 1, "the verdict");
    assert!(drops > 0, "nothing is told");
    assert!(
        drops as u128 <= DROPS * intervals,
        "{drops} told in {intervals} intervals"
    );
    assert_eq!(bench.counter("drop_spoofed"), FLOOD);
    assert_eq!(bench.counter("lost_event"), 0);
    // A drop that comes later is told of again.
    let until = Instant::now() + PATIENCE;
    while bench.events().is_empty() {
        assert!(Instant::now() < until, "silent for ever");
        assert_eq!(bench.run(Way::FromPod, &spoofed), Result::Drop);
    }
}
