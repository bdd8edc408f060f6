//! What a client may not do: by frames that no library sends.

use std::time::Duration;

use super::*;

/// A connection whose frames are written by hand.
struct Raw(TcpStream);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field as a literal that no table remembers (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127);
        bytes.push(text.len() as u8);
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields.iter();
    fields
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "h"),
    (":path", "/ok"),
];

fn get(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [&GET[..], more].concat();
    frame(1, 0x5, stream, &block(&fields))
}

impl Raw {
    async fn new(lab: &Lab) -> Self {
        let mut raw = Self(TcpStream::connect(lab.proxy).await.unwrap());
        raw.send(frames::PREFACE).await;
        raw.send(&frame(frames::SETTINGS, 0, 0, b"")).await;
        raw
    }

    /// Sends, to a proxy that may have had enough.
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.ok();
    }

    /// Reads frames until this one, or the end.
    async fn until(&mut self, wanted: impl Fn(u8, u32) -> bool) -> Option<Vec<u8>> {
        loop {
            let mut header = [0; 9];
            soon(self.0.read_exact(&mut header)).await.ok()?;
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; length as usize];
            soon(self.0.read_exact(&mut payload)).await.ok()?;
            let stream = u32::from_be_bytes(header[5..9].try_into().unwrap());
            if wanted(header[3], stream) {
                return Some(payload);
            }
        }
    }

    async fn reset(&mut self, stream: u32) -> Option<u32> {
        let code = self.until(|kind, of| kind == frames::RST_STREAM && of == stream);
        Some(u32::from_be_bytes(code.await?.try_into().unwrap()))
    }

    /// The error code of the GOAWAY that ends it.
    async fn gone(&mut self) -> Option<u32> {
        let told = self.until(|kind, _| kind == 7).await?;
        Some(u32::from_be_bytes(told[4..8].try_into().unwrap()))
    }
}

const CALM: Option<u32> = Some(11);

#[tokio::test]
async fn malformed_heads_reset_their_stream_and_are_told() {
    let mut lab = Lab::new().await;
    let mut raw = Raw::new(&lab).await;
    let cases: [&[(&str, &str)]; 5] = [
        &[("connection", "close")],
        &[("transfer-encoding", "chunked")],
        &[("te", "gzip")],
        &[(":path", "/ok")],
        &[("x", "y"), (":path", "/ok")],
    ];
    for (count, (stream, fields)) in (1..).step_by(2).zip(cases).enumerate() {
        raw.send(&get(stream, fields)).await;
        assert_eq!(raw.reset(stream).await, Some(1), "{fields:?}");
        refused(&mut lab, Refusal::Malformed).await;
        assert_eq!(counted(&lab, Refusal::Malformed), count as u64 + 1);
    }
    let no_path = frame(1, 0x5, 101, &block(&GET[..3]));
    raw.send(&no_path).await;
    assert_eq!(raw.reset(101).await, Some(1));
    refused(&mut lab, Refusal::Malformed).await;
    lab.assert_server_untouched().await;
}

/// What cannot be a field at all ends the connection: its compression may be off.
#[tokio::test]
async fn fields_that_are_none_end_the_connection() {
    for more in [
        ("Upper", "x"),
        ("a b", "x"),
        ("x", "a\r\nb"),
        ("x", "a\0b"),
        (":unknown", "x"),
    ] {
        let mut lab = Lab::new().await;
        let mut raw = Raw::new(&lab).await;
        raw.send(&get(1, &[more])).await;
        assert!(raw.gone().await.is_some_and(|code| code != 0), "{more:?}");
        refused(&mut lab, Refusal::Frames).await;
        lab.assert_server_untouched().await;
    }
}

