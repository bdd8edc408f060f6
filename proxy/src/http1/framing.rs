//! Which bytes after a head belong to its body (RFC 9112 section 6), decided strictly.

use super::Refusal;

/// The framing fields of one head, as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Neither Content-Length nor Transfer-Encoding.
    Unframed,
    /// Content-Length.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

/// Reads the framing fields out of a head.
///
/// # Errors
/// Anything that two parsers could read differently: both fields, a repeated field (even with
/// equal values), a list, a sign, an overflow, or a coding other than exactly `chunked`.
pub fn framing<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Framing, Refusal> {
    let mut length: Option<u64> = None;
    let mut chunked = false;
    for (name, value) in fields {
        if name.eq_ignore_ascii_case("content-length") {
            if length.is_some() {
                return Err(Refusal::ContentLength);
            }
            length = Some(plain_number(value).ok_or(Refusal::ContentLength)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::TransferEncoding);
            }
            chunked = true;
        } else if is_lookalike(name) {
            return Err(Refusal::Lookalike);
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Refusal::LengthAndChunked),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::Chunked),
        (None, false) => Ok(Framing::Unframed),
    }
}

/// Digits only, and small enough to be a file offset anywhere.
pub(super) fn plain_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut number: u64 = 0;
    for byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number
            .checked_mul(10)?
            .checked_add(u64::from(byte - b'0'))?;
    }
    (number <= i64::MAX as u64).then_some(number)
}

/// Names that gateways to CGI-like servers fold into the real ones.
fn is_lookalike(name: &str) -> bool {
    name.contains('_')
        && ["content-length", "transfer-encoding", "host"]
            .iter()
            .any(|real| {
                name.len() == real.len()
                    && name.bytes().zip(real.bytes()).all(|(ours, theirs)| {
                        ours.eq_ignore_ascii_case(&theirs) || (ours == b'_' && theirs == b'-')
                    })
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, &'static str)]) -> Result<Framing, Refusal> {
        framing(fields.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn plain_framing() {
        assert_eq!(of(&[("Host", "a")]), Ok(Framing::Unframed));
        assert_eq!(of(&[("content-LENGTH", "12")]), Ok(Framing::Length(12)));
        assert_eq!(
            of(&[("Transfer-Encoding", "Chunked")]),
            Ok(Framing::Chunked)
        );
    }

    #[test]
    fn bad_lengths() {
        for bad in [
            "",
            "+1",
            "-1",
            " 1",
            "1,1",
            "1 1",
            "0x1",
            "1.0",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert_eq!(
                of(&[("Content-Length", bad)]),
                Err(Refusal::ContentLength),
                "{bad:?}"
            );
        }
        assert_eq!(
            of(&[("Content-Length", "1"), ("content-length", "1")]),
            Err(Refusal::ContentLength)
        );
    }

    #[test]
    fn bad_codings() {
        for bad in [
            "",
            "xchunked",
            "chunked, chunked",
            "gzip, chunked",
            "chunked,",
            "identity",
            "chunked;q=1",
        ] {
            assert_eq!(
                of(&[("Transfer-Encoding", bad)]),
                Err(Refusal::TransferEncoding),
                "{bad:?}"
            );
        }
        let twice = [
            ("Transfer-Encoding", "chunked"),
            ("Transfer-Encoding", "chunked"),
        ];
        assert_eq!(of(&twice), Err(Refusal::TransferEncoding));
    }

    #[test]
    fn both_and_lookalikes() {
        assert_eq!(
            of(&[("Content-Length", "1"), ("Transfer-Encoding", "chunked")]),
            Err(Refusal::LengthAndChunked)
        );
        assert_eq!(of(&[("Content_Length", "1")]), Err(Refusal::Lookalike));
        assert_eq!(
            of(&[("transfer_encoding", "chunked")]),
            Err(Refusal::Lookalike)
        );
        assert_eq!(of(&[("X_Content_Length", "1")]), Ok(Framing::Unframed));
    }
}
