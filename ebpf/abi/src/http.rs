//! Connections whose requests are judged in the kernel: what is known of each, and what is told of
//! them. See docs/decisions/0039-requests-judged-in-the-kernel.md.
//!
//! Sequence numbers are TCP's (RFC 9293): they wrap, and are compared with [`after`].

use crate::{conntrack::ConnectionKey, shared};

/// Value of the `STREAMS` map; the key is the connection's in `CONNTRACK`, and one goes with the
/// other. "Client" is who opened the connection.
///
/// ```text
/// client's bytes  ..the server's..|head_start ..head.. head_end| ..body.. |next
/// ```
///
/// INVARIANT: nothing from `next` on has passed, and a head is judged only where the server has
/// acknowledged everything before it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Monotonic time in ns at which the last head passed.
    pub sent_at: u64,
    /// 1 while a program writes.
    pub lock: u32,
    /// Start of the last head that passed.
    pub head_start: u32,
    /// Its end.
    pub head_end: u32,
    /// End of its body: where the next head must begin.
    pub next: u32,
    /// What the server has accepted of the client's bytes.
    pub accepted: u32,
    /// What the client has accepted of the server's.
    pub received: u32,
    /// End of what the server has sent.
    pub sent: u32,
    /// Where the reply that is owed begins; while it is under way where it ends, or the next line
    /// about a chunk begins.
    pub reply: u32,
    /// Words from which the table stands in `TABLES`; 0: none.
    pub table: u32,
    /// What a SYN of the client asked for that the server has not answered.
    pub asked: Opening,
    /// What the client announced when the connection was opened.
    pub client: Side,
    /// What the server did.
    pub server: Side,
    /// See [`state`].
    pub state: u8,
    /// Why it left the kernel: see [`why`].
    pub why: u8,
    /// See [`reply`].
    pub replying: u8,
    /// [`IS_HEAD`], [`TOLD`] and [`UNFRAMED`].
    pub flags: u8,
    /// Status of the last reply; 0: none was read.
    pub status: u16,
    /// Zero.
    pub reserved: [u8; 6],
    /// What is kept of the last head.
    pub text: Text,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            sent_at: 0,
            lock: 0,
            head_start: 0,
            head_end: 0,
            next: 0,
            accepted: 0,
            received: 0,
            sent: 0,
            reply: 0,
            table: 0,
            asked: Opening {
                next: 0,
                side: NO_SIDE,
            },
            client: NO_SIDE,
            server: NO_SIDE,
            state: state::OPENING,
            why: 0,
            replying: reply::DONE,
            flags: 0,
            status: 0,
            reserved: [0; 6],
            text: NO_TEXT,
        }
    }
}

/// Nothing announced.
const NO_SIDE: Side = Side {
    stamp: 0,
    window: 0,
    mss: 0,
    scale: 0,
    options: 0,
    reserved: [0; 2],
};

/// What records tell of a head.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// `METHOD SP path`.
    pub line: [u8; LINE],
    /// The Host field.
    pub host: [u8; HOST],
    /// Bytes of `line`.
    pub line_length: u16,
    /// Bytes of `host`.
    pub host_length: u16,
    /// Zero.
    pub reserved: u32,
}

/// No head.
pub const NO_TEXT: Text = Text {
    line: [0; LINE],
    host: [0; HOST],
    line_length: 0,
    host_length: 0,
    reserved: 0,
};

/// A longer request line up to its version is the proxy's.
pub const LINE: usize = 256;
/// A longer host is.
pub const HOST: usize = 64;

/// [`Stream::flags`]: the last request was a HEAD, whose reply has no body.
pub const IS_HEAD: u8 = 1;
/// The reply of the last request was told of.
pub const TOLD: u8 = 2;

/// A request passed where the end of the reply before it was not known: what was taken for a reply since
/// may be a part of that one. It stays.
pub const UNFRAMED: u8 = 4;

