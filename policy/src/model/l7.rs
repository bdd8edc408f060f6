//! What the proxy lets pass on the flows of a rule.

use serde::{Deserialize, Serialize};

use super::policy::Protocol;
use crate::names::NamePattern;

/// What the proxy lets pass on the flows of a rule. An empty list lets nothing pass (all its
/// entries were refused).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum L7 {
    /// TCP: requests that match one of these.
    Http(Vec<HttpRule>),
    /// TCP: TLS connections to one of these server names.
    Tls(Vec<NamePattern>),
    /// UDP and TCP: DNS queries for one of these names.
    Dns(Vec<NamePattern>),
}

/// One HTTP rule: its fields are ANDed, and a field that is `None` matches everything.
///
/// Patterns are regular expressions that must match in full (RE2 syntax). INVARIANT: they compile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpRule {
    /// Where in the object it stands: `spec.ingress[0].toPorts[0].rules.http[0]`.
    pub place: String,
    /// Matches the request's method.
    pub method: Option<String>,
    /// Matches the path with its query string.
    pub path: Option<String>,
    /// Matches the host, with its port where the client sends one.
    pub host: Option<String>,
    /// All must be present.
    pub headers: Vec<HeaderMatch>,
    /// Headers that must have a value, and what to do where one has not.
    pub header_rules: Vec<HeaderRule>,
    /// Matches requests with a body whose method gives it no meaning, too (annotation
    /// `weir.dev/get-body: allow`).
    #[serde(default)]
    pub get_body: bool,
}

/// A header that should have a value (`headerMatches`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderRule {
    /// Its name, as written.
    pub name: String,
    /// The value; several lines of a header count as one with `,` between them.
    pub value: String,
    /// What to do where it has another value or is missing; `None`: the rule does not match.
    pub mismatch: Option<Mismatch>,
}

/// What a [`HeaderRule`] does with a request that lacks its value. The request matches all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mismatch {
    /// Report it.
    Log,
    /// Append the header with the value.
    Add,
    /// Take the header out.
    Delete,
    /// Take the header out and append it with the value.
    Replace,
}

/// A header that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Its name, lower case.
    pub name: String,
    /// Its exact value; `None`: present with any value.
    pub value: Option<String>,
}

// === impl HttpRule ===

impl HttpRule {
    /// One that every request matches.
    pub fn at(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            ..Self::default()
        }
    }
}

// === impl L7 ===

impl L7 {
    /// Whether flows of a protocol can be what it is about; those of others it never opens.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        match self {
            Self::Http(_) | Self::Tls(_) => protocol == Protocol::Tcp,
            Self::Dns(_) => matches!(protocol, Protocol::Tcp | Protocol::Udp),
        }
    }

    /// Whether flows of a protocol can be looked into and all pass, whatever is on them. A TCP
    /// connection for DNS ends at the proxy, which answers what it does not understand with its end.
    pub fn watches(&self, protocol: Protocol) -> bool {
        match self {
            Self::Http(_) | Self::Tls(_) => protocol == Protocol::Tcp,
            Self::Dns(_) => protocol == Protocol::Udp,
        }
    }
}
