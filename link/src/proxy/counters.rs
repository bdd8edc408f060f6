//! What a worker counts, and the sum over workers that the agent is sent.
//!
//! A counter is declared here and nowhere else: status shows the sum as it is, and metrics and their
//! page are made of [`FAMILIES`] and [`CountersSnapshot::series`].

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

use super::Refusal;

/// A metric that counters belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it counts, as one sentence.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What is there now; else what has happened since the proxy started.
    pub gauge: bool,
}

/// Refused requests.
const REFUSED: Family = Family {
    name: "weir_proxy_parse_errors_total",
    help: "Requests refused because they were malformed or ambiguous.",
    labels: &["reason"],
    gauge: false,
};

macro_rules! counters {
    ($(
        $kind:ident $family:literal, $help:literal, [$($label:literal),*] {
            $($(#[$doc:meta])* $name:ident [$($value:literal),*],)*
        }
    )*) => {
        /// Counters of one worker. Only its own thread writes them.
        #[derive(Debug)]
        pub struct Counters {
            $($($(#[$doc])* pub $name: Counter,)*)*
            /// Refused requests by [`Refusal::index`].
            refused: Vec<Counter>,
        }

        /// Counters summed over workers since the process started.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct CountersSnapshot {
            $($($(#[$doc])* #[serde(default)] pub $name: u64,)*)*
            /// Refused requests by [`Refusal::reason`]; reasons that never occurred are left out.
            #[serde(default)]
            pub requests_refused: BTreeMap<String, u64>,
        }

        /// The metrics that the counters are shown as.
        pub const FAMILIES: &[Family] = &[
            $(Family {
                name: $family,
                help: $help,
                labels: &[$($label),*],
                gauge: counters!(@gauge $kind),
            },)*
            REFUSED,
        ];

        impl Default for Counters {
            fn default() -> Self {
                Self {
                    $($($name: Counter::default(),)*)*
                    refused: Refusal::ALL.iter().map(|_| Counter::default()).collect(),
                }
            }
        }

        impl CountersSnapshot {
            /// Adds one worker's counters.
            pub fn add(&mut self, worker: &Counters) {
                $($(self.$name += worker.$name.get();)*)*
                for (refusal, count) in Refusal::ALL.iter().zip(&worker.refused) {
                    if count.get() > 0 {
                        *self.requests_refused.entry(refusal.reason().to_owned()).or_default() += count.get();
                    }
                }
            }

            /// Shows every counter, also one that is zero: the name of its family, the values of its
            /// labels, its own.
            pub fn series(&self, mut show: impl FnMut(&'static str, &[&str], u64)) {
                $($(show($family, &[$($value),*], self.$name);)*)*
                for refusal in Refusal::ALL {
                    let reason = refusal.reason();
                    let count = self.requests_refused.get(reason).copied();
                    show(REFUSED.name, &[reason], count.unwrap_or(0));
                }
            }
        }
    };
    (@gauge gauge) => { true };
    (@gauge counter) => { false };
}

counters! {
    counter "weir_proxy_judged_total", "What the proxy judged.", ["protocol", "verdict"] {
        /// Requests that policy allowed.
        requests_allowed ["http", "allowed"],
        /// Requests that policy denied with 403.
        requests_denied ["http", "denied"],
        /// DNS queries that policy allowed.
        queries_allowed ["dns", "allowed"],
        /// DNS queries refused.
        queries_denied ["dns", "denied"],
        /// TLS connections that policy allowed by their server name.
        tls_allowed ["tls", "allowed"],
        /// TLS connections reset because of their server name.
        tls_denied ["tls", "denied"],
        /// Requests, queries and connections that went on only because policies are in audit mode.
        audited ["all", "audited"],
    }
    counter "weir_proxy_tunnels_ended_total", "Open tunnels (upgrades, CONNECT, TLS) that were reset because a new snapshot does not allow them.", [] {
        /// Open tunnels reset because a new snapshot does not allow them.
        tunnels_ended [],
    }
    counter "weir_dns_queries_dropped_total", "DNS queries that nobody answered: malformed, or too many at once.", ["reason"] {
        /// Datagrams and messages that are no DNS query; nobody answers them.
        queries_malformed ["malformed"],
        /// DNS queries dropped because too many waited for an answer.
        queries_dropped ["too many"],
    }
    counter "weir_dns_names_late_total", "DNS answers given before the kernel enforced them, because that took too long.", [] {
        /// DNS answers given before the kernel enforced them.
        names_late [],
    }
    counter "weir_proxy_connections_refused_total", "Connections that the proxy reset unserved.", ["reason"] {
        /// Connections reset because their first bytes were not HTTP/1.
        not_http ["not HTTP"],
        /// Connections reset because they did not come through the datapath.
        strangers ["stranger"],
        /// Connections reset because no policy was loaded yet.
        no_policy ["no policy"],
    }
    counter "weir_proxy_upstream_failures_total", "Requests answered with 503 because the server could not be reached.", [] {
        /// Requests whose server could not be reached.
        upstream_failures [],
    }
    counter "weir_proxy_response_faults_total", "Answers not forwarded, or cut, because they were malformed or ambiguous.", [] {
        /// Responses not forwarded, or cut.
        response_faults [],
    }
    counter "weir_proxy_connections_total", "Connections that the proxy accepted.", [] {
        /// Connections accepted.
        connections_total [],
    }
    gauge "weir_proxy_connections_open", "Connections open in the proxy.", [] {
        /// Connections open now.
        connections_open [],
    }
    counter "weir_proxy_connections_reset_total", "Connections that were reset by a side.", ["side"] {
        /// Connections that the client reset.
        client_resets ["client"],
        /// Connections that the server reset.
        upstream_resets ["server"],
    }
    counter "weir_proxy_port_fallbacks_total", "Connections to a server that could not keep the client's port.", [] {
        /// Connections to a server that could not keep the client's port.
        port_fallbacks [],
    }
    counter "weir_proxy_records_dropped_total", "Records of requests that the agent did not take in time.", [] {
        /// Flow records dropped because the agent did not keep up.
        flows_dropped [],
    }
    counter "weir_proxy_accept_errors_total", "Connections that the proxy could not accept: mostly for want of file descriptors.", [] {
        /// accept() calls that failed.
        accept_errors [],
    }
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

    #[test]
    fn each_counter_is_a_series_of_its_own_in_a_family_that_fits() {
        let mut seen = std::collections::HashSet::new();
        CountersSnapshot::default().series(|family, values, _| {
            let family = FAMILIES.iter().find(|known| known.name == family);
            let family = family.expect("a family");
            assert_eq!(family.labels.len(), values.len(), "{}", family.name);
            let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
            assert!(seen.insert((family.name, values)), "{}", family.name);
        });
        let text = serde_json::to_value(CountersSnapshot::default()).unwrap();
        let shown = text.as_object().unwrap().len() - 1 + Refusal::ALL.len();
        assert_eq!(seen.len(), shown);
    }
}
