//! Who decides requests, and what may be asked.

use std::sync::Arc;

use super::verdict::{RequestFlow, RequestVerdict};
use crate::http::{Asked, Request};

/// What may be spoken on a flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Speaks {
    /// HTTP, judged request by request.
    pub http: bool,
    /// TLS, judged by server name.
    pub tls: bool,
    /// DNS, judged query by query.
    pub dns: bool,
    /// Anything: no rule looks into the flow, or only policies in audit mode or rules that only look
    /// do.
    pub anything: bool,
    /// Nothing of the flow would be denied by what looks into it.
    pub watched: bool,
}

/// What a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameUse {
    /// The server name of a TLS connection.
    Tls,
    /// A DNS query.
    Dns,
}

/// Decides requests. [`L7Table`](super::L7Table) does it from compiled policy.
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

// === impl NameUse ===

impl std::fmt::Display for NameUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tls => "server name",
            Self::Dns => "DNS name",
        })
    }
}
