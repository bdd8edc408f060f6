//! Connections on their way out of the kernel.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use weir_abi::{
    conntrack::ConnectionKey,
    http::{Stream, UNFRAMED, after, reply, state, why},
    mark,
};
use weir_link::takeover::Handed;

use crate::{
    kernel::{Kernel, Note, Unchanged},
    proxies::Proxies,
    repair::{Stand, stand_in},
};

/// After this a connection is taken as it is: what is under way is sent again by its sender.
const SETTLES: Duration = Duration::from_millis(60);
/// Without a proxy for so long a connection is let go: its client's next try begins anew.
const WAITS: Duration = Duration::from_secs(10);
/// Connections at once, of all endpoints and of each, and what is held of one: a whole packet.
const MOST: usize = 1024;
const MOST_OF_ONE: usize = 64;
const MOST_BYTES: usize = 80 << 10;

/// A connection.
#[derive(Debug)]
struct Waiting {
    why: u8,
    since: Instant,
    /// What its client sent, by sequence numbers.
    held: Vec<(u32, Vec<u8>)>,
    bytes: usize,
}

/// Those that are not handed over yet.
#[derive(Debug, Default)]
pub struct Pending(HashMap<ConnectionKey, Waiting>);

// === impl Pending ===

impl Pending {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a note in.
    pub fn add(&mut self, note: Note, kernel: &mut Kernel, now: Instant) {
        if !self.0.contains_key(&note.key) {
            if note.why == why::HELD && !orphaned(&note.key, kernel) {
                // It was handed over meanwhile: its client sends this again, to the proxy.
                return;
            }
            let own = self
                .0
                .keys()
                .filter(|key| key.endpoint == note.key.endpoint);
            if self.0.len() >= MOST || own.count() >= MOST_OF_ONE {
                // Its client sends it again, and it begins anew.
                release(&note.key, kernel);
                return;
            }
        }
        let waiting = self.0.entry(note.key).or_insert_with(|| Waiting {
            why: note.why,
            since: now,
            held: Vec::new(),
            bytes: 0,
        });
        if !note.bytes.is_empty() && waiting.bytes + note.bytes.len() <= MOST_BYTES {
            waiting.bytes += note.bytes.len();
            waiting.held.push((note.sequence, note.bytes));
        }
    }

    /// Hands over what can be.
    pub fn go_on(&mut self, kernel: &mut Kernel, proxies: &mut Proxies, now: Instant) {
        self.0.retain(|key, waiting| {
            let late = now.saturating_duration_since(waiting.since);
            if proxies.is_empty() {
                if late > WAITS {
                    release(key, kernel);
                }
                return late <= WAITS;
            }
            let stream = match kernel.change(key, state::TAKING, state::TAKING) {
                Ok(stream) => stream,
                Err(Unchanged::Gone | Unchanged::Otherwise) => return false,
            };
            if !waiting.is_settled(&stream) && late < SETTLES {
                return true;
            }
            let Ok(stream) = kernel.change(key, state::TAKING, state::FROZEN) else {
                return false;
            };
            if let Err(error) = hand_over(key, waiting, &stream, kernel, proxies) {
                tracing::warn!(%error, "a connection could not be taken over");
            }
            false
        });
    }
}

// === impl Waiting ===

impl Waiting {
    /// Whether nothing of the connection is under way.
    fn is_settled(&self, stream: &Stream) -> bool {
        let first = self.held.first().map(|(sequence, _)| *sequence);
        let arrived = first.is_none_or(|first| !after(first, stream.accepted));
        arrived && stream.received == stream.sent
    }

    /// What the client sent from a place on, without a gap.
    fn from(&self, place: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut next = place;
        for (sequence, held) in &self.held {
            let Ok(skip) = usize::try_from(next.wrapping_sub(*sequence).cast_signed()) else {
                break;
            };
            if let Some(new) = held.get(skip..) {
                bytes.extend_from_slice(new);
                next = next.wrapping_add(new.len() as u32);
            }
        }
        bytes
    }
}

/// Whether a connection waits for somebody who is gone.
fn orphaned(key: &ConnectionKey, kernel: &mut Kernel) -> bool {
    kernel.change(key, state::TAKING, state::TAKING).is_ok()
        || kernel.change(key, state::FROZEN, state::TAKING).is_ok()
}

/// Lets the kernel judge a connection again.
fn release(key: &ConnectionKey, kernel: &mut Kernel) {
    let _gone = kernel.change(key, state::TAKING, state::JUDGED);
}

/// Makes the sockets and gives them to a proxy. Where that fails they are closed, which resets both
/// ends.
fn hand_over(
    key: &ConnectionKey,
    waiting: &Waiting,
    stream: &Stream,
    kernel: &mut Kernel,
    proxies: &mut Proxies,
) -> std::io::Result<()> {
    // The client's byte that the proxy reads first.
    let from = stream.accepted;
    let client = SocketAddr::new(address(&key.remote), key.remote_port);
    let server = SocketAddr::new(address(&key.local), key.local_port);
    let towards_client = Stand {
        own: server,
        other: client,
        send: stream.received,
        receive: from,
        side: stream.server,
        peer: stream.client,
        mark: mark::private(key.endpoint, false),
    };
    let towards_server = Stand {
        own: client,
        other: server,
        send: from,
        receive: stream.received,
        side: stream.client,
        peer: stream.server,
        mark: mark::private(key.endpoint, true),
    };
    let made = stand_in(&towards_client, &waiting.from(from))
        .and_then(|client| Ok((client, stand_in(&towards_server, &[])?)));
    let (client, server): (OwnedFd, OwnedFd) = match made {
        Ok(made) => made,
        Err(error) => {
            // Nothing stands in yet: it is judged here again, or its ends give up.
            let _gone = kernel.change(key, state::FROZEN, state::JUDGED);
            return Err(error);
        }
    };
    let _gone = kernel.change(key, state::FROZEN, state::PROXIED);
    let handed = Handed {
        why: waiting.why,
        complete: stream.replying == reply::DONE && stream.flags & UNFRAMED == 0,
        between: from != stream.next || !matches!(stream.replying, reply::DONE | reply::UNKNOWN),
    };
    proxies.hand(&handed, &client, &server);
    Ok(())
}

fn address(bytes: &[u8; 16]) -> IpAddr {
    Ipv6Addr::from(*bytes).to_canonical()
}
