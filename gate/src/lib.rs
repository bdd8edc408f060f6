//! Who may come in: each server of ours has a gate, so that nobody who reaches a port can use
//! up what the agent needs to enforce.
//!
//! ```text
//!  accept ─▶ Gate::enter ─▶ Pass ─▶ Guarded stream (closed when nothing moves) ─▶ the protocol
//!                └─ refused: closed at once, and counted
//! ```
//!
//! A gate bounds connections, in all and for each peer where peers can be told apart;
//! [`Guarded`] bounds the time in which nothing is said; `http` bounds a request's head and a
//! connection's life. [`descriptors`] says how many connections there may be at all: the servers
//! together take less than a third of the descriptors, and the rest is the agent's own. What comes in
//! by a file or standard input is bounded by [`lines`], and work that may be dear is done [`apart`].
#![forbid(unsafe_code)]

pub mod apart;
pub mod descriptors;
#[cfg(feature = "http")]
pub mod http;
pub mod lines;
#[cfg(feature = "http")]
pub mod metrics;
mod stream;
#[cfg(feature = "http")]
pub mod token;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

pub use stream::Guarded;

/// The gates of this process, for [`counts`].
static GATES: Mutex<Vec<Weak<Gate>>> = Mutex::new(Vec::new());

/// How many connections a server has at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub total: usize,
    /// From one peer.
    pub per_peer: usize,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An address. Of IPv6 a whole /64 is one peer: a host may choose among its addresses.
    Address(IpAddr),
    /// A user of this machine, by uid.
    User(u32),
    /// Nobody can be told apart.
    Anybody,
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are as many as there may be.
    Full,
    /// There are as many of this peer as there may be of one.
    Peer,
}

/// The gate of one server.
#[derive(Debug)]
pub struct Gate {
    server: &'static str,
    limits: Limits,
    inside: Mutex<HashMap<Peer, usize>>,
    full: AtomicU64,
    peer: AtomicU64,
}

/// A connection that may be served; it has left when this is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    peer: Peer,
}

/// What came to a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Name of the server.
    pub server: &'static str,
    /// Connections now.
    pub open: usize,
    /// Refused because there were too many.
    pub full: u64,
    /// Refused because one peer had too many.
    pub peer: u64,
}

/// What came to the gates of this process.
pub fn counts() -> Vec<Count> {
    let gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
    let gates = gates.iter().filter_map(Weak::upgrade);
    gates.map(|gate| gate.count()).collect()
}

// === impl Gate ===

impl Gate {
    /// The gate of a server of this name.
    pub fn new(server: &'static str, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            server,
            limits,
            inside: Mutex::default(),
            full: AtomicU64::new(0),
            peer: AtomicU64::new(0),
        })
    }

    /// The gate of a server of this process, with its share of the descriptors. [`counts`] tells
    /// of it.
    pub fn of(share: descriptors::Share) -> Arc<Self> {
        Self::told(share.server(), share.limits())
    }

    /// The gate of something else that one at a time is let into; [`counts`] tells of it, too.
    pub fn told(server: &'static str, limits: Limits) -> Arc<Self> {
        let gate = Self::new(server, limits);
        let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|gate| gate.strong_count() > 0);
        gates.push(Arc::downgrade(&gate));
        gate
    }

    /// Lets a connection in, or says why not.
    ///
    /// # Errors
    /// See [`Refused`]. It is counted.
    pub fn enter(self: &Arc<Self>, peer: Peer) -> Result<Pass, Refused> {
        let peer = peer.apart();
        let mut inside = self.inside();
        let all: usize = inside.values().sum();
        let of_peer = inside.get(&peer).copied().unwrap_or(0);
        let refused = if all >= self.limits.total {
            self.full.fetch_add(1, Relaxed);
            Refused::Full
        } else if of_peer >= self.limits.per_peer {
            self.peer.fetch_add(1, Relaxed);
            Refused::Peer
        } else {
            inside.insert(peer, of_peer + 1);
            drop(inside);
            return Ok(Pass {
                gate: Arc::clone(self),
                peer,
            });
        };
        drop(inside);
        tracing::debug!(server = self.server, ?peer, ?refused, "connection refused");
        Err(refused)
    }

    /// What came to it so far.
    pub fn count(&self) -> Count {
        Count {
            server: self.server,
            open: self.inside().values().sum(),
            full: self.full.load(Relaxed),
            peer: self.peer.load(Relaxed),
        }
    }

    fn inside(&self) -> MutexGuard<'_, HashMap<Peer, usize>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        if let Some(count) = inside.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.peer);
            }
        }
    }
}

// === impl Peer ===

impl Peer {
    /// The peer that counts.
    fn apart(self) -> Self {
        match self {
            Self::Address(address) => Self::Address(match address.to_canonical() {
                IpAddr::V6(v6) => {
                    let network = u128::from(v6) & (u128::MAX << 64);
                    IpAddr::V6(Ipv6Addr::from(network))
                }
                v4 @ IpAddr::V4(_) => v4,
            }),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Peer {
        Peer::Address(text.parse().expect("an address"))
    }

    #[test]
    fn one_peer_takes_its_share_and_no_more() {
        let limits = Limits {
            total: 3,
            per_peer: 2,
        };
        let gate = Gate::new("test", limits);
        let first = gate.enter(at("192.0.2.1")).expect("room");
        // The same address in its other form.
        let second = gate.enter(at("::ffff:192.0.2.1")).expect("room");
        let refused = gate.enter(at("192.0.2.1")).err();
        assert_eq!(refused, Some(Refused::Peer));
        let other = gate.enter(at("192.0.2.2")).expect("room for another");
        assert_eq!(gate.enter(at("192.0.2.3")).err(), Some(Refused::Full));
        let count = Count {
            server: "test",
            open: 3,
            full: 1,
            peer: 1,
        };
        assert_eq!(gate.count(), count);
        drop((first, other));
        assert_eq!(gate.count().open, 1);
        let third = gate.enter(at("192.0.2.1")).expect("room again");
        drop((second, third));
        assert!(gate.inside().is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn addresses_of_one_network_are_one_peer() {
        let limits = Limits {
            total: 9,
            per_peer: 1,
        };
        let gate = Gate::new("test", limits);
        let one = gate.enter(at("2001:db8::1")).expect("room");
        assert_eq!(
            gate.enter(at("2001:db8::ffff:2")).err(),
            Some(Refused::Peer)
        );
        let two = gate.enter(at("2001:db8:0:1::1")).expect("another network");
        let user = gate.enter(Peer::User(0)).expect("a user");
        assert_eq!(gate.enter(Peer::User(0)).err(), Some(Refused::Peer));
        drop((one, two, user));
    }
}
