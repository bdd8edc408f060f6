//! HTTP requests as policy sees them, and the verdict on one.

pub mod doubt;
pub mod matcher;
pub mod normalise;

use std::{net::IpAddr, sync::Arc};

pub use doubt::{Asked, Doubt};

use serde::{Deserialize, Serialize};

use crate::model::{Direction, Protocol};

/// The parts of a request that rules look at, exactly as the client sent them.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Method, case as sent.
    pub method: &'a str,
    /// Path with its query string; `None` for CONNECT, which has none.
    pub path: Option<&'a str>,
    /// Host, with its port where the client sent one; `None` for HTTP/1.0 without one.
    pub host: Option<&'a str>,
    /// Headers in order; names in any case, values without surrounding white space.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Whether a body follows.
    pub body: bool,
}

/// Which flow a request travels on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestFlow {
    /// The endpoint whose rules decide, by its index in the snapshot.
    pub endpoint: u16,
    /// Whether they are its ingress or its egress rules.
    pub direction: Direction,
    /// The other end: the client for ingress, the server for egress.
    pub peer: IpAddr,
    /// TCP, or UDP for DNS.
    pub protocol: Protocol,
    /// Destination port at the endpoint (ingress) or at the peer (egress).
    pub port: u16,
}

/// The verdict on one request, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct RequestVerdict {
    /// Whether the request may go on.
    pub allowed: bool,
    /// It goes on only because the policies that would deny it are in audit mode.
    pub audit: bool,
    /// Why it is refused although rules allow it: it is not certain what the server would take it
    /// for. Then it is not allowed.
    pub doubt: Option<Doubt>,
    /// `Kind/NS/NAME` of the policies that decided.
    pub policies: Vec<String>,
    /// One sentence: the rule that allowed it, or what was missing.
    pub reason: String,
    /// What its header rules change on the way to the server.
    pub edits: Vec<HeaderEdit>,
    /// Headers that header rules found missing or with another value.
    pub noted: Vec<String>,
}

/// A change of a request's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Every line of this name goes.
    Remove(String),
    /// A line more, after the others.
    Append {
        /// Name.
        name: String,
        /// Value.
        value: String,
    },
}

/// What may be spoken on a flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Speaks {
    /// HTTP, judged request by request.
    pub http: bool,
    /// TLS, judged by server name.
    pub tls: bool,
    /// DNS, judged query by query.
    pub dns: bool,
    /// Anything: no rule looks into the flow, or only policies in audit mode do.
    pub anything: bool,
}

/// What a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameUse {
    /// The server name of a TLS connection.
    Tls,
    /// A DNS query.
    Dns,
}

impl RequestVerdict {
    /// A verdict with nothing to change.
    pub fn new(allowed: bool, policies: Vec<String>, reason: impl Into<String>) -> Self {
        Self {
            allowed,
            audit: false,
            doubt: None,
            policies,
            reason: reason.into(),
            edits: Vec::new(),
            noted: Vec::new(),
        }
    }
}

/// Decides requests. [`L7Table`](crate::l7::L7Table) does it from compiled policy.
pub trait Judge: Send + Sync {
    /// What may be spoken on a flow.
    fn speaks(&self, flow: RequestFlow) -> Speaks;

    /// The verdict on a name: the server name of a TLS connection (`None`: it names none), or
    /// that of a DNS query.
    fn judge_name(&self, flow: RequestFlow, usage: NameUse, name: Option<&str>) -> RequestVerdict;

    /// What the rules of a flow look at; nothing where none is in force.
    fn asked(&self, flow: RequestFlow) -> Arc<Asked>;

    /// The verdict on one request of a flow.
    fn judge(&self, flow: RequestFlow, request: &Request<'_>) -> RequestVerdict;
}

/// Judges a request in every reading of its path. All must be allowed, because the client's bytes
/// go on unchanged, whoever reads them. The first verdict that denies is given; one that allows
/// has the header changes of all readings.
pub fn judge_every_reading(
    request: &Request<'_>,
    mut judge: impl FnMut(&Request<'_>) -> RequestVerdict,
) -> RequestVerdict {
    let mut verdict = judge(request);
    let Some(path) = request.path else {
        return verdict;
    };
    if !verdict.allowed {
        return verdict;
    }
    for reading in normalise::readings(path) {
        let mut again = judge(&Request {
            path: Some(&reading),
            ..*request
        });
        if !again.allowed {
            again.reason = format!(
                "a server may take the path for `{reading}`, and then: {}",
                again.reason
            );
            return again;
        }
        for edit in again.edits {
            if !verdict.edits.contains(&edit) {
                verdict.edits.push(edit);
            }
        }
        if again.audit && !verdict.audit {
            verdict.audit = true;
            verdict.reason = again.reason;
        }
    }
    verdict
}
