//! Clients that do not play by TCP's rules: what a server takes, it takes as it was judged.

use weir_abi::http::why;

use super::conversation::*;
use crate::{
    bench::{Result, Way},
    packet::{ACK, Craft, SYN},
};

/// A forbidden head of this length.
fn evil(length: usize) -> Vec<u8> {
    let start = "GET /private HTTP/1.1\r\nHost: a\r\nA: ";
    format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4)).into_bytes()
}

#[test]
fn nothing_ahead_of_the_boundary_passes() {
    let mut talk = Conversation::new();
    let good = get("/public/a");
    let ahead = talk.client.wrapping_add(good.len() as u32);
    assert_eq!(talk.says(ahead, ACK, &evil(80)), Result::Drop);
    assert_eq!(talk.next(&good), Result::Pass);
    assert_eq!(
        talk.says(ahead, ACK, &evil(80)),
        Result::Drop,
        "not accepted yet"
    );
}

#[test]
fn a_head_that_comes_again_is_judged_again() {
    // As if the server had dropped the first one for its checksum.
    let mut talk = Conversation::new();
    let good = get("/public/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    let start = talk.client;
    assert_eq!(talk.next(&good), Result::Pass);
    assert_eq!(talk.says(start, ACK, &good), Result::Pass, "the same again");
    assert_eq!(talk.says(start, ACK, &evil(good.len())), Result::Drop);
}

#[test]
fn a_head_that_comes_again_ends_where_it_did() {
    let mut talk = Conversation::new();
    let start = talk.client;
    let head = b"POST /public/p HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n";
    assert_eq!(talk.next(head), Result::Pass);
    assert_eq!(
        talk.next(&evil(200)),
        Result::Pass,
        "a body is not looked at"
    );
    let shorter = String::from_utf8_lossy(head).replace("200", "100");
    assert_eq!(talk.says(start, ACK, shorter.as_bytes()), Result::Drop);
    assert_eq!(
        talk.says(start + 20, ACK, b"GET /private HTTP/1.1"),
        Result::Drop,
        "a part"
    );
}

#[test]
fn a_part_of_a_head_is_not_written_anew() {
    let mut talk = Conversation::new();
    let start = talk.client;
    assert_eq!(talk.next(&get("/public/a")), Result::Pass);
    assert_eq!(talk.says(start, ACK, b"GET /priva"), Result::Drop);
    assert_eq!(talk.says(start + 9, ACK, b"te"), Result::Drop);
}

#[test]
fn what_begins_in_what_the_server_has_does_not_carry_more() {
    let mut talk = Conversation::new();
    talk.exchange("/public/1");
    let mut bytes = b"xxxxxxxxxx".to_vec();
    bytes.extend(evil(80));
    assert_eq!(talk.says(talk.client - 10, ACK, &bytes), Result::Drop);
    let [(reason, sequence, held)] = &talk.bench.taken()[..] else {
        panic!("one connection is taken over")
    };
    assert_eq!(
        (*reason, *sequence, held),
        (why::PIPELINED, talk.client - 10, &bytes)
    );
}

#[test]
fn urgent_data_is_the_proxys() {
    let mut talk = Conversation::new();
    let mark = talk.says(talk.client, ACK | URG, b"");
    assert_eq!(
        mark,
        Result::Drop,
        "a byte to come that is taken out of the stream"
    );
    assert_eq!(
        talk.says(talk.client, ACK | URG, &get("/public/a")),
        Result::Drop
    );
    assert_eq!(talk.bench.taken()[0].0, why::URGENT);
}

#[test]
fn a_syn_of_the_client_moves_nothing() {
    let mut talk = Conversation::new();
    talk.exchange("/public/1");
    let ahead = talk.client + 5000;
    assert_eq!(
        talk.syn(SYN, ahead, 0),
        Result::Pass,
        "the server answers it as it likes"
    );
    assert_eq!(talk.says(ahead + 1, ACK, &evil(80)), Result::Drop);
    talk.exchange("/public/2");
}

#[test]
fn a_new_connection_of_the_same_ports_begins_with_the_servers_word() {
    let mut talk = Conversation::new();
    talk.exchange("/public/1");
    (talk.client, talk.server) = (77_000, 99_000);
    talk.again();
    talk.exchange("/public/2");
    assert_eq!(talk.next(&get("/private")), Result::Drop);
}

#[test]
fn what_the_client_acknowledges_opens_nothing() {
    let mut talk = Conversation::new();
    talk.server += 100_000;
    assert_eq!(talk.next(&get("/public/a")), Result::Pass);
    assert_eq!(talk.next(&evil(80)), Result::Drop);
}

#[test]
fn data_with_a_syn_or_before_its_answer_passes_nowhere() {
    let mut talk = Conversation::new();
    (talk.client, talk.server) = (50_000, 60_000);
    let craft = Craft {
        payload: evil(80),
        ..talk.towards(SYN, talk.client, 0)
    };
    // Fast open is the proxy's.
    assert_eq!(talk.bench.run(Way::ToPod, &craft.build()), Result::Redirect);
    let mut talk = Conversation::new();
    (talk.client, talk.server) = (50_000, 60_000);
    assert_eq!(talk.syn(SYN, talk.client, 0), Result::Pass);
    assert_eq!(talk.says(talk.client + 1, ACK, &evil(80)), Result::Drop);
    assert_eq!(
        talk.says(talk.client + 1, 0, &evil(80)),
        Result::Drop,
        "without ACK"
    );
}

#[test]
fn options_that_no_socket_goes_on_with_are_the_proxys() {
    let mut talk = Conversation::new();
    // Multipath TCP (RFC 8684), TCP-AO (RFC 5925), MD5 (RFC 2385), an option cut short.
    for option in [
        vec![30, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![29, 4, 1, 1],
        vec![19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
        vec![2, 9, 5, 180],
    ] {
        let craft = Craft {
            announced: option.clone(),
            payload: Vec::new(),
            ..talk.towards(SYN, 90_000, 0)
        };
        let craft = craft.ports(41_000, 80);
        let result = talk.bench.run(Way::ToPod, &craft.build());
        assert_eq!(result, Result::Redirect, "{option:?}");
    }
}

#[test]
fn numbers_wrap() {
    for client in [u32::MAX - 60, u32::MAX - 20, u32::MAX - 1, u32::MAX] {
        let bench = judging(vec![http("GET", "/public/.*")]);
        let mut talk = Conversation::open(bench, 0, client, u32::MAX - 30);
        for number in 0..4 {
            talk.exchange(&format!("/public/{number}"));
        }
        assert_eq!(talk.next(&evil(80)), Result::Drop);
    }
}

#[test]
fn a_fragment_hands_the_connection_over() {
    let mut talk = Conversation::new();
    talk.exchange("/public/1");
    let craft = Craft {
        fragment: Some((0, true, 5)),
        payload: evil(84),
        ..talk.towards(ACK, talk.client, talk.server)
    };
    assert_eq!(talk.bench.run(Way::ToPod, &craft.build()), Result::Drop);
    assert_eq!(talk.bench.taken()[0].0, why::FRAGMENT);
}

/// Of HTTP/2 a server speaks by itself; who takes the connection over must get that whole.
#[test]
fn a_server_that_speaks_before_it_is_asked_is_held() {
    let mut talk = Conversation::new();
    let (sequence, acknowledged) = (talk.server, talk.client);
    let says = |talk: &mut Conversation, bytes: &[u8]| {
        let craft = Craft {
            payload: bytes.to_vec(),
            ..talk.back(ACK, sequence, acknowledged)
        };
        talk.bench.run(Way::FromPod, &craft.build())
    };
    assert_eq!(says(&mut talk, b""), Result::Pass, "a bare ACK");
    assert_eq!(says(&mut talk, b"settings"), Result::Drop);
    assert_eq!(talk.bench.counter("drop_ahead"), 1);
    talk.exchange("/public/a");
}
