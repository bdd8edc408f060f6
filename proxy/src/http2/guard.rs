//! What a peer may send on one HTTP/2 connection: bounds that the protocol engine does not have, and
//! what it refuses without a word.
//!
//! The engine answers each PING and SETTINGS, forgets each reset stream and resets each malformed
//! request by itself. A peer can keep it busy with those for ever, and nobody would be told.

use std::collections::HashSet;

use tokio::time::{Duration, Instant};
use weir_link::proxy::Refusal;

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, RST_STREAM, SETTINGS,
    Scanner, Seen,
};

/// Most bytes of one header block as it is sent, compressed: its list is bounded after it is read.
const BLOCK: u32 = 128 * 1024;
/// Most frames of one header block.
const BLOCK_FRAMES: u32 = 32;
/// Frames that ask for nothing, before anything was asked for.
const IDLE: Credit = Credit {
    most: 1000,
    a_second: 100,
};
/// Streams that a client resets.
const RESETS: Credit = Credit {
    most: 200,
    a_second: 50,
};
/// What a frame that carries something is worth: a reader answers one with a window and a PING.
const EARNED: u64 = 4;
/// Error code of a stream that the engine does not take (RFC 9113, 7).
const REFUSED_STREAM: u32 = 7;

/// How much of something there may be.
#[derive(Debug, Clone, Copy)]
struct Credit {
    most: u64,
    a_second: u64,
}

/// What is left of a credit.
#[derive(Debug)]
struct Bucket {
    credit: Credit,
    left: u64,
    filled: Instant,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client's.
    Client,
    /// A server's.
    Server,
}

/// Follows one connection.
#[derive(Debug)]
pub struct Guard {
    side: Side,
    inbound: Scanner,
    outbound: Scanner,
    settled: bool,
    idle: Bucket,
    resets: Bucket,
    /// Bytes and frames of the header block that has begun.
    block: Option<(u32, u32)>,
    /// When it did.
    since: Option<Instant>,
    last: u32,
    /// Streams that the client has opened and the engine has not handed out yet.
    opened: HashSet<u32>,
    refused: Vec<Refusal>,
    refused_count: usize,
    offence: Option<Refusal>,
}

// === impl Bucket ===

impl Bucket {
    fn new(credit: Credit, now: Instant) -> Self {
        Self {
            credit,
            left: credit.most,
            filled: now,
        }
    }

    fn earn(&mut self, count: u64) {
        self.left = (self.left + count).min(self.credit.most);
    }

    /// Takes one; `false` if there is none.
    fn spend(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            let since = now.duration_since(self.filled).min(Duration::from_secs(60));
            self.filled = now;
            let more = since.as_millis().try_into().unwrap_or(0) * self.credit.a_second / 1000;
            self.earn(more);
        }
        self.left
            .checked_sub(1)
            .map(|left| self.left = left)
            .is_some()
    }
}

// === impl Guard ===

impl Guard {
    /// Of a connection on which nothing has passed.
    pub fn new(side: Side, now: Instant) -> Self {
        let client = side == Side::Client;
        Self {
            side,
            inbound: Scanner::new(client),
            outbound: Scanner::new(!client),
            settled: false,
            idle: Bucket::new(IDLE, now),
            resets: Bucket::new(RESETS, now),
            block: None,
            since: None,
            last: 0,
            opened: HashSet::new(),
            refused: Vec::new(),
            refused_count: 0,
            offence: None,
        }
    }

    /// Looks at bytes from the peer. After an offence they must not be used.
    pub fn received(&mut self, bytes: &[u8], now: Instant) {
        let mut scanner = std::mem::replace(&mut self.inbound, Scanner::new(false));
        scanner.scan(bytes, |seen| {
            if self.offence.is_none() {
                self.offence = self.inbound(seen, now).err();
            }
        });
        self.inbound = scanner;
    }

    /// Looks at bytes to the peer.
    pub fn sent(&mut self, bytes: &[u8]) {
        let mut scanner = std::mem::replace(&mut self.outbound, Scanner::new(false));
        scanner.scan(bytes, |seen| self.outbound(seen));
        self.outbound = scanner;
    }

    fn inbound(&mut self, seen: Seen, now: Instant) -> Result<(), Refusal> {
        let frame = match seen {
            Seen::Begins(frame) => frame,
            Seen::Ends(frame) => {
                let heads = matches!(frame.kind, HEADERS | CONTINUATION);
                if heads && frame.flags & END_HEADERS != 0 {
                    (self.block, self.since) = (None, None);
                }
                return Ok(());
            }
            Seen::Reset { .. } => return Ok(()),
        };
        // The preface ends with SETTINGS (RFC 9113, 3.4).
        if !self.settled && (frame.kind != SETTINGS || frame.flags & ACK != 0) {
            return Err(Refusal::Frames);
        }
        self.settled = true;
        match frame.kind {
            HEADERS => {
                self.idle.earn(EARNED);
                self.block = Some((frame.length, 1));
                self.since = Some(now);
                if self.side == Side::Client && frame.stream > self.last {
                    self.last = frame.stream;
                    self.opened.insert(frame.stream);
                }
            }
            CONTINUATION => {
                let (bytes, frames) = self.block.unwrap_or_default();
                self.block = Some((bytes.saturating_add(frame.length), frames + 1));
            }
            DATA if frame.length > 0 => self.idle.earn(EARNED),
            DATA if frame.flags & END_STREAM != 0 => {}
            RST_STREAM if self.side == Side::Client => {
                self.opened.remove(&frame.stream);
                if !self.resets.spend(now) {
                    return Err(Refusal::ResetFlood);
                }
            }
            _ if !self.idle.spend(now) => return Err(Refusal::Flood),
            _ => {}
        }
        match self.block {
            Some((bytes, frames)) if bytes > BLOCK || frames > BLOCK_FRAMES => {
                Err(Refusal::HeadTooLarge)
            }
            _ => Ok(()),
        }
    }

    fn outbound(&mut self, seen: Seen) {
        let refused = match seen {
            Seen::Begins(Frame { kind: DATA, .. }) => {
                self.idle.earn(EARNED);
                return;
            }
            // An answer to a head that nobody was shown: it was too large.
            Seen::Begins(Frame {
                kind: HEADERS,
                stream,
                ..
            }) => {
                self.idle.earn(EARNED);
                (stream, Refusal::HeadTooLarge)
            }
            Seen::Reset { stream, code } if code == REFUSED_STREAM => {
                (stream, Refusal::TooManyStreams)
            }
            Seen::Reset { stream, .. } => (stream, Refusal::Malformed),
            _ => return,
        };
        if self.opened.remove(&refused.0) {
            self.refused.push(refused.1);
            self.refused_count += 1;
        }
    }

    /// The engine has handed this stream out.
    pub fn accepted(&mut self, stream: u32) {
        self.opened.remove(&stream);
    }

    /// What the engine has refused by itself since the last time.
    pub fn refused(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refused)
    }

    /// How many there were.
    pub fn refused_count(&self) -> usize {
        self.refused_count
    }

    /// Whether the peer has said its SETTINGS, and so speaks HTTP/2.
    pub fn is_settled(&self) -> bool {
        self.settled && self.offence.is_none()
    }

    /// Since when a header block waits for its end.
    pub fn block_since(&self) -> Option<Instant> {
        self.since
    }

    /// Why the connection must end.
    pub fn offence(&self) -> Option<Refusal> {
        self.offence
    }
}

#[cfg(test)]
mod tests;
