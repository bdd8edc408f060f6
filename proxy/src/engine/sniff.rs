//! Telling another protocol from malformed HTTP, by a connection's first bytes.

use crate::{http1::head::is_token, http2};

/// Whether a connection begins with a TLS handshake record.
pub fn is_tls(first: &[u8]) -> bool {
    first.first() == Some(&HANDSHAKE)
}

/// Content type of a TLS handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;

/// Why a connection's first bytes are not HTTP/1 at all; `None` while they may be.
///
/// Such a connection is reset, since its client would not understand an HTTP answer. Text that
/// merely is a bad request gets an answer instead.
pub fn foreign(first: &[u8]) -> Option<&'static str> {
    if is_tls(first) {
        return Some("not HTTP: TLS");
    }
    if first.starts_with(http2::PREFACE) {
        return Some("not HTTP/1: HTTP/2 preface");
    }
    // A line break at the start is an empty line, which is bad HTTP.
    if matches!(first.first(), Some(b'\r' | b'\n')) {
        return None;
    }
    let stop = first.iter().find(|byte| !is_token(**byte))?;
    match stop {
        b' '..=b'~' => None,
        _ => Some("not HTTP"),
    }
}

/// Why a first line is none of HTTP/1, which ends with its version (RFC 9112, 3); `None` while it may be.
/// For connections on which other text may be spoken: it need not end as a head does.
pub fn no_request_line(first: &[u8]) -> Option<&'static str> {
    let line = first.split(|byte| *byte == b'\n').next()?;
    let whole = line.len() < first.len();
    let line = line.trim_ascii_end();
    let version = line.rsplit(|byte| *byte == b' ').next()?;
    (whole && !line.is_empty() && !version.starts_with(b"HTTP/1.")).then_some("not HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_other_text_is_no_request() {
        for other in [&b"get key\r\n"[..], b"EHLO x\r\n", b"GET /\r\n", b"PING\nx"] {
            assert_eq!(no_request_line(other), Some("not HTTP"), "{other:?}");
        }
        for maybe in [
            &b""[..],
            b"get key",
            b"GET / HTTP/1.1\r\n",
            b"\r\n",
            b"GET / HTTP/1.0\n",
        ] {
            assert_eq!(no_request_line(maybe), None, "{maybe:?}");
        }
    }

    #[test]
    fn protocols() {
        assert_eq!(foreign(b"\x16"), Some("not HTTP: TLS"));
        assert_eq!(
            foreign(b"PRI * HTTP/2.0\r\n"),
            Some("not HTTP/1: HTTP/2 preface")
        );
        assert_eq!(foreign(b"SSH-2.0-x\r\n"), Some("not HTTP"));
        assert_eq!(foreign(b"*1\r\n$4\r\n"), Some("not HTTP"));
        assert_eq!(foreign(b"\0\0\0\x08"), Some("not HTTP"));
        assert_eq!(foreign(b"\xff\xfe"), Some("not HTTP"));
        for maybe in [
            &b""[..],
            b"P",
            b"PRI * HTTP/2.",
            b"GET",
            b"GET /\0",
            b"G(T / HTTP/1.1",
            b"\r\n",
            b" GET",
            b"EHLO x\r\n",
        ] {
            assert_eq!(foreign(maybe), None, "{maybe:?}");
        }
    }
}
