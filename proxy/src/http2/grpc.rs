//! What of gRPC is seen on a stream: that it is gRPC, and how a call ended
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use http::{HeaderMap, HeaderValue};

use crate::engine::Answer;

/// Whether a content type is gRPC's: `application/grpc`, `application/grpc+proto`.
pub fn is_grpc(content_type: Option<&str>) -> bool {
    let rest = content_type.and_then(|value| value.strip_prefix("application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// The status of a call, from its trailers or a head that is all there is.
pub fn status(fields: &HeaderMap) -> Option<u16> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// The status that an answer of the proxy's own has
/// (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
pub fn code(answer: Answer) -> u16 {
    match answer {
        Answer::Denied => 7,
        Answer::Unreachable | Answer::BadResponse(_) | Answer::NoHttp2 | Answer::NoResponse => 14,
        Answer::Refused(_) => 13,
    }
}

/// A text as `grpc-message` has it: percent-encoded but for printable ASCII.
pub fn message(text: &str) -> HeaderValue {
    let mut coded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => coded.push(byte.into()),
            _ => coded.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&coded).unwrap_or(HeaderValue::from_static("error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;v=1",
        ] {
            assert!(is_grpc(Some(yes)), "{yes}");
        }
        for no in ["application/grpc-web", "application/json", ""] {
            assert!(!is_grpc(Some(no)), "{no}");
        }
        assert!(!is_grpc(None));
    }

    #[test]
    fn messages_are_encoded() {
        assert_eq!(message("a b"), "a b");
        assert_eq!(message("100 %\né"), "100 %25%0A%C3%A9");
    }

    #[test]
    fn statuses() {
        let mut fields = HeaderMap::new();
        assert_eq!(status(&fields), None);
        fields.insert("grpc-status", HeaderValue::from_static("7"));
        assert_eq!(status(&fields), Some(7));
        fields.insert("grpc-status", HeaderValue::from_static("no"));
        assert_eq!(status(&fields), None);
    }
}
