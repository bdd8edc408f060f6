//! Requests that passed, counted many at once: under load they are nearly all alike.

use std::{collections::HashMap, net::IpAddr};

use weir_link::proxy::{Application, HttpVersion, L7Record};
use weir_policy::model::Direction;

use crate::{metrics::Metrics, names::Directory};

/// What requests that count alike have in common.
type Key<'a> = (
    IpAddr,
    IpAddr,
    Direction,
    &'a str,
    HttpVersion,
    [Option<u16>; 2],
);

/// Counts requests for which [`Later::fits`](crate::record::Later::fits).
pub fn count<'a>(
    requests: impl Iterator<Item = &'a L7Record>,
    names: &Directory,
    metrics: &Metrics,
) {
    let mut alike: HashMap<Key<'_>, (&L7Record, Vec<u64>)> = HashMap::new();
    for request in requests {
        let Application::Http(http) = &request.application else {
            continue;
        };
        let key = (
            request.client.ip(),
            request.server.ip(),
            request.direction,
            http.method.as_str(),
            http.version,
            [http.status, http.grpc_status],
        );
        let (_, latencies) = alike.entry(key).or_insert_with(|| (request, Vec::new()));
        latencies.push(request.latency_ns());
    }
    for (request, latencies) in alike.into_values() {
        metrics.passed(request, &latencies, names);
    }
}
