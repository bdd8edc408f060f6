//! What is counted of flows, and that the end of each is told once.

use weir_abi::{
    conntrack::{BESIDE, Connection, ConnectionKey, FIN_LOCAL, FIN_REMOTE, OPENING, RESET},
    event::{Ended, SWEPT, Sweep},
    policy::direction::{EGRESS, INGRESS},
};
use weir_policy::model::Protocol;

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN},
};

const FIN: u8 = 1;
const RST: u8 = 4;
/// Of IPv4 and of IPv6, each with a TCP header.
const HEADERS: [u64; 2] = [40, 60];
const PAYLOAD: u64 = 8;

/// A connection to the pod: the client's and the pod's packets, in order, by whether they come from
/// the pod.
fn run(bench: &mut Bench, family: usize, port: u16, packets: &[(bool, u8)]) {
    let (pod, client) = (ip(POD[family]), ip(CLIENT[family]));
    for (from_pod, flags) in packets {
        let (way, craft) = match from_pod {
            true => {
                let craft = Craft::new(pod, client, Protocol::Tcp).ports(80, port);
                (Way::FromPod, craft)
            }
            false => {
                let craft = Craft::new(client, pod, Protocol::Tcp).ports(port, 80);
                (Way::ToPod, craft)
            }
        };
        let packet = craft.detail(*flags).build();
        assert_eq!(bench.run(way, &packet), Result::Pass);
    }
}

fn ways(ended: &Ended) -> ([u64; 2], [u64; 2]) {
    (ended.entry.packets, ended.entry.bytes)
}

#[test]
fn a_closed_connection_is_told_with_the_packet_that_acknowledges_the_last_fin() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        let open = [(false, SYN), (true, SYN | ACK), (false, ACK), (true, ACK)];
        run(&mut bench, family, 1000, &open);
        run(&mut bench, family, 1000, &[(false, FIN | ACK)]);
        run(&mut bench, family, 1000, &[(true, FIN | ACK)]);
        assert!(bench.ended().is_empty(), "an acknowledgement is to come");
        run(&mut bench, family, 1000, &[(false, ACK)]);
        let ended = bench.ended();
        let [ended] = &ended[..] else {
            panic!("told {} times", ended.len());
        };
        let each = HEADERS[family] + PAYLOAD;
        let (packets, bytes) = ways(ended);
        assert_eq!(packets[usize::from(INGRESS)], 4);
        assert_eq!(packets[usize::from(EGRESS)], 3);
        assert_eq!(bytes[usize::from(INGRESS)], 4 * each);
        assert_eq!(bytes[usize::from(EGRESS)], 3 * each);
        assert_eq!(ended.entry.closed, FIN_LOCAL | FIN_REMOTE);
        assert_eq!(ended.entry.direction, INGRESS);
        assert!(ended.entry.opened > 0 && ended.time > ended.entry.opened);
        assert_eq!((ended.key.local_port, ended.key.remote_port), (80, 1000));
        // What comes late changes nothing any more.
        run(&mut bench, family, 1000, &[(true, FIN | ACK), (false, ACK)]);
        assert!(bench.ended().is_empty());
    }
}

#[test]
fn a_reset_is_told_at_once_and_the_next_connection_counts_anew() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    run(&mut bench, 0, 1000, &[(false, SYN), (true, RST | ACK)]);
    let ended = bench.ended();
    assert_eq!(ended.len(), 1);
    assert_eq!(ways(&ended[0]).0, [1, 1]);
    assert_eq!(ended[0].entry.closed, RESET);
    run(&mut bench, 0, 1000, &[(false, SYN), (true, RST | ACK)]);
    let ended = bench.ended();
    assert_eq!(ended.len(), 1, "another connection by the same ports");
    assert_eq!(ways(&ended[0]).0, [1, 1]);
}

#[test]
fn a_packet_that_opens_and_comes_again_is_of_one_flow() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    run(
        &mut bench,
        0,
        1000,
        &[(false, SYN), (false, SYN), (false, SYN)],
    );
    assert!(bench.ended().is_empty());
    run(&mut bench, 0, 1000, &[(true, RST | ACK)]);
    let ended = bench.ended();
    assert_eq!(ended.len(), 1);
    assert_eq!(ways(&ended[0]).0, [3, 1]);
}

