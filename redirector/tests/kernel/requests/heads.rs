//! Which heads pass, and what is told of them.

use weir_abi::http::{UNFRAMED, reply, state, why};

use super::conversation::*;
use crate::{bench::Result, small::EVERY_FAMILY};

const H: &str = "GET /public/a HTTP/1.1\r\nHost: a\r\n";

/// Sends a head as the second one of a connection, behind a longer one whose bytes still stand in the
/// buffer.
fn judged(talk: &mut Conversation, head: &[u8]) -> Result {
    talk.another();
    let filler = format!("{H}A: {}\r\n\r\n", "y".repeat(900));
    assert_eq!(talk.next(filler.as_bytes()), Result::Pass);
    assert_eq!(talk.replies(OK), Result::Pass);
    talk.next(head)
}

#[test]
fn allowed_requests_pass_one_after_the_other() {
    for family in EVERY_FAMILY {
        let rules = vec![http("GET", "/public/.*")];
        let mut talk = Conversation::open(judging(rules), family, 7, 9);
        for number in 0..5 {
            talk.exchange(&format!("/public/{number}"));
        }
        let told = talk.bench.requests();
        assert_eq!(told.len(), 5);
        assert_eq!(told[3], ("GET /public/3 a".to_owned(), 200));
        assert_eq!(talk.bench.counter("pass_judged"), 5);
        assert_eq!(talk.bench.taken(), []);
        let denied = get("/private");
        assert_eq!(talk.next(&denied), Result::Drop);
        assert_eq!(talk.bench.counter("taken_over"), 1);
        assert_eq!(talk.bench.taken(), [(why::DENIED, talk.client, denied)]);
    }
}

#[test]
fn simple_heads_pass() {
    let mut talk = Conversation::new();
    for rest in [
        "\r\n",
        "A: b\tc\r\n\r\n",
        "A:\r\n\r\n",
        "Cookie: \u{e4}=1\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
        "Connection: Keep-Alive\r\n\r\n",
        "CONNECTION: close\r\n\r\n",
        "Upgrade-Insecure-Requests: 1\r\n\r\n",
    ] {
        assert_eq!(
            judged(&mut talk, format!("{H}{rest}").as_bytes()),
            Result::Pass,
            "{rest:?}"
        );
    }
    let line = "GET /public/a?x=%2f//..;\\ HTTP/1.1\r\nhOsT: a.b-c:80\r\n\r\n";
    assert_eq!(judged(&mut talk, line.as_bytes()), Result::Pass);
    let post = "POST /public/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(judged(&mut talk, post.as_bytes()), Result::Pass);
}

#[test]
fn all_else_is_the_proxys() {
    let mut talk = Conversation::new();
    for rest in [
        "Host: b\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
        "transfer_encoding: x\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n",
        "\u{b}Transfer-Encoding: chunked\r\n\r\n",
        "Content-Length: 5\r\n\r\nhello",
        "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "Content-Length: +1\r\n\r\n",
        "Content-Length: 01\r\n\r\n",
        "Content-Length: \r\n\r\n",
        "Content-Length: 0 \r\n\r\n",
        "Content_Length: 0\r\n\r\n",
        "Content-Length: 4294967297\r\n\r\n",
        "Upgrade: h2c\r\n\r\n",
        "Expect: 100-continue\r\n\r\n",
        "Connection: content-length\r\n\r\n",
        "Connection: close, x\r\n\r\n",
        "A: b\nX: y\r\n\r\n",
        "A: b\rX: y\r\n\r\n",
        "A: b\0\r\n\r\n",
        "A: b\x7f\r\n\r\n",
        "A\r\n\r\n",
        ": x\r\n\r\n",
        "A b: c\r\n\r\n",
        "A@b: c\r\n\r\n",
        "A: b\r\n c\r\n\r\n",
        "\r",
        "",
        "A: b",
    ] {
        assert_eq!(
            judged(&mut talk, format!("{H}{rest}").as_bytes()),
            Result::Drop,
            "{rest:?}"
        );
    }
    for head in [
        "GET /public/a HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET /public/a HTTP/1.1\nHost: a\r\n\r\n",
        "GET /public/a HTTP/1.1\r\n\r\n",
        "GET /public/a HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /public/a HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET /public/a HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        "GET /public/%41 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /public//a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /public/../a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/public/a HTTP/1.1\r\nHost: a\r\n\r\n",
        "get /public/a HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0",
    ] {
        assert_eq!(judged(&mut talk, head.as_bytes()), Result::Drop, "{head:?}");
    }
    let many = format!("{H}{}\r\n", "A: b\r\n".repeat(300));
    assert_eq!(judged(&mut talk, many.as_bytes()), Result::Drop, "fields");
}

