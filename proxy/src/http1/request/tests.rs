use proptest::prelude::*;

use super::*;
use crate::http1::head::HeadScanner;

fn parse(text: &str) -> Result<RequestHead<'_>, Refusal> {
    let bytes = text.as_bytes();
    let length = HeadScanner::default()
        .scan(bytes)?
        .ok_or(Refusal::Truncated)?;
    RequestHead::parse(&bytes[..length])
}

#[test]
fn a_plain_request() {
    let head =
        parse("POST /a?b HTTP/1.1\r\nHost: h:80\r\nX:  y \r\nContent-Length: 3\r\n\r\n").unwrap();
    assert_eq!(
        (head.method, head.path.as_deref(), head.host),
        ("POST", Some("/a?b"), Some("h:80"))
    );
    assert_eq!(head.fields[1], ("X", b"y".as_slice()));
    assert_eq!(head.body, Body::Length(3));
    assert!(!head.close && !head.expects_continue && head.offers.is_empty());
}

#[test]
fn connection_and_upgrade() {
    let close = |text: &str| parse(text).unwrap().close;
    assert!(close(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n"
    ));
    assert!(close("GET / HTTP/1.0\r\nHost: h\r\n\r\n"));
    assert!(!close(
        "GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n"
    ));
    let head = parse(
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket, x/2\r\nExpect: 100-Continue\r\n\r\n",
    )
    .unwrap();
    assert!(head.withdrawal.is_empty());
    assert_eq!(head.offers, ["websocket", "x/2"]);
    assert!(head.expects_continue);
}