#[test]
fn a_packet_that_opens_long_after_is_of_another_flow() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    run(&mut bench, 0, 1000, &[(false, SYN)]);
    age(&bench);
    run(&mut bench, 0, 1000, &[(false, SYN)]);
    let ended = bench.ended();
    assert_eq!(ended.len(), 1);
    assert_eq!(ways(&ended[0]).0, [1, 0]);
}

#[test]
fn the_same_ports_used_again_end_the_flow_before() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    run(
        &mut bench,
        0,
        1000,
        &[(false, SYN), (true, SYN | ACK), (false, ACK)],
    );
    run(&mut bench, 0, 1000, &[(false, SYN)]);
    let ended = bench.ended();
    assert_eq!(ended.len(), 1);
    assert_eq!(ways(&ended[0]).0, [2, 1]);
    assert_eq!(ended[0].entry.closed, 0);
}

/// Everything in the table was last seen a long time ago.
fn age(bench: &Bench) {
    let mut table = bench.conntrack();
    let all: Vec<(ConnectionKey, Connection)> =
        table.iter().filter_map(std::result::Result::ok).collect();
    for (key, entry) in all {
        let entry = Connection {
            last_seen: 1,
            ..entry
        };
        table.insert(key, entry, 0).expect("it is written");
    }
}

#[test]
fn an_idle_flow_is_told_when_its_time_is_over_and_its_entry_goes() {
    let mut bench = Bench::new();
    bench.share = 4096;
    bench.install(&world(None, None), 0);
    let flows = SWEPT as u16 + 10;
    for port in 0..flows {
        let query = Craft::new(ip(POD[1]), ip(CLIENT[1]), Protocol::Udp).ports(2000 + port, 53);
        assert_eq!(bench.run(Way::FromPod, &query.build()), Result::Pass);
    }
    let sweep = |from, all| Sweep {
        endpoint: 1,
        from,
        all,
    };
    bench.sweep(sweep(0, 0));
    assert!(bench.ended().is_empty(), "their time is not over");
    age(&bench);
    bench.sweep(sweep(0, 0));
    let first = bench.ended();
    assert_eq!(first.len(), SWEPT as usize, "as many as one run looks at");
    bench.sweep(sweep(SWEPT, 0));
    let rest = bench.ended();
    assert_eq!(rest.len(), 10);
    assert_eq!(bench.entries(), 0);
    for ended in first.iter().chain(&rest) {
        assert_eq!(ended.entry.packets, [0, 1]);
        assert_eq!(ended.entry.flags & OPENING, OPENING, "nobody answered");
        assert_ne!(ended.key.protocol, BESIDE);
    }
    bench.sweep(sweep(0, 0));
    assert!(bench.ended().is_empty());
}

#[test]
fn the_flows_of_a_pod_that_goes_are_told_before_it_goes() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    run(
        &mut bench,
        0,
        1000,
        &[(false, SYN), (true, SYN | ACK), (false, ACK)],
    );
    run(&mut bench, 1, 1001, &[(false, SYN), (true, RST | ACK)]);
    assert_eq!(bench.ended().len(), 1);
    let all = Sweep {
        endpoint: 1,
        from: 0,
        all: 1,
    };
    bench.sweep(all);
    let ended = bench.ended();
    assert_eq!(ended.len(), 1, "the other was told before");
    assert_eq!(ended[0].key.remote_port, 1000);
    bench.sweep(all);
    assert!(bench.ended().is_empty(), "once");
}

#[test]
fn a_flow_that_makes_room_for_another_is_told() {
    let mut bench = Bench::new();
    bench.share = 32;
    bench.install(&world(None, None), 0);
    for port in 1..=400 {
        run(&mut bench, 0, port, &[(false, SYN)]);
    }
    let ended = bench.ended();
    assert_eq!(ended.len(), 400 - 32, "all but those that are there");
    assert!(ended.iter().all(|ended| ended.entry.packets == [1, 0]));
}
