//! The record of one request, as the agent is told.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use weir_policy::{
    http::RequestFlow,
    model::{Direction, Protocol},
};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Policy allowed it and a response came back.
    Allowed,
    /// Policies in audit mode would deny it; it went on all the same.
    Audited,
    /// Policy denied it.
    Denied,
    /// It was malformed, ambiguous or not HTTP, and no rule was asked.
    Refused,
    /// It was allowed but not answered: the server or the proxy failed.
    Error,
}

/// One request, DNS query or TLS connection, or a connection that never became one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct L7Flow {
    /// When the record was made, in microseconds since the Unix epoch.
    pub time_us: u64,
    /// The endpoint whose rules decided, by its index in the snapshot; `None` for a stranger.
    pub endpoint: Option<u16>,
    /// Whether they were its ingress or its egress rules.
    pub direction: Direction,
    /// Client address.
    pub client: SocketAddr,
    /// Server address, after service translation.
    pub server: SocketAddr,
    /// Method; `DNS` and `TLS` for a query and a connection by name; empty if there was none.
    pub method: String,
    /// Path with query, as sent; empty for CONNECT and without a request.
    pub path: String,
    /// Host, DNS name or server name; empty if there was none.
    pub host: String,
    /// Status code that the client got, if any.
    pub status: Option<u16>,
    /// What became of it.
    pub verdict: Outcome,
    /// `Kind/NS/NAME` of the policies that decided.
    pub policies: Vec<String>,
    /// One sentence: the rule, what was missing, or what failed.
    pub reason: String,
    /// From the end of the request's head to the end of the response, in microseconds.
    pub latency_us: u64,
    /// Of an HTTP request, the minor version: 0 for HTTP/1.0.
    pub minor_version: u8,
    /// The header fields that the agent has asked for, in order, values as text.
    pub headers: Vec<(String, String)>,
    /// Of a DNS query: what was asked and answered.
    pub dns: Option<Box<DnsRecord>>,
}

/// A DNS query and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// Over TCP; else UDP.
    pub tcp: bool,
    /// Types that were asked for, such as `AAAA`.
    pub query_types: Vec<String>,
    /// Code of the answer that the client got, the server's or our own; `None`: none came.
    pub code: Option<u16>,
    /// Addresses that the name leads to.
    pub addresses: Vec<IpAddr>,
    /// The shortest time that one of them may be kept, in seconds; 0 without any.
    pub ttl: u32,
    /// Names that it leads to.
    pub aliases: Vec<String>,
    /// Types of the records in the answer, each once.
    pub answer_types: Vec<String>,
}

impl L7Flow {
    /// The record of what was allowed, but of which nothing came.
    pub fn failed(self, fault: &dyn std::error::Error) -> Self {
        Self {
            verdict: Outcome::Error,
            reason: fault.to_string(),
            ..self
        }
    }
}

impl Outcome {
    /// What a verdict comes to.
    pub fn of(allowed: bool, audit: bool) -> Self {
        match (allowed, audit) {
            (true, false) => Self::Allowed,
            (true, true) => Self::Audited,
            (false, _) => Self::Denied,
        }
    }
}

/// Which flow a connection belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowKey {
    /// The endpoint, by its index in the snapshot.
    pub endpoint: u16,
    /// From the endpoint's view.
    pub direction: Direction,
    /// Client address.
    pub client: SocketAddr,
    /// The address that the client's connection was going to.
    pub server: SocketAddr,
    /// TCP, or UDP for DNS.
    pub protocol: Protocol,
    /// The mark of the accepted socket; see [`weir_abi::mark`].
    pub mark: u32,
}

impl FlowKey {
    /// The flow as policy sees it.
    pub fn request_flow(&self) -> RequestFlow {
        let peer = match self.direction {
            Direction::Ingress => self.client.ip(),
            Direction::Egress => self.server.ip(),
        };
        RequestFlow {
            endpoint: self.endpoint,
            direction: self.direction,
            peer,
            protocol: self.protocol,
            port: self.server.port(),
        }
    }

