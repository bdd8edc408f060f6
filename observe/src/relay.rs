//! One address for the flows of all nodes.
//!
//! ```text
//!  observer ◀─ Peer (connect, probe, back off) ─┐
//!  observer ◀─ Peer                             ├─ Relay ─▶ past: merged by time, whole
//!  observer ◀─ Peer                             ┘         └▶ live: merged in a window
//! ```
//!
//! A [`Peer`] keeps one connection to one observer. A request is asked of every observer that is
//! connected; what they answer is put into the order of the records' own times. An observer that
//! fails or is slow is named to the client in an event and waited for no longer: it never holds up
//! the others. Nothing is kept here but what is on its way to a client.

mod address;
mod client;
mod forwarded;
mod live;
mod past;
mod peer;
mod peer_service;
mod peers;
mod recent;
mod service;
mod sources;
mod tail;
mod tls;
mod window;

use std::{sync::Arc, time::Duration};

use crate::api::{
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    relay::{NodeState, NodeStatusEvent},
};

pub use address::{Address, AddressError};
pub use client::{Client, client, reason};
pub use forwarded::{Bytes, Dialling, Forwarded};
pub use peer_service::PeerService;
pub use peers::Peers;
pub use service::Relay;
pub use sources::{DnsName, FileError, Sources};
pub use tls::ClientTls;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A connection, or one answer of an observer.
    pub answer: Duration,
    /// Between two looks whether an observer still answers.
    pub probe: Duration,
    /// Before the second try to connect; doubled with every further one.
    pub retry: Duration,
    /// The longest time between two tries.
    pub retry_most: Duration,
    /// How long a followed flow waits for older ones of other nodes.
    pub window: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(5),
            probe: Duration::from_secs(3),
            retry: Duration::from_millis(200),
            retry_most: Duration::from_secs(30),
            // A node's own records are up to 100 ms out of order.
            window: Duration::from_millis(300),
        }
    }
}

/// An event that tells a client of nodes.
fn told(state: NodeState, nodes: Vec<String>, message: impl Into<String>) -> GetFlowsResponse {
    GetFlowsResponse {
        node_name: String::new(),
        time: Some(std::time::SystemTime::now().into()),
        response_types: Some(ResponseTypes::NodeStatus(NodeStatusEvent {
            state_change: state.into(),
            node_names: nodes,
            message: message.into(),
        })),
    }
}

/// The time of an answer, in ns since the Unix epoch: the node's own clock.
fn time_of(answer: &GetFlowsResponse) -> i128 {
    answer.time.as_ref().map_or(0, crate::service::nanoseconds)
}

/// An answer that says which node it is of.
fn named(mut answer: GetFlowsResponse, peer: &Arc<peer::Peer>) -> GetFlowsResponse {
    if answer.node_name.is_empty() {
        answer.node_name = peer.name();
    }
    answer
}

#[cfg(test)]
mod tests;
