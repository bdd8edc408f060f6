//! The server name in a TLS client's first message: read, never decrypted.
//!
//! Pure: bytes in, a name or a reason out. Strict about framing, because the name that is judged
//! must be the one that the server finds; indifferent to all that a name does not need, such as the
//! algorithms that a client offers, so that clients of any age are read.

mod hello;
mod name;

use hello::server_name;

/// The largest first message that is read, in bytes, records not counted.
pub const MAX_HELLO: usize = 32 * 1024;

/// Content type of a handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// The largest payload of a record, in bytes (RFC 8446, 5.1).
const MAX_RECORD: usize = 1 << 14;
/// Handshake type of a ClientHello (RFC 8446, 4).
const CLIENT_HELLO: u8 = 1;

/// What is known of a TLS client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed.
    Partial,
    /// It is complete, with the server name if it has one (RFC 6066, 3).
    Complete(Option<String>),
    /// It is malformed, or its name is not certain, and why.
    Bad(&'static str),
}

/// Reads a first message as it arrives, over any number of records and segments, and no byte twice.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// Where the next record begins.
    next: usize,
    /// The payload of the records before it.
    message: Vec<u8>,
}

// === impl HelloReader ===

impl HelloReader {
    /// Reads on. `buffer` starts with the connection's first byte and only grows between calls.
    pub fn read(&mut self, buffer: &[u8]) -> Hello {
        loop {
            match self.record(buffer) {
                Ok(None) => return Hello::Partial,
                Ok(Some(())) => {}
                Err(reason) => return Hello::Bad(reason),
            }
            match self.message() {
                Ok(None) => {}
                Ok(Some(name)) => return Hello::Complete(name),
                Err(reason) => return Hello::Bad(reason),
            }
        }
    }

    /// Takes the next record, once it is complete.
    fn record(&mut self, buffer: &[u8]) -> Result<Option<()>, &'static str> {
        let rest = buffer.get(self.next..).unwrap_or_default();
        if rest.first().is_some_and(|kind| *kind != HANDSHAKE) {
            return Err("another record comes before the end of the first message");
        }
        if rest.get(1).is_some_and(|major| *major != 3) {
            return Err("its record has no version of TLS");
        }
        let [_, _, _, high, low, payload @ ..] = rest else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > MAX_RECORD {
            return Err("its record is empty or too long");
        }
        if self.message.len() + length > MAX_HELLO {
            return Err("its first message is too long");
        }
        let Some(payload) = payload.get(..length) else {
            return Ok(None);
        };
        self.message.extend_from_slice(payload);
        self.next += 5 + length;
        Ok(Some(()))
    }

    /// The name in the message, once that is complete.
    fn message(&self) -> Result<Option<Option<String>>, &'static str> {
        if self
            .message
            .first()
            .is_some_and(|kind| *kind != CLIENT_HELLO)
        {
            return Err("its first message is no ClientHello");
        }
        let [_, high, middle, low, body @ ..] = self.message.as_slice() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        if length > MAX_HELLO - 4 {
            return Err("its first message is too long");
        }
        match body.len() {
            have if have < length => Ok(None),
            have if have > length => Err("bytes follow the first message in its record"),
            _ => server_name(body).map(Some),
        }
    }
}

/// Reads a client's first message as far as it is there.
pub fn read(bytes: &[u8]) -> Hello {
    HelloReader::default().read(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
