//! One response head, read only as far as the proxy must know where the response ends.

use std::mem::MaybeUninit;

use thiserror::Error;

use super::{
    Refusal,
    body::Body,
    chunked::ChunkDecoder,
    framing::{Framing, framing},
    head::MAX_FIELDS,
    request::{connection_options, tokens},
    upgrade::carries_requests,
};

/// What the proxy remembers of the request that a response answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method was HEAD: no body follows, whatever the fields say.
    pub head: bool,
    /// The method was CONNECT: a 2xx opens a tunnel.
    pub connect: bool,
    /// Protocols that the server was offered to switch to, lower case.
    pub offers: Vec<String>,
    /// No rule is in force, so that the server may switch to whatever it likes.
    pub unjudged: bool,
}

impl Asked {
    /// Whether the response may make a tunnel of the connection.
    pub fn may_switch(&self) -> bool {
        self.connect || self.unjudged || !self.offers.is_empty()
    }
}

/// What a response head announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
    /// Whether the server will end the connection after this response.
    pub close: bool,
    /// What follows the head.
    pub next: Next,
}

/// What follows a response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// An interim response: another head.
    Interim,
    /// A body, possibly empty, and then the response is complete.
    Body(Body),
    /// Another protocol: bytes in both directions until both ends close.
    Tunnel,
}

/// A response that is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResponseFault {
    /// Not a response head, from this line on (the status line is 1).
    #[error("malformed response head, line {0}")]
    Syntax(usize),
    /// The head does not end within the proxy's limit.
    #[error("response head too large")]
    TooLarge,
    /// Framing that a client could read in two ways.
    #[error("ambiguous response: {what}, line {line} of the head")]
    Ambiguous {
        /// Why.
        what: Refusal,
        /// The line; the status line is 1.
        line: usize,
    },
    /// A body that is not what its head says.
    #[error("malformed response body: {0}")]
    Body(Refusal),
    /// 101 although the client offered nothing, or another protocol than it offered.
    #[error("switch to a protocol that was not offered")]
    NotOffered,
    /// 101 to a protocol with requests inside that no rule would judge.
    #[error("switch to a protocol that carries unjudged requests")]
    Unjudgeable,
    /// The server ended the connection inside the response.
    #[error("response cut short")]
    Truncated,
}

impl ResponseHead {
    /// Parses a complete head and decides what follows it (RFC 9112 section 6.3).
    ///
    /// # Errors
    /// See [`ResponseFault`].
    pub fn parse(head: &[u8], asked: &Asked) -> Result<Self, ResponseFault> {
        let mut space = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut parsed, head, &mut space) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            _ => return Err(ResponseFault::Syntax(bad_line(head))),
        }
        let (Some(status @ 100..=999), Some(version)) = (parsed.code, parsed.version) else {
            return Err(ResponseFault::Syntax(1));
        };
        let fields: Vec<(&str, &[u8])> = parsed
            .headers
            .iter()
            .map(|field| (field.name, field.value))
            .collect();
        let found = framing(fields.iter().copied()).and_then(|framing| match framing {
            Framing::Chunked if version == 0 => Err(Refusal::TransferEncoding),
            good => Ok(good),
        });
        let framing = found.map_err(|what| ResponseFault::Ambiguous {
            what,
            line: framing_line(&fields),
        })?;
        let options = connection_options(&fields);
        let close = options.close || (version == 0 && !options.keep_alive);
        let next = match (status, framing) {
            (101, _) => {
                check_switch(tokens(&fields, "upgrade"), asked)?;
                Next::Tunnel
            }
            (100..=199, _) => Next::Interim,
            (200..=299, _) if asked.connect => Next::Tunnel,
            (204 | 304, _) => Next::Body(Body::EMPTY),
            _ if asked.head => Next::Body(Body::EMPTY),
            (_, Framing::Length(length)) => Next::Body(Body::Length(length)),
            (_, Framing::Chunked) => Next::Body(Body::Chunked(ChunkDecoder::default())),
            (_, Framing::Unframed) => Next::Body(Body::UntilClose),
        };
        Ok(Self {
            status,
            close,
            next,
        })
    }
}

/// The first line of a head that is not one on its own.
fn bad_line(head: &[u8]) -> usize {
    let lines = head.split_inclusive(|byte| *byte == b'\n');
    let bad = lines.enumerate().position(|(number, line)| {
        let alone = [line, b"\r\n"].concat();
        let mut space = [httparse::EMPTY_HEADER; 1];
        match number {
            0 => !httparse::Response::new(&mut space)
                .parse(&alone)
                .is_ok_and(|status| status.is_complete()),
            _ => !httparse::parse_headers(&alone, &mut space).is_ok_and(|s| s.is_complete()),
        }
    });
    // Where each is one on its own they are too many.
    bad.map_or(MAX_FIELDS + 2, |place| place + 1)
}

