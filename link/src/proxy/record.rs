//! The record of one request, as the agent is told.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use weir_policy::model::Direction;

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
