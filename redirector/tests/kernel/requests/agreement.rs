//! What the kernel lets pass the proxy would, and both end it at the same byte: of every head that the
//! fuzzers know, and of heads made of what parsers differ about.

use std::{path::Path, time::Duration};

use proptest::{prelude::*, test_runner::TestRunner};
use weir_abi::http::state;
use weir_policy::http::{Request, matcher::Matcher, normalise::readings};
use weir_proxy::http1::{body::Body, request::RequestHead};

use super::conversation::*;
use crate::bench::Result;

/// What the kernel says of bytes that come at once: the end of the head and of its body.
fn kernel(talk: &mut Conversation, bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.is_empty() || bytes.len() > 3000 {
        return None;
    }
    // So many in a second would be the proxy's.
    while talk.try_another() != Result::Pass {
        std::thread::sleep(Duration::from_millis(20));
    }
    let start = talk.client;
    if talk.next(bytes) != Result::Pass {
        talk.bench.taken();
        return None;
    }
    let (_, stream) = talk.bench.change(talk.key(), state::JUDGED, state::JUDGED);
    Some((stream.head_end - start, stream.next - start))
}

/// Fails where the kernel passes what the proxy would not, or frames it otherwise.
fn agree(talk: &mut Conversation, matcher: &Matcher, bytes: &[u8]) -> bool {
    let Some((head_end, next)) = kernel(talk, bytes) else {
        return false;
    };
    let shown = String::from_utf8_lossy(bytes).into_owned();
    let head = RequestHead::parse(&bytes[..head_end as usize]);
    let head = head.unwrap_or_else(|refusal| panic!("the proxy refuses ({refusal}): {shown:?}"));
    let path = head.path.as_deref();
    let request = Request {
        method: head.method,
        path,
        host: head.host,
        headers: &head.fields,
        body: head.body != Body::EMPTY,
    };
    assert!(
        matcher.first_match(&request).is_some(),
        "no rule allows {shown:?}"
    );
    assert!(
        readings(path.unwrap_or_default()).is_empty(),
        "two readings: {shown:?}"
    );
    let length = match head.body {
        Body::Length(length) => length,
        Body::Chunked(_) | Body::UntilClose => panic!("no length: {shown:?}"),
    };
    assert_eq!(u64::from(next - head_end), length, "{shown:?}");
    assert!(
        !head.expects_continue && head.offers.is_empty(),
        "{shown:?}"
    );
    true
}

fn rules() -> Vec<weir_policy::model::HttpRule> {
    vec![http("GET|POST|PUT|[A-Z]+", "/public/.*"), http(".*", "/a")]
}

#[test]
fn the_proxy_agrees_about_every_known_head() {
    let (mut talk, matcher) = both();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/http_head");
    let mut seen = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
        agree(&mut talk, &matcher, &bytes);
        seen += 1;
    }
    assert!(seen > 10, "{seen} heads");
}

fn both() -> (Conversation, Matcher) {
    let talk = Conversation::open(judging(rules()), 0, 1000, 5000);
    (talk, Matcher::new(rules()).expect("compiles"))
}

const FIELDS: [&str; 26] = [
    "Host: a\r\n",
    "host:a.b:80\r\n",
    "Host: \ta\r\n",
    "Host: a \r\n",
    "HOST: [::1]\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "content-length:12\r\n",
    "Content-Length: 3, 3\r\n",
    "Content_Length: 3\r\n",
    "Content-Length : 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: \tkeep-alive\r\n",
    "Connection: Content-Length\r\n",
    "Upgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
    "X: y\r\n",
    "X:\r\n",
    "X: a\tb\r\n",
    "X: \u{e9}\r\n",
    "X: a\r\n b\r\n",
    "X: a\n",
];
const LINES: [&str; 12] = [
    "GET /public/x HTTP/1.1\r\n",
    "POST /public/x HTTP/1.1\r\n",
    "DELETE /public/x HTTP/1.1\r\n",
    "CONNECT /public/x HTTP/1.1\r\n",
    "GET /a HTTP/1.1\r\n",
    "GET /public/%41 HTTP/1.1\r\n",
    "GET /public/x?%zz HTTP/1.1\r\n",
    "GET /public/../a HTTP/1.1\r\n",
    "GET /public/x#y HTTP/1.1\r\n",
    "GET http://a/public/x HTTP/1.1\r\n",
    "GET  /public/x HTTP/1.1\r\n",
    "GET /public/x HTTP/1.0\r\n",
];

#[test]
fn the_proxy_agrees_about_heads_that_parsers_differ_about() {
    let (mut talk, matcher) = both();
    let strategy = (
        prop_oneof![4 => Just(0usize), 2 => Just(1), 3 => 0..LINES.len()],
        prop::bool::weighted(0.9),
        proptest::collection::vec(prop_oneof![2 => 20..24usize, 1 => 0..FIELDS.len()], 0..3),
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        prop_oneof![
            4 => Just(""),
            1 => Just("abc"),
            1 => Just("abcGET /private HTTP/1.1\r\n\r\n")
        ],
    );
    let mut runner = TestRunner::new(ProptestConfig::with_cases(3_000));
    let talk = std::cell::RefCell::new(&mut talk);
    let passed = std::cell::Cell::new(0);
    let run = runner.run(&strategy, |(line, host, fields, changes, body)| {
        let mut head = LINES[line].to_owned();
        if host {
            head.push_str(FIELDS[0]);
        }
        for field in fields {
            head.push_str(FIELDS[field]);
        }
        head.push_str("\r\n");
        head.push_str(body);
        let mut bytes = head.into_bytes();
        for (place, byte) in changes {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if agree(&mut talk.borrow_mut(), &matcher, &bytes) {
            passed.set(passed.get() + 1);
        }
        Ok(())
    });
    run.expect("kernel and proxy agree");
    assert!(passed.get() > 200, "only {} heads passed", passed.get());
}