#[tokio::test]
async fn floods_end_the_connection() {
    let ping = frame(6, 0, 0, &[0; 8]);
    let settings = frame(frames::SETTINGS, 0, 0, b"");
    let mut endless = frame(1, 0, 1, &block(&GET));
    endless.extend(frame(frames::CONTINUATION, 0, 1, b"").repeat(100));
    let reset = |stream| frame(frames::RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    let resets = (0..1000).map(|n| 2 * n + 1);
    let resets: Vec<u8> = resets
        .flat_map(|n| [get(n, &[]), reset(n)].concat())
        .collect();
    for flood in [ping.repeat(3000), settings.repeat(3000), endless, resets] {
        let mut lab = Lab::new().await;
        let mut raw = Raw::new(&lab).await;
        raw.send(&flood).await;
        assert_eq!(raw.gone().await, CALM);
        let known = [Refusal::Flood, Refusal::ResetFlood, Refusal::HeadTooLarge];
        assert!(known.iter().any(|why| counted(&lab, *why) == 1));
        let told = |reason: &str| known.iter().any(|why| why.reason() == reason);
        while !told(&lab.flow().await.reason) {}
    }
}

/// Read or not, everything is answered or given up.
#[tokio::test]
async fn frames_that_are_none_end_the_connection() {
    for (bytes, why) in [
        // A frame before SETTINGS; a frame too large; a window that overflows.
        (frame(6, 0, 0, &[0; 7]), Refusal::Frames),
        (vec![0xff; 9], Refusal::Frames),
        (frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), Refusal::Frames),
        (frame(0, 0, 1, b"x"), Refusal::Frames),
        (frame(1, 0x5, 2, &block(&GET)), Refusal::Frames),
        (frame(1, 0x5, 1, &[0xff; 20]), Refusal::Frames),
    ] {
        let mut lab = Lab::new().await;
        let mut raw = Raw::new(&lab).await;
        raw.send(&bytes).await;
        assert!(raw.gone().await.is_some_and(|code| code != 0), "{bytes:?}");
        refused(&mut lab, why).await;
    }
    let mut lab = Lab::new().await;
    let mut raw = Raw(TcpStream::connect(lab.proxy).await.unwrap());
    raw.send(frames::PREFACE).await;
    raw.send(&frame(6, 0, 0, &[0; 8])).await;
    assert_eq!(raw.gone().await, CALM);
    refused(&mut lab, Refusal::Frames).await;
}

#[tokio::test]
async fn streams_at_once_are_bounded() {
    let mut lab = Lab::new().await;
    let mut raw = Raw::new(&lab).await;
    let streams: Vec<u32> = (0..=100).map(|n| 2 * n + 1).collect();
    for stream in &streams {
        raw.send(&get(*stream, &[])).await;
    }
    assert_eq!(raw.reset(201).await, Some(7));
    refused(&mut lab, Refusal::TooManyStreams).await;
}

#[tokio::test]
async fn a_header_list_is_bounded() {
    let mut lab = Lab::new().await;
    let mut raw = Raw::new(&lab).await;
    let value = "x".repeat(120);
    let more: Vec<_> = (0..500).map(|_| ("x-many", value.as_str())).collect();
    let fields = block(&[&GET[..], &more].concat());
    let (first, rest) = fields.split_at(16384);
    raw.send(&frame(1, 0x1, 1, first)).await;
    let mut pieces = rest.chunks(16384).peekable();
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { 0x4 } else { 0 };
        raw.send(&frame(frames::CONTINUATION, last, 1, piece)).await;
    }
    let status = raw.until(|kind, stream| kind == 1 && stream == 1).await;
    assert!(status.is_some());
    refused(&mut lab, Refusal::HeadTooLarge).await;
    lab.assert_server_untouched().await;
}

