//! One request, two readings of its path, one verdict.

use weir_policy::http::{Judge, Request, RequestFlow, RequestVerdict};

use crate::http1::{normalise::normalise, request::RequestHead};

/// Judges a request as sent and, where a server might read its path differently, in that reading
/// too. Both must be allowed; the verdict returned is the one that decided.
pub fn judge(policy: &dyn Judge, flow: RequestFlow, head: &RequestHead<'_>) -> RequestVerdict {
    let request = Request {
        method: head.method,
        path: head.path.as_deref(),
        host: head.host,
        headers: &head.fields,
    };
    let verdict = policy.judge(flow, &request);
    let Some(sent) = head.path.as_deref() else {
        return verdict;
    };
    let normal = normalise(sent);
    if !verdict.allowed || normal == sent {
        return verdict;
    }
    let mut second = policy.judge(
        flow,
        &Request {
            path: Some(&normal),
            ..request
        },
    );
    if second.allowed {
        return verdict;
    }
    second.reason = format!("read as {normal}: {}", second.reason);
    second
}
