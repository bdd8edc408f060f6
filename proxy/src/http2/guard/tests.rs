use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn client() -> Guard {
    let mut guard = Guard::new(Side::Client, Instant::now());
    guard.received(super::super::frames::PREFACE, Instant::now());
    guard.received(&frame(SETTINGS, 0, 0, b""), Instant::now());
    guard
}

/// How many of these it takes until they are an offence.
fn until(guard: &mut Guard, frames: &[Vec<u8>]) -> (usize, Option<Refusal>) {
    let count = (0..5000).find(|_| {
        frames
            .iter()
            .for_each(|frame| guard.received(frame, Instant::now()));
        guard.offence().is_some()
    });
    (count.unwrap_or(5000), guard.offence())
}

#[test]
fn frames_that_ask_for_nothing_are_bounded() {
    let ping = frame(6, 0, 0, &[0; 8]);
    for idle in [
        ping.clone(),
        frame(SETTINGS, 0, 0, b""),
        frame(2, 0, 3, &[0; 5]),
        frame(DATA, 0, 1, b""),
        frame(8, 0, 0, &[0, 0, 0, 1]),
        frame(0xfe, 0, 0, b"unknown"),
    ] {
        let (count, offence) = until(&mut client(), &[idle]);
        assert_eq!(offence, Some(Refusal::Flood));
        assert!((900..1100).contains(&count), "{count}");
    }
    // What goes with something is no flood.
    let data = frame(DATA, 0, 1, b"x");
    let busy = [data, ping.clone(), frame(8, 0, 0, &[0, 0, 0, 1])];
    assert_eq!(until(&mut client(), &busy), (5000, None));
    // Nor is what comes slowly.
    let mut guard = client();
    let mut now = Instant::now();
    for _ in 0..5000 {
        guard.received(&ping, now);
        now += Duration::from_millis(20);
    }
    assert_eq!(guard.offence(), None);
}

#[test]
fn resets_are_bounded() {
    let mut guard = client();
    let mut stream = 1;
    while guard.offence().is_none() && stream < 10_000 {
        guard.received(&frame(HEADERS, END_HEADERS, stream, b"x"), Instant::now());
        guard.received(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]), Instant::now());
        stream += 2;
    }
    assert_eq!(guard.offence(), Some(Refusal::ResetFlood));
    assert!(stream < 500, "{stream}");
}

#[test]
fn header_blocks_are_bounded_and_timed() {
    let empty = frame(CONTINUATION, 0, 1, b"");
    let mut guard = client();
    guard.received(&frame(HEADERS, 0, 1, b"x"), Instant::now());
    assert!(guard.block_since().is_some());
    let (count, offence) = until(&mut guard, &[empty]);
    assert_eq!((count, offence), (31, Some(Refusal::HeadTooLarge)));
    let mut guard = client();
    guard.received(&frame(HEADERS, 0, 1, b"x"), Instant::now());
    let (count, offence) = until(&mut guard, &[frame(CONTINUATION, 0, 1, &[0; 16384])]);
    assert_eq!((count, offence), (7, Some(Refusal::HeadTooLarge)));
    let mut guard = client();
    let mut whole = frame(HEADERS, END_HEADERS, 1, b"xy");
    let last = whole.pop().unwrap();
    guard.received(&whole, Instant::now());
    assert!(guard.block_since().is_some());
    guard.received(&[last], Instant::now());
    assert!(guard.block_since().is_none());
}

#[test]
fn a_peer_says_its_settings_first() {
    let mut server = Guard::new(Side::Server, Instant::now());
    assert!(!server.is_settled() && server.offence().is_none());
    server.received(b"HTTP/1.1 400 Bad Request\r\n\r\n", Instant::now());
    assert_eq!(server.offence(), Some(Refusal::Frames));
    assert!(!server.is_settled());
    let mut server = Guard::new(Side::Server, Instant::now());
    server.received(&frame(SETTINGS, 0, 0, b""), Instant::now());
    assert!(server.is_settled());
}

/// What the engine answers before anybody is shown the request.
#[test]
fn what_the_engine_refuses_by_itself_is_told() {
    let mut guard = client();
    for stream in [1, 3, 5, 7] {
        guard.received(&frame(HEADERS, END_HEADERS, stream, b"x"), Instant::now());
    }
    guard.accepted(1);
    guard.sent(&frame(SETTINGS, 0, 0, b""));
    for (stream, code) in [(1, 1), (3, 1), (5, 7)] {
        guard.sent(&frame(RST_STREAM, 0, stream, &[0, 0, 0, code]));
    }
    guard.sent(&frame(HEADERS, END_HEADERS, 7, b"431"));
    guard.sent(&frame(RST_STREAM, 0, 7, &[0, 0, 0, 1]));
    let told = [
        Refusal::Malformed,
        Refusal::TooManyStreams,
        Refusal::HeadTooLarge,
    ];
    assert_eq!(guard.refused(), told);
    assert_eq!(guard.refused(), []);
}