#[tokio::test]
async fn heads_that_do_not_end_are_not_waited_for() {
    let limits = Limits {
        head_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    for bytes in [frame(1, 0, 1, &block(&GET)), get(1, &[])[..12].to_vec()] {
        let mut lab = Lab::with(limits).await;
        let mut raw = Raw::new(&lab).await;
        raw.send(&bytes).await;
        assert_eq!(raw.gone().await, CALM);
        refused(&mut lab, Refusal::HeadTimeout).await;
    }
    // Nor is a preface.
    let mut lab = Lab::with(limits).await;
    let mut raw = Raw(TcpStream::connect(lab.proxy).await.unwrap());
    raw.send(&frames::PREFACE[..20]).await;
    assert_eq!(raw.gone().await, None);
    refused(&mut lab, Refusal::HeadTimeout).await;
}

#[tokio::test]
async fn refused_requests_are_bounded() {
    let mut lab = Lab::new().await;
    let mut raw = Raw::new(&lab).await;
    for n in 0..300 {
        raw.send(&get(2 * n + 1, &[("host", "other")])).await;
    }
    assert_eq!(raw.gone().await, CALM);
    assert!(counted(&lab, Refusal::HostDisagrees) >= 100);
    while lab.flow().await.reason != Refusal::Flood.reason() {}
}

#[tokio::test]
async fn a_reader_that_gives_no_window_is_given_up() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let mut lab = Lab::with(limits).await;
    let mut send = client(&lab).await;
    let answer = ask(&mut send, "/ok").await;
    let mut server = server(&lab).await;
    let (_, mut respond) = server.next().await;
    let mut down = ok(&mut respond);
    down.send_data(vec![b'x'; 1 << 20].into(), false).unwrap();
    let _unread = soon(answer).await.unwrap();
    refused(&mut lab, Refusal::Stalled).await;
    assert_eq!(counted(&lab, Refusal::Stalled), 1);
    // The server is told.
    let reason = soon(std::future::poll_fn(|cx| down.poll_reset(cx)))
        .await
        .unwrap();
    assert_eq!(reason, Reason::CANCEL);
}

/// Content-Length against what comes (RFC 9113, 8.1.1).
#[tokio::test]
async fn a_body_is_as_long_as_it_says() {
    for body in ["", "xy"] {
        let mut lab = Lab::new().await;
        let mut raw = Raw::new(&lab).await;
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "h"),
            (":path", "/ok"),
            ("content-length", "1"),
        ];
        raw.send(&frame(1, 0x4, 1, &block(&head))).await;
        let mut server = server(&lab).await;
        let (mut request, _respond) = server.next().await;
        raw.send(&frame(0, 0x1, 1, body.as_bytes())).await;
        let end = soon(request.body_mut().data()).await.unwrap();
        assert!(end.is_err(), "{end:?}");
        assert_eq!(raw.reset(1).await, Some(1));
        assert_eq!(lab.flow().await.verdict, Disposition::Error);
    }
}

/// An answer may come early; then the rest of what the client says is waited for only so long.
#[tokio::test]
async fn half_a_stream_does_not_stay() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let mut lab = Lab::with(limits).await;
    let mut send = client(&lab).await;
    let (answer, mut messages) = call(&mut send, "/ok").await;
    let mut server = server(&lab).await;
    let (mut request, mut respond) = server.next().await;
    ok(&mut respond).send_data("all".into(), true).unwrap();
    assert_eq!(got(answer).await.unwrap().body, b"all");
    let reset = soon(std::future::poll_fn(|cx| messages.poll_reset(cx))).await;
    assert_eq!(reset.unwrap(), Reason::NO_ERROR);
    let end = soon(request.body_mut().data()).await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::CANCEL));
    assert_eq!(lab.flow().await.verdict, Disposition::Allowed);
}

/// They do not wait for it one after another.
#[tokio::test]
async fn streams_share_a_server_that_is_silent() {
    let limits = Limits {
        connect_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let lab = Lab::with(limits).await;
    let mut send = client(&lab).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(ask(&mut send, "/ok").await);
    }
    let (_silent, _) = soon(lab.server.accept()).await.unwrap();
    for answer in answers {
        assert_eq!(got(answer).await.unwrap().status, 502);
    }
    lab.assert_server_untouched().await;
}
