//! Chunked bodies: the same however they arrive, and as long as a simple reader finds them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_proxy::http1::{Refusal, chunked::ChunkDecoder};

// The first byte says how large the pieces are.
fuzz_target!(|bytes: &[u8]| {
    let Some((size, body)) = bytes.split_first() else {
        return;
    };
    let whole = pieces(body, body.len());
    for size in [1, usize::from(*size)] {
        match (&whole, pieces(body, size)) {
            // Two faults of one body may be met in another order.
            (Err(_), Err(_)) => {}
            (whole, pieces) => assert_eq!(*whole, pieces, "in pieces of {size}"),
        }
    }
    match whole {
        Ok((length, true)) => assert_eq!(simple(&body[..length]), Some(length)),
        Ok((length, false)) => assert!(length <= body.len()),
        Err(_) => {}
    }
});

/// The bytes taken and whether that is all, with the body coming in pieces.
fn pieces(body: &[u8], size: usize) -> Result<(usize, bool), Refusal> {
    let mut decoder = ChunkDecoder::default();
    let (mut read, mut end) = (0, 0);
    loop {
        read += decoder.scan(&body[read..end])?;
        assert!(read <= end, "more taken than there was");
        if end == body.len() {
            return Ok((read, decoder.is_done()));
        }
        end = (end + size.max(1)).min(body.len());
    }
}

/// The length of a body that is known to be good.
fn simple(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = at + line(&body[at..])?;
        let head = std::str::from_utf8(&body[at..line]).ok()?;
        let digits = head.split(';').next()?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        at = line + 2;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?;
        if body.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let length = line(&body[at..])?;
        at += length + 2;
        if length == 0 {
            return Some(at);
        }
    }
}

fn line(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|window| window == b"\r\n")
}
