use super::*;

fn check(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<Head, Refusal> {
    let mut builder = http::Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    let (parts, ()) = builder.body(()).unwrap().into_parts();
    Head::check(parts, true, 100)
}

fn why(method: &str, uri: &str, fields: &[(&str, &str)]) -> Option<Refusal> {
    check(method, uri, fields).err()
}

#[test]
fn a_request_is_seen_as_policy_sees_one() {
    let fields = [
        ("x-a", "1"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
    ];
    let head = check("POST", "http://web:80/a/../b?c", &fields).unwrap();
    head.show(|request| {
        assert_eq!(request.path, Some("/a/../b?c"));
        assert_eq!((request.method, request.host), ("POST", Some("web:80")));
        let fields: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| (*name, std::str::from_utf8(value).unwrap()))
            .collect();
        let wanted = [
            ("host", "web:80"),
            ("x-a", "1"),
            ("te", "trailers"),
            ("cookie", "a=1; b=2"),
        ];
        assert_eq!(fields, wanted);
    });
    // What goes on is what came.
    let sent = head.forwarded(&[]).unwrap();
    assert_eq!(sent.headers().get_all("cookie").iter().count(), 2);
    assert!(!sent.headers().contains_key("host"));
    assert_eq!(sent.uri(), "http://web:80/a/../b?c");
}

#[test]
fn edits_change_what_goes_on() {
    let head = check("GET", "http://h/", &[("x-a", "1"), ("x-b", "2")]).unwrap();
    let append = HeaderEdit::Append {
        name: "X-A".into(),
        value: "good".into(),
    };
    let sent = head.forwarded(&[HeaderEdit::Remove("X-A".into()), append]);
    let sent = sent.unwrap();
    assert_eq!(sent.headers()["x-a"], "good");
    assert_eq!(sent.headers()["x-b"], "2");
    let bad = HeaderEdit::Append {
        name: "a b".into(),
        value: String::new(),
    };
    assert!(head.forwarded(&[bad]).is_none());
}

#[test]
fn a_host_without_authority_becomes_one() {
    let head = check("GET", "/a", &[("host", "web")]).unwrap();
    assert_eq!(head.host(), "web");
    assert_eq!(head.forwarded(&[]).unwrap().uri(), "http://web/a");
}

#[test]
fn the_refusals_are_those_of_http1() {
    use Refusal::*;
    for (method, uri, fields, refusal) in [
        ("GET", "/", &[][..], NoHost),
        ("GET", "/", &[("host", "a"), ("host", "a")], ManyHosts),
        ("GET", "http://a/", &[("host", "b")], HostDisagrees),
        ("GET", "http://a:81/", &[("host", "a")], HostDisagrees),
        ("GET", "http://u@a/", &[], Host),
        ("GET", "/", &[("host", "a b")], Host),
        ("GET", "/", &[("host", "")], Host),
        ("GET", "ftp://a/", &[], Target),
        ("GET", "http://a/%", &[], Escape),
        ("GET", "http://a/%00", &[], Escape),
        ("GET", "http://a/\u{e9}", &[], NonAscii),
        (
            "POST",
            "http://a/",
            &[("content-length", "1, 1")],
            ContentLength,
        ),
        (
            "POST",
            "http://a/",
            &[("content-length", "+1")],
            ContentLength,
        ),
        (
            "POST",
            "http://a/",
            &[("transfer-encoding", "chunked")],
            TransferEncoding,
        ),
        ("POST", "http://a/", &[("content_length", "1")], Lookalike),
        ("POST", "http://a/", &[("expect", "coffee")], Expectation),
        ("CONNECT", "a", &[], Target),
        ("CONNECT", "a:1", &[("content-length", "1")], ConnectBody),
        ("CONNECT", "a:80", &[("host", "a")], HostDisagrees),
    ] {
        assert_eq!(
            why(method, uri, fields),
            Some(refusal),
            "{method} {uri} {fields:?}"
        );
    }
    let long = format!("http://a/{}", "x".repeat(100));
    assert_eq!(why("GET", &long, &[]), Some(PathTooLong));
    let many: Vec<_> = (0..=MAX_FIELDS).map(|_| ("x", "y")).collect();
    assert_eq!(why("GET", "http://a/", &many), Some(TooManyFields));
    for (method, uri, fields) in [
        ("GET", "http://a:80/", &[("host", "A")][..]),
        ("GET", "https://a/", &[("expect", "100-Continue")]),
        ("CONNECT", "a:1", &[("host", "a:1")]),
        ("POST", "http://a/", &[("content-length", "1")]),
    ] {
        assert_eq!(why(method, uri, fields), None, "{method} {uri} {fields:?}");
    }
}