/// The line of the first field that makes the framing of a response ambiguous.
fn framing_line(fields: &[(&str, &[u8])]) -> usize {
    let good = |count: &usize| framing(fields.iter().take(*count).copied()).is_ok();
    let bad = (1..=fields.len()).find(|count| !good(count));
    let coded = |(name, _): &(&str, &[u8])| name.eq_ignore_ascii_case("transfer-encoding");
    let bad = bad.or_else(|| Some(fields.iter().position(coded)? + 1));
    // Behind the status line.
    bad.map_or(1, |count| count + 1)
}

/// A switch is let through only to protocols that the client offered and that carry no HTTP.
fn check_switch<'a>(
    chosen: impl Iterator<Item = &'a str>,
    asked: &Asked,
) -> Result<(), ResponseFault> {
    let mut any = false;
    for protocol in chosen {
        any = true;
        let protocol = protocol.to_ascii_lowercase();
        if asked.unjudged {
            continue;
        }
        if carries_requests(&protocol) {
            return Err(ResponseFault::Unjudgeable);
        }
        if !asked.offers.contains(&protocol) {
            return Err(ResponseFault::NotOffered);
        }
    }
    if any {
        Ok(())
    } else {
        Err(ResponseFault::NotOffered)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str, asked: &Asked) -> Result<ResponseHead, ResponseFault> {
        ResponseHead::parse(text.as_bytes(), asked)
    }

    fn next(text: &str) -> Next {
        parse(text, &Asked::default()).unwrap().next
    }

    #[test]
    fn what_follows() {
        assert_eq!(
            next("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
            Next::Body(Body::Length(3))
        );
        assert_eq!(
            next("HTTP/1.1 200 OK\r\n\r\n"),
            Next::Body(Body::UntilClose)
        );
        assert_eq!(
            next("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n"),
            Next::Body(Body::EMPTY)
        );
        assert_eq!(
            next("HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n"),
            Next::Body(Body::EMPTY)
        );
        assert_eq!(next("HTTP/1.1 100 Continue\r\n\r\n"), Next::Interim);
        let head = Asked {
            head: true,
            ..Asked::default()
        };
        let answer = parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", &head).unwrap();
        assert_eq!(answer.next, Next::Body(Body::EMPTY));
        let connect = Asked {
            connect: true,
            ..Asked::default()
        };
        assert_eq!(
            parse("HTTP/1.1 200 OK\r\n\r\n", &connect).unwrap().next,
            Next::Tunnel
        );
        assert!(parse("HTTP/1.0 200 OK\r\n\r\n", &head).unwrap().close);
    }

    #[test]
    fn switches() {
        let asked = Asked {
            offers: vec![
                "websocket".into(),
                "h2c".into(),
                "http/2.0".into(),
                "tls/1.2".into(),
            ],
            ..Asked::default()
        };
        let to = |protocol: &str| {
            parse(
                &format!("HTTP/1.1 101 Switching\r\nUpgrade: {protocol}\r\n\r\n"),
                &asked,
            )
            .map(|head| head.next)
        };
        assert_eq!(to("WebSocket"), Ok(Next::Tunnel));
        assert_eq!(to("h2c"), Err(ResponseFault::Unjudgeable));
        assert_eq!(to("websocket, HTTP/2.0"), Err(ResponseFault::Unjudgeable));
        assert_eq!(to("TLS/1.2"), Err(ResponseFault::Unjudgeable));
        assert_eq!(to("other"), Err(ResponseFault::NotOffered));
        assert_eq!(to(""), Err(ResponseFault::NotOffered));
    }

    #[test]
    fn faults() {
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "SSH-2.0\r\n\r\n",
        ] {
            assert!(parse(bad, &Asked::default()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_fault_names_its_line() {
        let fault = |text: &str| parse(text, &Asked::default()).unwrap_err().to_string();
        for (head, said) in [
            (
                "HTTP/1.1 2xx OK\r\nA: b\r\n\r\n",
                "malformed response head, line 1",
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\nB\r\nC: d\r\n\r\n",
                "malformed response head, line 3",
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
                "malformed response head, line 3",
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
                "malformed response head, line 2",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\nContent-Length: 3\r\n\r\n",
                "ambiguous response: bad content-length, line 4 of the head",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
                "ambiguous response: length and chunked, line 3 of the head",
            ),
            (
                "HTTP/1.0 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n",
                "ambiguous response: bad transfer-encoding, line 3 of the head",
            ),
        ] {
            assert_eq!(fault(head), said, "{head:?}");
        }
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "A: b\r\n".repeat(MAX_FIELDS + 1)
        );
        assert_eq!(
            fault(&many),
            format!("malformed response head, line {}", MAX_FIELDS + 2)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _head = ResponseHead::parse(&bytes, &Asked::default());
        }
    }
}
