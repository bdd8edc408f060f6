//! The chunked coding (RFC 9112 section 7.1), read strictly so that it can be forwarded unchanged.
//!
//! The decoder never releases part of a line: a chunk head, and the last chunk with all its
//! trailers, count as read only once they are complete and valid.

use std::sync::Arc;

use memchr::memchr;
use weir_policy::http::Asked;

use super::{Refusal, head::is_token};

/// The longest chunk head, extensions and line end included, in bytes.
pub const MAX_CHUNK_HEAD: usize = 256;
/// The largest last chunk with its trailers, in bytes.
pub const MAX_TRAILERS: usize = 8 * 1024;

/// Where a chunked body stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkDecoder {
    state: State,
    /// What rules look at in the head, so that it must not come behind the body.
    asked: Option<Arc<Asked>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Data(u64),
    DataEnd,
    Done,
}

impl ChunkDecoder {
    /// Refuses trailers of names that rules look at: a server may take them for headers.
    pub fn forbid(&mut self, asked: Arc<Asked>) {
        self.asked = Some(asked);
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes of `input` belong to the body and are known to be good. The rest is an
    /// incomplete line, or comes after the body: pass it again with more behind it.
    ///
    /// # Errors
    /// A chunk head, chunk end or trailer that is malformed or too long. Nothing of the
    /// malformed line has been counted by an earlier call.
    pub fn scan(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut read = 0;
        loop {
            let rest = input.get(read..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(read),
                State::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    read += here;
                    let left = left - here as u64;
                    if left > 0 {
                        self.state = State::Data(left);
                        return Ok(read);
                    }
                    self.state = State::DataEnd;
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        read += 2;
                        self.state = State::Head;
                    }
                    [] | [b'\r'] => return Ok(read),
                    _ => return Err(Refusal::ChunkEnd),
                },
                State::Head => match chunk_head(rest)? {
                    None => return Ok(read),
                    Some((0, head)) => {
                        let after = rest.get(head..).unwrap_or_default();
                        let Some(trailers) = trailers(after, self.asked.as_deref())? else {
                            return Ok(read);
                        };
                        read += head + trailers;
                        self.state = State::Done;
                    }
                    Some((size, head)) => {
                        read += head;
                        self.state = State::Data(size);
                    }
                },
            }
        }
    }
}

/// The size and the length of a chunk head, once its line is complete.
fn chunk_head(input: &[u8]) -> Result<Option<(u64, usize)>, Refusal> {
    let window = input.get(..MAX_CHUNK_HEAD).unwrap_or(input);
    let Some(feed) = memchr(b'\n', window) else {
        return if window.len() == MAX_CHUNK_HEAD {
            Err(Refusal::ChunkExtension)
        } else {
            Ok(None)
        };
    };
    let Some((b'\r', line)) = window.get(..feed).unwrap_or_default().split_last() else {
        return Err(Refusal::ChunkSize);
    };
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (size, extension) = line.split_at_checked(digits).ok_or(Refusal::ChunkSize)?;
    // 15 hex digits are below 2^60: no sum of it with anything here overflows.
    if size.is_empty() || size.len() > 15 {
        return Err(Refusal::ChunkSize);
    }
    let size = size.iter().fold(0u64, |sum, digit| {
        (sum << 4) | u64::from((*digit as char).to_digit(16).unwrap_or_default())
    });
    match extension.first() {
        None => {}
        Some(b';') => extensions(extension)?,
        Some(_) => return Err(Refusal::ChunkSize),
    }
    Ok(Some((size, feed + 1)))
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )`, without the optional white space.
fn extensions(mut input: &[u8]) -> Result<(), Refusal> {
    while let Some((b';', rest)) = input.split_first() {
        let rest = token(rest)?;
        input = match rest.split_first() {
            Some((b'=', value)) => match value.split_first() {
                Some((b'"', quoted)) => end_of_quoted(quoted)?,
                _ => token(value)?,
            },
            _ => rest,
        };
    }
    if input.is_empty() {
        Ok(())
    } else {
        Err(Refusal::ChunkExtension)
    }
}

fn token(input: &[u8]) -> Result<&[u8], Refusal> {
    let length = input.iter().take_while(|byte| is_token(**byte)).count();
    if length == 0 {
        return Err(Refusal::ChunkExtension);
    }
    Ok(input.get(length..).unwrap_or_default())
}

fn end_of_quoted(mut input: &[u8]) -> Result<&[u8], Refusal> {
    loop {
        input = match input {
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', b' '..=b'~', rest @ ..] => rest,
            [b'\\', ..] => return Err(Refusal::ChunkExtension),
            [b' '..=b'~', rest @ ..] => rest,
            _ => return Err(Refusal::ChunkExtension),
        };
    }
}

/// The length of a trailer section with its empty line, once it is complete.
fn trailers(input: &[u8], asked: Option<&Asked>) -> Result<Option<usize>, Refusal> {
    let mut read = 0;
    loop {
        let rest = input.get(read..).unwrap_or_default();
        let Some(feed) = memchr(b'\n', rest) else {
            return if input.len() > MAX_TRAILERS {
                Err(Refusal::Trailer)
            } else {
                Ok(None)
            };
        };
        let Some((b'\r', line)) = rest.get(..feed).unwrap_or_default().split_last() else {
            return Err(Refusal::Trailer);
        };
        read += feed + 1;
        if read > MAX_TRAILERS {
            return Err(Refusal::Trailer);
        }
        if line.is_empty() {
            return Ok(Some(read));
        }
        trailer(line, asked)?;
    }
}

/// Fields that frame, route or authorise a message must not come after it (RFC 9110 section 6.5.1).
const FORBIDDEN_TRAILERS: [&[u8]; 9] = [
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
    b"upgrade",
    b"te",
    b"trailer",
    b"authorization",
    b"expect",
];

fn trailer(line: &[u8], asked: Option<&Asked>) -> Result<(), Refusal> {
    let colon = memchr(b':', line).ok_or(Refusal::Trailer)?;
    let (name, value) = line.split_at_checked(colon).ok_or(Refusal::Trailer)?;
    check_trailer(name, value, asked)
}

/// One trailer of a request, which rules may look at in its head.
///
/// # Errors
/// It is malformed, frames, routes or authorises, or has a name that a rule names.
pub fn check_trailer(name: &[u8], value: &[u8], asked: Option<&Asked>) -> Result<(), Refusal> {
    let folded: Vec<u8> = name
        .iter()
        .map(|byte| {
            if *byte == b'_' {
                b'-'
            } else {
                byte.to_ascii_lowercase()
            }
        })
        .collect();
    let good = !name.is_empty()
        && name.iter().all(|byte| is_token(*byte))
        && !FORBIDDEN_TRAILERS.contains(&folded.as_slice())
        && value
            .iter()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
    if !good {
        return Err(Refusal::Trailer);
    }
    let named = std::str::from_utf8(name).is_ok_and(|name| asked.is_some_and(|a| a.names(name)));
    if named {
        Err(Refusal::RuleTrailer)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