    /// A record of this flow with nothing said about a request yet.
    pub fn record(&self, verdict: Outcome, reason: impl Into<String>) -> L7Flow {
        L7Flow {
            time_us: 0,
            endpoint: Some(self.endpoint),
            direction: self.direction,
            client: self.client,
            server: self.server,
            method: String::new(),
            path: String::new(),
            host: String::new(),
            status: None,
            verdict,
            policies: Vec::new(),
            reason: reason.into(),
            latency_us: 0,
            minor_version: 1,
            headers: Vec::new(),
            dns: None,
        }
    }
}

/// Where records go. Sending never waits: a full queue drops the record.
#[derive(Debug, Clone)]
pub struct FlowSender {
    queue: mpsc::Sender<L7Flow>,
    recorded: watch::Receiver<Recorded>,
}

/// What the agent wants to be told of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Anything at all.
    pub requests: bool,
    /// Names of the header fields whose values are told, in lower case; no others leave the proxy.
    pub headers: Vec<String>,
}

impl Default for Recorded {
    /// Requests, without header fields: as long as no agent has said otherwise.
    fn default() -> Self {
        Self {
            requests: true,
            headers: Vec::new(),
        }
    }
}

/// Fields whose values never leave the proxy, whoever asks.
const SECRET: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
];

impl FlowSender {
    /// A queue of at most `capacity` records, and where to say what they tell.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<L7Flow>, watch::Sender<Recorded>) {
        let (queue, receiver) = mpsc::channel(capacity);
        let (wanted, recorded) = watch::channel(Recorded::default());
        (Self { queue, recorded }, receiver, wanted)
    }

    /// The fields of a request that the agent has asked for. Values that are no text lose what is
    /// none.
    pub fn wanted(&self, fields: &[(&str, &[u8])]) -> Vec<(String, String)> {
        let recorded = self.recorded.borrow();
        let names = &recorded.headers;
        if names.is_empty() {
            return Vec::new();
        }
        let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
        let wanted = |name: &str| {
            names.iter().any(|wanted| is(name, wanted)) && !SECRET.iter().any(|s| is(name, s))
        };
        fields
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value).into_owned();
                ((*name).to_owned(), value)
            })
            .collect()
    }

    /// Stamps and queues a record, where records are wanted; `false` if it was dropped.
    #[must_use]
    pub fn send(&self, mut flow: L7Flow, since: Instant) -> bool {
        if !self.recorded.borrow().requests {
            return true;
        }
        flow.latency_us = since.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        flow.time_us = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_micros().try_into().unwrap_or(u64::MAX));
        self.queue.try_send(flow).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_were_asked_for_leave() {
        let (sender, mut queue, recorded) = FlowSender::channel(1);
        let fields: [(&str, &[u8]); 4] = [
            ("Host", b"a"),
            ("X-Id", b"7\xff"),
            ("Authorization", b"secret"),
            ("Cookie", b"secret"),
        ];
        assert_eq!(sender.wanted(&fields), []);
        let ask = |names: &[&str]| {
            recorded.send_replace(Recorded {
                headers: names.iter().map(|name| (*name).to_owned()).collect(),
                ..Recorded::default()
            });
        };
        ask(&["x-id", "authorization", "cookie"]);
        let id = ("X-Id".to_owned(), "7\u{fffd}".to_owned());
        assert_eq!(sender.wanted(&fields), [id]);
        ask(&[]);
        assert_eq!(sender.wanted(&fields), []);
        let key = FlowKey {
            endpoint: 1,
            direction: Direction::Ingress,
            client: ([127, 0, 0, 1], 1).into(),
            server: ([127, 0, 0, 1], 2).into(),
            protocol: Protocol::Tcp,
            mark: 0,
        };
        let send = || sender.send(key.record(Outcome::Allowed, ""), Instant::now());
        recorded.send_replace(Recorded {
            requests: false,
            headers: Vec::new(),
        });
        assert!(send() && queue.try_recv().is_err());
        ask(&[]);
        assert!(send() && queue.try_recv().is_ok());
    }
}
