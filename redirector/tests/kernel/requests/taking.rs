//! A connection on its way to the proxy.

use weir_abi::http::{CHANGED, OTHERWISE, UNKNOWN, reply, state, why};

use super::conversation::*;
use crate::{bench::Result, packet::ACK, small::EVERY_FAMILY};

/// What is held has not passed: it comes again, from the proxy or the client.
#[test]
fn what_is_held_is_not_counted() {
    for family in EVERY_FAMILY {
        let rules = vec![http("GET", "/public/.*")];
        let mut talk = Conversation::open(judging(rules), family, 7, 9);
        talk.exchange("/public/1");
        let key = talk.key();
        let carried = |talk: &Conversation| {
            let entry = talk.bench.conntrack().get(&key, 0).expect("it is tracked");
            (entry.packets, entry.bytes)
        };
        let before = carried(&talk);
        assert!(before.0.iter().all(|packets| *packets >= 2), "{before:?}");
        assert_eq!(talk.next(&get("/private")), Result::Drop);
        assert_eq!(carried(&talk), before);
        assert_eq!(talk.says(talk.client, ACK, b""), Result::Pass);
        assert_eq!(carried(&talk).0[0], before.0[0] + 1, "what passes is");
    }
}

#[test]
fn it_is_held_then_frozen_then_the_proxys() {
    for family in EVERY_FAMILY {
        let rules = vec![http("GET", "/public/.*")];
        let mut talk = Conversation::open(judging(rules), family, 7, 9);
        talk.exchange("/public/1");
        let (key, denied) = (talk.key(), get("/private"));
        assert_eq!(talk.next(&denied), Result::Drop);
        // All that the client sends is told, and none of it passes.
        let more = talk.client + denied.len() as u32;
        assert_eq!(talk.says(more, ACK, &get("/public/2")), Result::Drop);
        assert_eq!(
            talk.says(talk.client, ACK, b""),
            Result::Pass,
            "an acknowledgement"
        );
        let told: Vec<(u8, u32)> = talk
            .bench
            .taken()
            .iter()
            .map(|(why, at, _)| (*why, *at))
            .collect();
        assert_eq!(told, [(why::DENIED, talk.client), (why::HELD, more)]);

        let mut change = |was, to| talk.bench.change(key, was, to);
        assert_eq!(change(state::JUDGED, state::FROZEN).0, OTHERWISE);
        let (result, stream) = change(state::TAKING, state::FROZEN);
        assert_eq!((result, stream.state), (CHANGED, state::FROZEN));
        assert_eq!((stream.accepted, stream.next), (talk.client, talk.client));
        assert_eq!((stream.received, stream.sent), (talk.server, talk.server));
        assert_eq!((stream.replying, stream.why), (reply::DONE, why::DENIED));
        assert_eq!((stream.client.mss, stream.server.scale), (1460, 7));
        assert_eq!(talk.says(talk.client, ACK, b""), Result::Drop, "frozen");

        assert_eq!(
            talk.bench.change(key, state::FROZEN, state::PROXIED).0,
            CHANGED
        );
        assert_eq!(talk.next(&get("/public/3")), Result::Redirect);
        talk.another();
        assert_eq!(
            talk.bench
                .change(talk.key(), state::JUDGED, state::TAKING)
                .0,
            CHANGED
        );
        assert_eq!(talk.next(&get("/public/4")), Result::Drop);
    }
}

#[test]
fn a_connection_that_nobody_knows_is_not_changed() {
    let mut talk = Conversation::new();
    let mut key = talk.key();
    key.remote_port += 1;
    assert_eq!(
        talk.bench.change(key, state::JUDGED, state::TAKING).0,
        UNKNOWN
    );
}

#[test]
fn a_flood_of_takeovers_ends_at_its_budget_and_falls_to_the_proxy() {
    let mut talk = Conversation::new();
    let mut redirected = false;
    for _ in 0..700 {
        let opens = talk.try_another();
        if opens == Result::Redirect {
            redirected = true;
            break;
        }
        assert_eq!(talk.next(&get("/private")), Result::Drop);
    }
    assert!(redirected, "new connections are the proxy's from their SYN");
    assert!(talk.bench.counter("taken_over") <= 501);
}

#[test]
fn where_nobody_takes_over_the_proxy_has_all() {
    let mut talk = Conversation::new();
    talk.bench.nobody_takes_over();
    assert_eq!(talk.try_another(), Result::Redirect);
}
