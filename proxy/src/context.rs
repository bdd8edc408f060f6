//! What every connection of a worker shares.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use weir_link::proxy::{Counters, L7Record};
use weir_policy::l7::Judge;

use crate::{datapath::Datapath, dns::learn::Teller, flow::FlowSender, permit::Permit};

/// Limits that the command line sets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a head may take, from its first byte to its empty line.
    pub head_timeout: Duration,
    /// Most bytes of a request's path with its query: judging and recording cost what it is long.
    pub path: usize,
    /// How long a connection to a server may take.
    pub connect_timeout: Duration,
    /// How long a server may take to ask for a body whose client waits for that (100 Continue).
    pub continue_timeout: Duration,
    /// How long what an HTTP/2 stream has to say may wait for a window of its reader.
    pub stall_timeout: Duration,
    /// How long open connections may go on after the proxy was told to stop.
    pub drain: Duration,
    /// Most connections that one worker serves at once; more wait in the listen queue.
    pub connections: usize,
    /// How a DNS query is answered that policy denies.
    pub denied_query: DeniedQuery,
}

/// How a DNS query is answered that policy denies (RFC 1035, 4.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeniedQuery {
    /// `REFUSED`: the server does not answer this client.
    #[default]
    Refused,
    /// `NXDOMAIN`: there is no such name. A resolver that ends its search at `REFUSED` (musl's) goes on
    /// to the next name.
    NameError,
}

// === impl DeniedQuery ===

impl DeniedQuery {
    /// The code of the answer.
    pub fn code(self) -> u16 {
        match self {
            Self::Refused => 5,
            Self::NameError => 3,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            // What other servers take (RFC 9110 section 4.1 asks for at least 8,000).
            path: 8 * 1024,
            connect_timeout: Duration::from_secs(10),
            continue_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(300),
            drain: Duration::from_secs(30),
            connections: 100_000,
            denied_query: DeniedQuery::default(),
        }
    }
}

/// What every connection of a worker shares.
#[derive(Debug)]
pub struct Context {
    /// The policy in force.
    pub policy: PolicyCell,
    /// How connections come in and go out.
    pub datapath: Datapath,
    /// Limits.
    pub limits: Limits,
    /// This worker's counters.
    pub counters: Arc<Counters>,
    /// Where flow records go.
    pub flows: FlowSender,
    /// Who tells the agent what names resolve to.
    pub names: Teller,
    /// True once the proxy was told to stop.
    pub draining: watch::Receiver<bool>,
}

impl Context {
    /// Queues a flow record, or counts that it was dropped.
    pub fn record(&self, flow: L7Record, since: Instant) {
        if !self.flows.send(flow, since) {
            self.counters.flows_dropped.add();
        }
    }

    /// Whether the proxy was told to stop.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}

/// What a snapshot decides by.
#[derive(Clone)]
pub struct Policy {
    /// The snapshot's revision. It may start again with a new agent.
    pub revision: u64,
    /// Counts the policies of a worker, so that no two are taken for one.
    pub generation: u64,
    /// Decides.
    pub judge: Arc<dyn Judge>,
}

/// The policy that a worker's next request is judged by; empty until the first snapshot.
#[derive(Debug, Default)]
pub struct PolicyCell(watch::Sender<Option<Policy>>);

impl PolicyCell {
    /// The policy in force now. Take it once for a request.
    pub fn get(&self) -> Option<Policy> {
        self.0.borrow().clone()
    }

    /// Puts a policy in force for every request from now on, and wakes who follows.
    pub fn set(&self, revision: u64, judge: Arc<dyn Judge>) {
        self.0.send_modify(|now| {
            let generation = now.as_ref().map_or(0, |before| before.generation) + 1;
            *now = Some(Policy {
                revision,
                generation,
                judge,
            });
        });
    }

    /// Whether a permit is of the policy in force now. Ask after every wait between a verdict and what
    /// it allows.
    pub fn is_of(&self, permit: &Permit) -> bool {
        let now = self.0.borrow();
        now.as_ref()
            .is_some_and(|policy| policy.generation == permit.generation())
    }

    /// Follows the policies from the next one on.
    pub fn follow(&self) -> watch::Receiver<Option<Policy>> {
        self.0.subscribe()
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