#[test]
fn hosts_agree_but_for_the_default_port_and_old_requests_need_none() {
    let of = |text: &str| {
        let head = parse(text).unwrap();
        (
            head.host.map(str::to_owned),
            head.authority.map(str::to_owned),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        of("GET http://web:80/ HTTP/1.1\r\nHost: web\r\n\r\n"),
        (some("web"), some("web:80"))
    );
    assert_eq!(
        of("GET http://web/ HTTP/1.1\r\nHost: web:80\r\n\r\n"),
        (some("web:80"), some("web"))
    );
    assert_eq!(of("GET / HTTP/1.0\r\n\r\n"), (None, None));
    // A server of HTTP/1.0 may read all of it as a path.
    assert_eq!(of("GET http://web/ HTTP/1.0\r\n\r\n"), (None, some("web")));
    assert_eq!(
        of("CONNECT web:443 HTTP/1.0\r\n\r\n"),
        (some("web:443"), some("web:443"))
    );
}

#[test]
#[allow(clippy::useless_format, reason = "one shape for all cases")]
fn refused_heads() {
    use Refusal::*;
    let h = "Host: h\r\n";
    for (text, why) in [
        (format!("{} / HTTP/1.1\r\n{h}\r\n", "G".repeat(65)), Method),
        (format!("GET / HTTP/1.1\r\n\r\n"), NoHost),
        (format!("GET / HTTP/1.1\r\n{h}{h}\r\n"), ManyHosts),
        (format!("GET / HTTP/1.1\r\nHost:\r\n\r\n"), Host),
        (format!("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), Host),
        (format!("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"), Host),
        (format!("GET http://x/ HTTP/1.1\r\n{h}\r\n"), HostDisagrees),
        (
            format!("GET http://h:81/ HTTP/1.1\r\n{h}\r\n"),
            HostDisagrees,
        ),
        (format!("CONNECT h:80 HTTP/1.1\r\n{h}\r\n"), HostDisagrees),
        (format!("CONNECT x:1 HTTP/1.1\r\n{h}\r\n"), HostDisagrees),
        (
            format!("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 1\r\n\r\n"),
            ConnectBody,
        ),
        (format!("GET / HTTP/1.1\r\n{h}X : y\r\n\r\n"), FieldName),
        (
            format!("GET / HTTP/1.1\r\n{h}X: y\r\n z\r\n\r\n"),
            FieldName,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}X: y\r\n\tz\r\n\r\n"),
            FieldName,
        ),
        (format!("GET / HTTP/1.1\r\n X: y\r\n{h}\r\n"), FieldName),
        (format!("GET / HTTP/1.1\r\n{h}: y\r\n\r\n"), FieldName),
        (format!("GET / HTTP/1.1\r\n{h}X\r\n\r\n"), FieldName),
        (format!("GET / HTTP/1.1\r\n{h}X: a\rb\r\n\r\n"), FieldValue),
        (format!("GET / HTTP/1.1\r\n{h}X: a\0b\r\n\r\n"), FieldValue),
        (
            format!("GET / HTTP/1.1\r\n{h}Transfer-Encoding: \x0bchunked\r\n\r\n"),
            FieldValue,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}Transfer-Encoding : chunked\r\n\r\n"),
            FieldName,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\n{h}Connection: close, Content-Length\r\nContent-Length: 1\r\n\r\n"
            ),
            ConnectionOption,
        ),
        (
            format!("GET / HTTP/1.0\r\n{h}Transfer-Encoding: chunked\r\n\r\n"),
            TransferEncoding,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}Transfer-Encoding:\tchunked\r\n\r\n"),
            Tab,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}Transfer-Encoding: chunked\t\r\n\r\n"),
            Tab,
        ),
        (
            format!("GET / HTTP/1.1\r\n{h}content-length:\t5\r\n\r\n"),
            Tab,
        ),
        (format!("GET / HTTP/1.1\r\nHost: h\t\r\n\r\n"), Tab),
        (
            format!("PUT / HTTP/1.1\r\n{h}Expect: 200-ok\r\nContent-Length: 1\r\n\r\n"),
            Expectation,
        ),
        (
            format!("PUT / HTTP/1.1\r\n{h}Expect: 100-continue, x\r\n\r\n"),
            Expectation,
        ),
        (
            format!("PUT / HTTP/1.1\r\n{h}Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
            Expectation,
        ),
        (format!("GET / HTTP/1.2\r\n{h}\r\n"), Version),
        (format!("GET / HTTP/2.0\r\n{h}\r\n"), Version),
        (format!("GET / http/1.1\r\n{h}\r\n"), Version),
        (format!("GET  / HTTP/1.1\r\n{h}\r\n"), RequestLine),
        (format!("GET /  HTTP/1.1\r\n{h}\r\n"), Version),
        (format!("GET /a b HTTP/1.1\r\n{h}\r\n"), Version),
        (format!("GET / HTTP/1.1 \r\n{h}\r\n"), RequestLine),
        (format!("GET /\r\n{h}\r\n"), RequestLine),
        (format!("G(T / HTTP/1.1\r\n{h}\r\n"), RequestLine),
        (format!(" GET / HTTP/1.1\r\n{h}\r\n"), RequestLine),
        (format!("GET\t/ HTTP/1.1\r\n{h}\r\n"), RequestLine),
        (
            format!("GET / HTTP/1.1\r\n{h}{}\r\n", "X: y\r\n".repeat(MAX_FIELDS)),
            TooManyFields,
        ),
    ] {
        match parse(&text) {
            Err(found) => assert_eq!(found, why, "{text:?}"),
            Ok(_) => panic!("not refused ({why}): {text:?}"),
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(Some(length)) = HeadScanner::default().scan(&bytes) {
            let _head = RequestHead::parse(&bytes[..length]);
        }
    }

    #[test]
    fn what_is_accepted_is_unambiguous(
        line in "(GET|POST|CONNECT|OPTIONS) (/|\\*|h:1|http://h/)[a-z%#.]{0,4} HTTP/1\\.[012]",
        fields in proptest::collection::vec("(Host|Content-Length|Transfer-Encoding|X|content_length)[ :]{1,2}[ h0-9a-z,]{0,8}", 0..5),
    ) {
        let text = format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n"));
        if let Ok(head) = parse(&text) {
            let count = |wanted: &str| head.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count();
            let least = usize::from(head.minor_version == 1);
            prop_assert!((least..=1).contains(&count("host")));
            prop_assert!(count("content-length") + count("transfer-encoding") <= 1);
            prop_assert!(head.host.is_none_or(|host| !host.is_empty()));
        }
    }
}
