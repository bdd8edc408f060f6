//! The first message of a TLS client: a name once read never becomes another one, and it is the
//! only one that the message has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_proxy::tls::{Hello, read as client_hello};

// The first byte says where the message is split.
fuzz_target!(|bytes: &[u8]| {
    let Some((split, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = client_hello(bytes);
    let part = client_hello(&bytes[..bytes.len().min(usize::from(*split))]);
    match (&part, &whole) {
        // The connection is judged as soon as the message is there: what follows is not read.
        (Hello::Complete(early), Hello::Complete(late)) => assert_eq!(early, late),
        (Hello::Bad(reason), Hello::Complete(_) | Hello::Partial) => {
            panic!("good after it was bad: {reason}")
        }
        (Hello::Complete(_), Hello::Partial) => panic!("complete, then not"),
        _ => {}
    }
    if let Hello::Complete(Some(name)) = whole {
        let message = handshake(bytes);
        let names = names(&message).expect("the message can be taken apart");
        // Names compare without case.
        let names: Vec<_> = names.iter().map(|n| n.to_ascii_lowercase()).collect();
        let name = name.to_ascii_lowercase().into_bytes();
        assert_eq!(names, [name], "another reader finds other names");
    }
});

/// The payload of the handshake records at the beginning (RFC 8446, 5.1).
fn handshake(mut bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let [22, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (record, after) = rest.split_at(length);
        payload.extend_from_slice(record);
        bytes = after;
    }
    payload
}

/// Every host name of a ClientHello (RFC 8446, 4.1.2; RFC 6066, 3).
fn names(message: &[u8]) -> Option<Vec<&[u8]>> {
    let (_, mut rest) = message.split_at_checked(4)?;
    let body = take(&mut rest, &message[1..4])?;
    let (_, mut rest) = body.split_at_checked(34)?;
    for width in [1, 2, 1] {
        vector(&mut rest, width)?;
    }
    let mut extensions = vector(&mut rest, 2)?;
    let mut names = Vec::new();
    while let [high, low, rest @ ..] = extensions {
        extensions = rest;
        let mut content = vector(&mut extensions, 2)?;
        if [*high, *low] != [0, 0] {
            continue;
        }
        let mut list = vector(&mut content, 2)?;
        // What a name of another kind looks like is not defined, so nothing is read behind it.
        while let [0, rest @ ..] = list {
            list = rest;
            names.push(vector(&mut list, 2)?);
        }
    }
    Some(names)
}

/// A vector with its length, of `width` bytes, before it.
fn vector<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (length, after) = rest.split_at_checked(width)?;
    *rest = after;
    take(rest, length)
}

fn take<'a>(rest: &mut &'a [u8], length: &[u8]) -> Option<&'a [u8]> {
    let length = length
        .iter()
        .fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}
