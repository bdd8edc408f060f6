//! HTTP heads: the same however they arrive, and with one meaning to a reader that only knows lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_policy::http::{HeaderEdit, normalise::readings};
use weir_proxy::http1::{
    Refusal,
    body::Body,
    head::HeadScanner,
    old::strict,
    request::RequestHead,
    response::{Asked, ResponseHead},
    rewrite::rewrite,
};

fuzz_target!(|bytes: &[u8]| {
    let mut scanner = HeadScanner::default();
    let scanned = scanner.scan(bytes);
    let whole = (scanned, scanner.start());
    assert_eq!(
        byte_by_byte(bytes, HeadScanner::default()),
        whole,
        "depends on the split"
    );
    // The engine parses delimited heads only; nothing else may crash it either.
    drop(RequestHead::parse(bytes));
    drop(ResponseHead::parse(bytes, &Asked::default()));
    old_response(bytes);
    let Ok(Some(end)) = scanned else { return };
    let head = &bytes[scanner.start()..end];
    response(head);
    if let Ok(parsed) = RequestHead::parse(head) {
        request(head, &parsed);
    }
});

/// A scanner that meets each byte on its own; its first word counts.
fn byte_by_byte(bytes: &[u8], mut scanner: HeadScanner) -> (Result<Option<usize>, Refusal>, usize) {
    for end in 0..=bytes.len() {
        match scanner.scan(&bytes[..end]) {
            Ok(None) => {}
            done => return (done, scanner.start()),
        }
    }
    (Ok(None), scanner.start())
}

/// A head of an old server is strict after it was put right, and says what it said.
fn old_response(bytes: &[u8]) {
    let mut scanner = HeadScanner::response();
    let scanned = scanner.scan(bytes);
    let again = byte_by_byte(bytes, HeadScanner::response());
    assert_eq!(again, (scanned, 0), "depends on the split");
    let Ok(Some(end)) = scanned else { return };
    let head = strict(&bytes[..end]);
    assert_eq!(strict(&head), head);
    assert!(
        head.split_inclusive(|byte| *byte == b'\n')
            .all(|line| line.ends_with(b"\r\n"))
    );
    if ResponseHead::parse(&head, &Asked::default()).is_ok() {
        let once = |name: &str| {
            let (_, fields) = lines(&head);
            fields
                .iter()
                .filter(|(found, _)| found.eq_ignore_ascii_case(name))
                .count()
        };
        assert!(once("content-length") + once("transfer-encoding") <= 1);
    }
}

fn request(head: &[u8], parsed: &RequestHead<'_>) {
    let (line, fields) = lines(head);
    let fields: Vec<(&str, &[u8])> = fields;
    assert_eq!(parsed.fields, fields, "other fields than the lines say");
    let [method, target, version] = line.as_slice() else {
        panic!("a request line of {} parts", line.len());
    };
    assert_eq!(parsed.method, *method);
    let of = |wanted: &str| {
        let named = fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let named = of("host");
    assert!(named.len() == 1 || (named.is_empty() && *version == "HTTP/1.0"));
    match (named.first(), parsed.host) {
        (Some(field), host) => assert_eq!(host.map(str::as_bytes), Some(*field)),
        (None, host) => assert_eq!(host.is_some(), *method == "CONNECT"),
    }
    match (&parsed.path, *target) {
        (None, authority) => {
            assert_eq!(*method, "CONNECT");
            assert!(
                parsed
                    .host
                    .is_some_and(|host| host.eq_ignore_ascii_case(authority))
            );
        }
        (Some(path), target) if target.starts_with('/') || target == "*" => {
            assert_eq!(path, target);
        }
        (Some(path), absolute) => {
            // The root may be left out.
            let path = path.strip_prefix('/').unwrap_or(path);
            assert!(absolute.ends_with(path), "{absolute:?} has not {path:?}");
        }
    }
    if let Some(path) = &parsed.path {
        readings(path);
    }
    let framing = (of("content-length"), of("transfer-encoding"));
    match parsed.body {
        Body::Chunked(_) => {
            assert_eq!((framing.0.len(), framing.1.len()), (0, 1));
            assert_eq!(*version, "HTTP/1.1");
        }
        Body::Length(0) if framing.0.is_empty() => assert!(framing.1.is_empty()),
        Body::Length(length) => {
            assert!(framing.1.is_empty());
            let [digits] = framing.0.as_slice() else {
                panic!("{} lengths", framing.0.len());
            };
            let digits = std::str::from_utf8(digits).expect("digits");
            assert_eq!(digits.parse(), Ok(length));
        }
        Body::UntilClose => panic!("a request without an end"),
    }
    rewritten(head, parsed);
}

/// What header rules change is changed, and nothing else.
fn rewritten(head: &[u8], parsed: &RequestHead<'_>) {
    assert_eq!(rewrite(head, &[]), head);
    let edits = [
        HeaderEdit::Remove("X-A".into()),
        HeaderEdit::Append {
            name: "X-A".into(),
            value: "v".into(),
        },
    ];
    let changed = rewrite(head, &edits);
    let scanned = HeadScanner::default().scan(&changed);
    assert_eq!(scanned, Ok(Some(changed.len())));
    let mut wanted = parsed.fields.clone();
    wanted.retain(|(name, _)| !name.eq_ignore_ascii_case("x-a"));
    wanted.push(("X-A", b"v"));
    match RequestHead::parse(&changed) {
        Ok(again) => {
            assert_eq!(again.fields, wanted);
            assert_eq!(
                (again.method, &again.path, again.host, again.body),
                (
                    parsed.method,
                    &parsed.path,
                    parsed.host,
                    parsed.body.clone()
                )
            );
        }
        Err(error) => assert_eq!(error, Refusal::TooManyFields),
    }
}

fn response(head: &[u8]) {
    for (head_only, connect) in [(false, false), (true, false), (false, true)] {
        let asked = Asked {
            head: head_only,
            connect,
            offers: vec!["websocket".into()],
            unjudged: false,
        };
        if ResponseHead::parse(head, &asked).is_err() {
            continue;
        }
        let (_, fields) = lines(head);
        let framing = fields.iter().filter(|(name, _)| {
            ["content-length", "transfer-encoding"]
                .iter()
                .any(|framing| name.eq_ignore_ascii_case(framing))
        });
        assert!(framing.count() <= 1, "a response framed twice");
    }
}

/// The first line's words, and the fields, as the simplest reader would cut them.
fn lines(head: &[u8]) -> (Vec<&str>, Vec<(&str, &[u8])>) {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let words = std::str::from_utf8(first).unwrap_or_default();
    let fields = lines.take_while(|line| !line.is_empty()).map(|line| {
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        let name = std::str::from_utf8(&line[..colon]).expect("a name");
        let mut value = &line[colon + 1..];
        while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
            value = rest;
        }
        (name, value)
    });
    (words.split(' ').collect(), fields.collect())
}
