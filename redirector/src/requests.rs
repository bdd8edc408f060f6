//! Requests that the kernel judged, as its ring tells them.

use std::{net::SocketAddr, time::Duration};

use aya::maps::{MapData, RingBuf};
use weir_abi::{http::Request, policy::direction};
use weir_policy::model::Direction;

use crate::maps::address;

/// How long requests gather between two readings: the kernel wakes nobody for them.
const GATHER: Duration = Duration::from_millis(20);

/// A request that passed, with its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Index of the endpoint whose rules allowed it.
    pub endpoint: u16,
    /// Whether they were its ingress or its egress rules.
    pub direction: Direction,
    /// Who asked.
    pub client: SocketAddr,
    /// Who was asked.
    pub server: SocketAddr,
    /// Method, as sent.
    pub method: String,
    /// Path with query, as sent.
    pub path: String,
    /// Host, as sent.
    pub host: String,
    /// Status of the reply; `None`: none was read.
    pub status: Option<u16>,
    /// Monotonic time in ns at which the reply ended.
    pub at: u64,
    /// From the request to there.
    pub latency: Duration,
}

/// The ring of requests.
pub struct Requests(RingBuf<MapData>);

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

// === impl Requests ===

impl Requests {
    pub(crate) fn new(ring: RingBuf<MapData>) -> Self {
        Self(ring)
    }

    /// Gives all requests that have gathered to `take`, for ever. Needs a tokio runtime.
    pub async fn read(mut self, mut take: impl FnMut(Vec<Judged>)) {
        let mut turns = tokio::time::interval(GATHER);
        loop {
            turns.tick().await;
            let mut gathered = Vec::new();
            while let Some(item) = self.0.next() {
                if item.len() >= size_of::<Request>() {
                    // SAFETY: the ring holds only whole records of this plain type.
                    let request = unsafe { std::ptr::read_unaligned(item.as_ptr().cast()) };
                    gathered.push(judged(&request));
                }
            }
            if !gathered.is_empty() {
                take(gathered);
            }
        }
    }
}

fn judged(request: &Request) -> Judged {
    let text = |bytes: &[u8], length: u16| {
        let bytes = bytes.get(..usize::from(length)).unwrap_or(bytes);
        String::from_utf8_lossy(bytes).into_owned()
    };
    let line = text(&request.text.line, request.text.line_length);
    let (method, path) = line.split_once(' ').unwrap_or((line.as_str(), ""));
    let key = &request.key;
    let local = SocketAddr::new(address(key.local), key.local_port);
    let remote = SocketAddr::new(address(key.remote), key.remote_port);
    let (direction, client, server) = match request.direction {
        direction::INGRESS => (Direction::Ingress, remote, local),
        _ => (Direction::Egress, local, remote),
    };
    Judged {
        endpoint: key.endpoint,
        direction,
        client,
        server,
        method: method.to_owned(),
        path: path.to_owned(),
        host: text(&request.text.host, request.text.host_length),
        status: (request.status != 0).then_some(request.status),
        at: request.at,
        latency: Duration::from_nanos(request.latency),
    }
}

#[cfg(test)]
mod tests {
    use weir_abi::{conntrack::ConnectionKey, http::NO_TEXT};

    use super::*;

    #[test]
    fn a_request_is_told_from_its_clients_side() {
        let mut text = NO_TEXT;
        text.line[..8].copy_from_slice(b"GET /a?b");
        text.host[..1].copy_from_slice(b"h");
        (text.line_length, text.host_length) = (8, 1);
        let key = ConnectionKey {
            local: weir_abi::mapped([10, 0, 0, 1]),
            remote: weir_abi::mapped([10, 0, 0, 2]),
            local_port: 80,
            remote_port: 40_000,
            endpoint: 3,
            ..ConnectionKey::default()
        };
        let told = judged(&Request {
            key,
            at: 5,
            latency: 7,
            status: 0,
            direction: direction::INGRESS,
            reserved: [0; 5],
            text,
        });
        assert_eq!(told.client, ([10, 0, 0, 2], 40_000).into());
        assert_eq!(told.server, ([10, 0, 0, 1], 80).into());
        let texts = [&told.method, &told.path, &told.host].map(String::as_str);
        assert_eq!(texts, ["GET", "/a?b", "h"]);
        assert_eq!((told.status, told.endpoint), (None, 3));
    }
}
