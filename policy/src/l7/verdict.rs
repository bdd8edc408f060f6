//! The verdict on one request of a flow: an HTTP request, a TLS server name, a DNS query.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    http::{Doubt, HeaderEdit},
    model::{Direction, Protocol},
    nearest::NearestMiss,
    reason::{self, Reason, RuleRef},
};

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
    /// The judged port: the endpoint's (ingress) or the peer's (egress).
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

// === impl RequestVerdict ===

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

    /// The same of rules that only look: it says what fits, and denies and changes nothing.
    pub(crate) fn watched(self) -> Self {
        let rules = self.rule.into_iter().filter(|rule| !rule.policy.is_empty());
        Self::because(true, Reason::Watched(rules.collect()))
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
    pub(crate) fn of_reading(self, sent: &str, reading: &str) -> Self {
        let (sent, as_read) = (reason::told(sent), reason::told(reading));
        let hint = format!("a server may take `{sent}` for `{as_read}`");
        Self {
            nearest: self.nearest.map(|nearest| nearest.hinted(&hint)),
            reason: reason::of_reading(reading, &self.reason),
            ..self
        }
    }
}
