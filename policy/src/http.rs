//! HTTP requests as policy sees them, and the verdict on one.

pub mod matcher;
pub mod normalise;

use std::net::IpAddr;

use crate::model::Direction;

/// The parts of a request that rules look at, exactly as the client sent them.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Method, case as sent.
    pub method: &'a str,
    /// Path with its query string; `None` for CONNECT, which has none.
    pub path: Option<&'a str>,
    /// Host, with its port where the client sent one.
    pub host: &'a str,
    /// Headers in order; names in any case, values without surrounding white space.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Which flow a request travels on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFlow {
    /// The endpoint whose rules decide, by its index in the snapshot.
    pub endpoint: u16,
    /// Whether they are its ingress or its egress rules.
    pub direction: Direction,
    /// The other end: the client for ingress, the server for egress.
    pub peer: IpAddr,
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
    /// `Kind/NS/NAME` of the policies that decided.
    pub policies: Vec<String>,
    /// One sentence: the rule that allowed it, or what was missing.
    pub reason: String,
}

/// Decides requests. [`L7Table`](crate::l7::L7Table) does it from compiled policy.
pub trait Judge: Send + Sync {
    /// Whether only policies in audit mode have HTTP rules for a flow: then nothing on it is
    /// refused, whatever it speaks.
    fn audits(&self, flow: RequestFlow) -> bool;

    /// The verdict on one request of a flow.
    fn judge(&self, flow: RequestFlow, request: &Request<'_>) -> RequestVerdict;
}

/// Judges a request twice: its path as sent, and as a server might normalise it. Both must be
/// allowed, because the client's bytes go on unchanged. The second verdict is given where it denies.
pub fn judge_as_sent_and_normalised(
    request: &Request<'_>,
    mut judge: impl FnMut(&Request<'_>) -> RequestVerdict,
) -> RequestVerdict {
    let verdict = judge(request);
    let Some(path) = request.path else {
        return verdict;
    };
    let normalised = normalise::normalise(path);
    if !verdict.allowed || normalised == path {
        return verdict;
    }
    let mut again = judge(&Request {
        path: Some(&normalised),
        ..*request
    });
    if !again.allowed {
        again.reason = format!(
            "a server may take the path for `{normalised}`, and then: {}",
            again.reason
        );
        return again;
    }
    verdict
}
