//! What agent and proxy say to each other.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use weir_policy::{l7::L7Table, l7::RequestFlow, model::Direction};

use super::{counters::CountersSnapshot, record::Recorded};

/// Version of these messages. A proxy and an agent of different versions do not talk.
pub const PROTOCOL: u32 = 10;

/// From the proxy to the agent. Flow records, of which there are many, go beside these as frames of
/// their own: see [`super::frame::encode_flows`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToAgent {
    /// The first message, with the listener sockets.
    Hello(Hello),
    /// Every worker judges by this snapshot from now on.
    Ack {
        /// Its revision.
        revision: u64,
    },
    /// What a name resolves to. Its answer waits until the agent says that it is enforced.
    Learned(Learned),
    /// All counters, once a second.
    Counters(Box<CountersSnapshot>),
    /// The proxy was told to stop: steer no more connections to it.
    Draining,
}

/// From the agent to the proxy, borrowed so that a large table is not copied to be sent.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToProxyRef<'a> {
    /// Judge by this from now on.
    Snapshot {
        /// What to judge by.
        table: &'a L7Table,
    },
    /// What was learned under this ticket is enforced.
    Enforced {
        /// See [`Learned::ticket`].
        ticket: u64,
    },
    /// What to tell of requests.
    Record(&'a Recorded),
}

/// From the agent to the proxy.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToProxy {
    /// Judge by this from now on.
    Snapshot {
        /// What to judge by.
        table: Box<L7Table>,
    },
    /// What was learned under this ticket is enforced.
    Enforced {
        /// See [`Learned::ticket`].
        ticket: u64,
    },
    /// What to tell of requests.
    Record(Recorded),
}

/// How a proxy introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Version of the proxy's program.
    pub version: String,
    /// Its process id, as it sees it.
    pub pid: u32,
    /// When its process started: nanoseconds since the machine booted (CLOCK_BOOTTIME).
    pub started: u64,
    /// What the sockets that come with this message are, in their order.
    pub listeners: Vec<ListenerInfo>,
}

/// One listener socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerInfo {
    /// The private namespace it is in.
    pub direction: Direction,
    /// Whether it takes IPv6 connections; else IPv4.
    pub v6: bool,
    /// Whether it takes datagrams (DNS queries); else TCP connections.
    pub udp: bool,
    /// The port it is bound to.
    pub port: u16,
}

/// What a name resolves to, as a server told an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Number by which the agent says that it is enforced.
    pub ticket: u64,
    /// The query's flow: who asked, and which server answered.
    pub flow: RequestFlow,
    /// The name that was asked for, as [`weir_policy::names::Name`] writes it.
    pub name: String,
    /// Its addresses, and for how many seconds each.
    pub addresses: Vec<(IpAddr, u32)>,
}
