//! What a worker counts, and the sum over workers that the agent is sent.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

use super::Refusal;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one worker. Only its own thread writes them.
        #[derive(Debug)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// Refused requests by [`Refusal::index`].
            refused: Vec<Counter>,
        }

        /// Counters summed over workers since the process started.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct CountersSnapshot {
            $($(#[$doc])* #[serde(default)] pub $name: u64,)*
            /// Refused requests by [`Refusal::reason`]; reasons that never occurred are left out.
            #[serde(default)]
            pub requests_refused: BTreeMap<String, u64>,
        }

        impl Default for Counters {
            fn default() -> Self {
                Self {
                    $($name: Counter::default(),)*
                    refused: Refusal::ALL.iter().map(|_| Counter::default()).collect(),
                }
            }
        }

        impl CountersSnapshot {
            /// Adds one worker's counters.
            pub fn add(&mut self, worker: &Counters) {
                $(self.$name += worker.$name.get();)*
                for (refusal, count) in Refusal::ALL.iter().zip(&worker.refused) {
                    if count.get() > 0 {
                        *self.requests_refused.entry(refusal.reason().to_owned()).or_default() += count.get();
                    }
                }
            }
        }
    };
}

counters! {
    /// Requests that policy allowed.
    requests_allowed,
    /// Requests that policy denied with 403.
    requests_denied,
    /// Requests, queries and connections that went on only because policies are in audit mode.
    audited,
    /// DNS queries that policy allowed.
    queries_allowed,
    /// DNS queries refused.
    queries_denied,
    /// Datagrams and messages that are no DNS query; nobody answers them.
    queries_malformed,
    /// DNS queries dropped because too many waited for an answer.
    queries_dropped,
    /// DNS answers given before the kernel enforced them, because that took too long.
    names_late,
    /// TLS connections that policy allowed by their server name.
    tls_allowed,
    /// TLS connections reset because of their server name.
    tls_denied,
    /// Open tunnels ended because a new snapshot does not allow them.
    tunnels_ended,
    /// Connections reset because their first bytes were not HTTP/1.
    not_http,
    /// Connections reset because they did not come through the datapath.
    strangers,
    /// Connections reset because no policy was loaded yet.
    no_policy,
    /// Requests answered with 503 because the server could not be reached.
    upstream_failures,
    /// Responses not forwarded, or cut, because they were malformed or ambiguous.
    response_faults,
    /// Connections accepted.
    connections_total,
    /// Connections open now.
    connections_open,
    /// Connections that the client reset.
    client_resets,
    /// Connections that the server reset.
    upstream_resets,
    /// Connections to a server that could not keep the client's port.
    port_fallbacks,
    /// Flow records dropped because the agent did not keep up.
    flows_dropped,
    /// accept() calls that failed.
    accept_errors,
}

/// One number; relaxed, because no other memory depends on it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Takes one away (gauges).
    pub fn subtract(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    /// Counts a refused request.
    pub fn refuse(&self, refusal: Refusal) {
        if let Some(counter) = self.refused.get(refusal.index()) {
            counter.add();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_summed() {
        let workers = [Counters::default(), Counters::default()];
        for worker in &workers {
            worker.requests_allowed.add();
            worker.refuse(Refusal::NoHost);
        }
        let mut sum = CountersSnapshot::default();
        workers.iter().for_each(|worker| sum.add(worker));
        assert_eq!(sum.requests_allowed, 2);
        assert_eq!(
            sum.requests_refused,
            BTreeMap::from([("no host".to_owned(), 2)])
        );
    }
}