/// One end of a connection.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Side {
    /// Its last timestamp.
    pub stamp: u32,
    /// Its last window, as in the header.
    pub window: u16,
    /// Its maximum segment size.
    pub mss: u16,
    /// Its window scale.
    pub scale: u8,
    /// [`SCALES`], [`SACKS`], [`STAMPS`].
    pub options: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// The end scales its windows (RFC 7323).
pub const SCALES: u8 = 1;
/// The end takes selective acknowledgements (RFC 2018).
pub const SACKS: u8 = 2;
/// The end sends timestamps (RFC 7323).
pub const STAMPS: u8 = 4;

/// A SYN of the client.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Where its data would begin.
    pub next: u32,
    /// What it announced.
    pub side: Side,
}

/// States of a [`Stream`].
pub mod state {
    /// The server has not answered the SYN: no data passes.
    pub const OPENING: u8 = 0;
    /// Heads are judged here.
    pub const JUDGED: u8 = 1;
    /// Being taken over: what the client sends is held, what is under way settles.
    pub const TAKING: u8 = 2;
    /// Nothing passes; the sockets are being made.
    pub const FROZEN: u8 = 3;
    /// The proxy has it.
    pub const PROXIED: u8 = 4;
}

/// What is known of the reply to the last request.
pub mod reply {
    /// It is complete, or nothing was asked yet.
    pub const DONE: u8 = 0;
    /// Nothing of it has been seen.
    pub const AWAITED: u8 = 1;
    /// It ends at [`Stream::reply`](super::Stream::reply).
    pub const FRAMED: u8 = 2;
    /// It is chunked; the next line about a chunk begins at [`Stream::reply`](super::Stream::reply).
    pub const CHUNKED: u8 = 3;
    /// Nobody can tell where it ends.
    pub const UNKNOWN: u8 = 4;
}

/// Why a connection leaves the kernel, or a head is none for it.
pub mod why {
    /// No rule of the table allows the line.
    pub const DENIED: u8 = 1;
    /// It is not simple.
    pub const UNSURE: u8 = 2;
    /// More than one request at once.
    pub const PIPELINED: u8 = 3;
    /// Urgent data, of which servers take a byte out of the stream.
    pub const URGENT: u8 = 4;
    /// A fragment.
    pub const FRAGMENT: u8 = 5;
    /// More of what a connection that is being taken over was sent.
    pub const HELD: u8 = 6;
}

/// The longest head that is judged here, in bytes.
pub const MOST_HEAD: usize = 4096;
/// Bytes of `TABLES`: a power of two.
pub const TABLES: usize = 4 << 20;

/// What the ring `TAKEN` tells: bytes of a client that did not pass.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Which connection.
    pub key: ConnectionKey,
    /// Monotonic time in ns.
    pub at: u64,
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// How many there are.
    pub length: u32,
    /// See [`why`].
    pub why: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// They themselves; what is behind `length` is not sent.
    pub bytes: [u8; MOST_HEAD],
}

/// Bytes of a [`Taken`] before `bytes`.
pub const TAKEN_HEADER: usize = 64;

/// What the ring `REQUESTS` tells: a request that passed, with the status of its reply.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which connection.
    pub key: ConnectionKey,
    /// Monotonic time in ns at which the reply ended, or nothing more could be told of it.
    pub at: u64,
    /// From the head to there, in ns.
    pub latency: u64,
    /// 0: none was read.
    pub status: u16,
    /// See [`crate::policy::direction`].
    pub direction: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// The request.
    pub text: Text,
}

/// What the program `set_state` is asked, behind an Ethernet header; it leaves the stream behind it.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Change {
    /// Which connection.
    pub key: ConnectionKey,
    /// The state that it must be in.
    pub was: u8,
    /// The state that it then has.
    pub to: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// What `set_state` returns: done.
pub const CHANGED: u32 = 0;
/// There is no such connection.
pub const UNKNOWN: u32 = 1;
/// It was in another state.
pub const OTHERWISE: u32 = 2;

/// Whether one sequence number is behind another.
#[inline(always)]
pub const fn after(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) as i32 > 0
}

shared!(
    Stream = 424,
    Text = 328,
    Side = 12,
    Opening = 16,
    Taken = 4160,
    Request = 392,
    Change = 48,
);
