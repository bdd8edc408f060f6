//! The answers that the proxy gives itself.

use crate::http1::{Refusal, response::ResponseFault};

/// An answer of the proxy's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Policy denied the request.
    Denied,
    /// The server could not be reached.
    Unreachable,
    /// The server's response was malformed or ambiguous.
    BadResponse(ResponseFault),
    /// The server speaks no HTTP/2, which its client does.
    NoHttp2,
    /// The server ended the connection before it answered a stream.
    NoResponse,
    /// The request was refused.
    Refused(Refusal),
}

impl Answer {
    /// Its status code.
    pub fn status(self) -> u16 {
        match self {
            Self::Denied => 403,
            Self::Unreachable => 503,
            Self::BadResponse(_) | Self::NoHttp2 | Self::NoResponse => 502,
            Self::Refused(refusal) => refusal.status(),
        }
    }

    /// Its body.
    pub fn text(self) -> String {
        match self {
            // The body that users of Envoy-based policy know.
            Self::Denied => "Access denied\r\n".to_owned(),
            Self::Unreachable => "upstream connect failed\r\n".to_owned(),
            Self::BadResponse(fault) => format!("{fault}\r\n"),
            Self::NoHttp2 => "the server does not speak HTTP/2\r\n".to_owned(),
            Self::NoResponse => "the server closed the connection\r\n".to_owned(),
            Self::Refused(refusal) => format!("{}\r\n", refusal.reason()),
        }
    }

    /// The whole answer as it goes on the wire; `close` says in it that the connection ends.
    pub fn bytes(self, head_only: bool, close: bool) -> Vec<u8> {
        let reason = match self {
            Self::Denied => "Forbidden",
            Self::Unreachable => "Service Unavailable",
            Self::BadResponse(_) | Self::NoHttp2 | Self::NoResponse => "Bad Gateway",
            Self::Refused(refusal) => match refusal.status() {
                408 => "Request Timeout",
                417 => "Expectation Failed",
                431 => "Request Header Fields Too Large",
                _ => "Bad Request",
            },
        };
        let body = self.text();
        let connection = if close { "connection: close\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n{connection}\r\n",
            self.status(),
            body.len(),
        )
        .into_bytes();
        if !head_only {
            bytes.extend_from_slice(body.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denial_is_the_known_one() {
        let head =
            "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\n";
        assert_eq!(Answer::Denied.bytes(true, false), head.as_bytes());
        let whole = format!("{head}Access denied\r\n");
        assert_eq!(Answer::Denied.bytes(false, false), whole.as_bytes());
    }
}