#[test]
fn no_beginning_of_a_head_passes() {
    let mut talk = Conversation::new();
    let head = format!("{H}Content-Length: 0\r\nConnection: close\r\nAccept: */*\r\n\r\n");
    for end in 1..head.len() {
        assert_eq!(
            judged(&mut talk, &head.as_bytes()[..end]),
            Result::Drop,
            "{end}"
        );
    }
}

#[test]
fn a_body_passes_and_what_follows_it_is_judged() {
    let mut talk = Conversation::new();
    let head = b"POST /public/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhell";
    assert_eq!(talk.next(head), Result::Pass);
    assert_eq!(talk.replies(b""), Result::Pass);
    assert_eq!(talk.next(b"o worl"), Result::Pass);
    assert_eq!(talk.replies(OK), Result::Pass);
    assert_eq!(talk.bench.counter("pass_body"), 1);
    talk.exchange("/public/next");
    assert_eq!(talk.next(&get("/private")), Result::Drop);
}

#[test]
fn a_reply_must_end_before_the_next_request_passes() {
    let mut talk = Conversation::new();
    let mut early = 0;
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (replies, ends) in [
        (
            vec![
                &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell"[..],
                b"o wo",
            ],
            false,
        ),
        (
            vec![
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell",
                b"o wor",
            ],
            true,
        ),
        (vec![chunked], false),
        (vec![chunked, b"A\r\n0123456789\r\n"], false),
        (vec![chunked, b"0\r\n\r\n"], true),
        (vec![b"HTTP/1.1 204 No\r\n\r\n"], true),
        (vec![b"HTTP/1.1 100 Go\r\n\r\n"], false),
        (vec![b"HTTP/1.1 100 Go\r\n\r\n", OK], true),
    ] {
        talk.another();
        assert_eq!(talk.next(&get("/public/1")), Result::Pass);
        for reply in &replies {
            assert_eq!(talk.replies(reply), Result::Pass);
        }
        let wanted = if ends { Result::Pass } else { Result::Drop };
        assert_eq!(talk.next(&get("/public/2")), wanted, "{replies:?}");
        early += u64::from(!ends);
        assert_eq!(talk.bench.counter("drop_early"), early);
        assert_eq!(talk.bench.taken(), []);
    }
}

#[test]
fn a_reply_without_an_end_is_remembered() {
    let mut talk = Conversation::new();
    assert_eq!(talk.next(&get("/public/1")), Result::Pass);
    assert_eq!(
        talk.replies(b"HTTP/1.1 200 OK\r\n\r\nno length"),
        Result::Pass
    );
    // What then looks like a reply may be a part of that one.
    talk.exchange("/public/2");
    talk.exchange("/public/3");
    let (_, stream) = talk.bench.change(talk.key(), state::JUDGED, state::JUDGED);
    assert_eq!(stream.replying, reply::DONE);
    assert_ne!(stream.flags & UNFRAMED, 0);
    talk.another();
    talk.exchange("/public/1");
    let (_, stream) = talk.bench.change(talk.key(), state::JUDGED, state::JUDGED);
    assert_eq!(stream.flags & UNFRAMED, 0);
}
