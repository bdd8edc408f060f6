//! TCP in the middle of a connection that is not known: nobody can tell who opened it.

use weir_policy::model::{Peers, Protocol};

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN},
};

const FIN: u8 = 1;
const RST: u8 = 4;
/// A server's port and a client's, on either side.
const PORTS: [(u16, u16); 4] = [(80, 40000), (40001, 80), (80, 81), (50000, 50001)];

/// A segment between the pod's port and the other end's, one for each way.
fn segments(family: usize, own: u16, other: u16, flags: u8) -> [(Way, Vec<u8>); 2] {
    let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
    let craft = |from, to, ports: (u16, u16)| {
        let craft = Craft::new(from, to, Protocol::Tcp);
        craft.ports(ports.0, ports.1).detail(flags).build()
    };
    [
        (Way::FromPod, craft(pod, client, (own, other))),
        (Way::ToPod, craft(client, pod, (other, own))),
    ]
}

fn each(mut then: impl FnMut(usize, u16, u16, u8)) {
    for family in EVERY_FAMILY {
        for (own, other) in PORTS {
            for flags in [ACK, ACK | FIN, RST, RST | ACK, 0, SYN | ACK] {
                then(family, own, other, flags);
            }
        }
    }
}

#[test]
fn a_segment_without_an_entry_neither_leaves_nor_enters_an_isolated_pod() {
    let worlds = [
        world(Some(vec![]), None),
        world(None, Some(vec![])),
        world(Some(vec![]), Some(vec![])),
        // Even what a rule would let in, or through the proxy, begins with a SYN.
        world(Some(vec![rule(Peers::Any, Some(80), None)]), None),
        world(Some(vec![rule(Peers::Any, Some(80), Some(vec![]))]), None),
        world(None, Some(vec![rule(Peers::Any, None, None)])),
    ];
    for world in worlds {
        let mut bench = Bench::new();
        bench.install(&world, 0);
        each(|family, own, other, flags| {
            for (way, segment) in segments(family, own, other, flags) {
                let what = format!("{way:?} {own} {other} flags {flags}");
                assert_eq!(bench.run(way, &segment), Result::Drop, "{what}");
            }
        });
        assert!(bench.counter("drop_untracked") > 0);
        assert_eq!(bench.entries(), 0, "nothing is stored of what is dropped");
    }
}

#[test]
fn where_nothing_isolates_the_pod_nothing_is_held_against_it() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    each(|family, own, other, flags| {
        for (way, segment) in segments(family, own, other, flags) {
            assert_eq!(bench.run(way, &segment), Result::Pass);
        }
    });
}

#[test]
fn a_connection_older_than_the_programs_goes_on_where_both_directions_let_it() {
    let free = || world(None, None);
    let open = || Some(vec![rule(Peers::Any, None, None)]);
    for (world, expected) in [
        (world(open(), open()), Result::Pass),
        (world(open(), None), Result::Pass),
        (world(Some(vec![]), None), Result::Drop),
        (world(None, Some(vec![])), Result::Drop),
        // The proxy's network namespace has no socket for it: a reset.
        (
            world(Some(vec![rule(Peers::Any, None, Some(vec![]))]), None),
            Result::Redirect,
        ),
    ] {
        for family in EVERY_FAMILY {
            let mut bench = Bench::new();
            bench.met_until = u64::MAX;
            bench.install(&free(), 0);
            bench.install(&world, 0);
            for (way, segment) in segments(family, 40001, 80, ACK) {
                assert_eq!(bench.run(way, &segment), expected, "{way:?}");
            }
            for (way, segment) in segments(family, 40002, 80, SYN | ACK) {
                assert_eq!(bench.run(way, &segment), Result::Drop, "an answer: {way:?}");
            }
        }
    }
}

#[test]
fn such_a_connection_is_judged_in_both_directions_for_ever() {
    for family in EVERY_FAMILY {
        for closed in [world(Some(vec![]), None), world(None, Some(vec![]))] {
            for (own, other) in PORTS {
                let mut bench = Bench::new();
                bench.install(&world(None, None), 0);
                for (way, segment) in segments(family, own, other, ACK) {
                    assert_eq!(bench.run(way, &segment), Result::Pass);
                }
                bench.install(&closed, 0);
                for (way, segment) in segments(family, own, other, ACK) {
                    assert_eq!(bench.run(way, &segment), Result::Drop, "{way:?} {own}");
                }
            }
        }
    }
}
