//! HTTP requests as policy sees them, and the verdict on one.

pub mod doubt;
pub mod matcher;
pub mod normalise;

use std::{net::IpAddr, sync::Arc};

pub use doubt::{Asked, Doubt};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Direction, Protocol},
    nearest::NearestMiss,
    reason::{self, Reason, RuleRef},
};

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
    /// The rule that allowed it; of HTTP rules the entry.
    pub rule: Option<RuleRef>,
    /// Of one that is denied: the rule that lacks the least.
    pub nearest: Option<NearestMiss>,
    /// One sentence.
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
            rule: None,
            nearest: None,
            reason: reason.into(),
            edits: Vec::new(),
            noted: Vec::new(),
        }
    }

    /// A verdict with nothing to change, of the rules of a reason.
    pub(crate) fn because(allowed: bool, reason: Reason) -> Self {
        let verdict = Self::new(allowed, reason.policies(), reason.to_string());
        Self {
            rule: reason.into_rule().filter(|_| allowed),
            ..verdict
        }
    }

    /// The same of rules in audit mode, which deny nothing and change nothing.
    pub(crate) fn audited(self) -> Self {
        let audit = !self.allowed;
        Self {
            allowed: true,
            audit,
            doubt: None,
            reason: match audit {
                true => reason::audited(&self.reason),
                false => self.reason,
            },
            edits: Vec::new(),
            ..self
        }
    }

    /// What came nearest, as records have it. What a doubt is about stands in the reason already.
    pub fn nearest_text(&self) -> Option<String> {
        let nearest = self.nearest.as_ref().filter(|_| self.doubt.is_none());
        nearest.map(|nearest| nearest.text.clone())
    }

    /// The same of one reading of the path.
    fn of_reading(self, sent: &str, reading: &str) -> Self {
        let hint = format!("a server may take `{sent}` for `{reading}`");
        Self {
            nearest: self.nearest.map(|nearest| nearest.hinted(&hint)),
            reason: reason::of_reading(reading, &self.reason),
            ..self
        }
    }
}

// === impl NameUse ===

impl std::fmt::Display for NameUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tls => "server name",
            Self::Dns => "DNS name",
        })
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
        let again = judge(&Request {
            path: Some(&reading),
            ..*request
        });
        if !again.allowed {
            return again.of_reading(path, &reading);
        }
        for edit in &again.edits {
            if !verdict.edits.contains(edit) {
                verdict.edits.push(edit.clone());
            }
        }
        if again.audit && !verdict.audit {
            verdict = RequestVerdict {
                edits: verdict.edits,
                noted: verdict.noted,
                ..again.of_reading(path, &reading)
            };
        }
    }
    verdict
}
