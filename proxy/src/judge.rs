//! One request, two readings of its path, one verdict.

use weir_policy::http::{
    Judge, Request, RequestFlow, RequestVerdict, judge_as_sent_and_normalised,
};

use crate::http1::request::RequestHead;

/// Judges a request as sent and, where a server might read its path differently, in that reading
/// too. Both must be allowed; the verdict returned is the one that decided.
pub fn judge(policy: &dyn Judge, flow: RequestFlow, head: &RequestHead<'_>) -> RequestVerdict {
    let request = Request {
        method: head.method,
        path: head.path.as_deref(),
        host: head.host,
        headers: &head.fields,
    };
    judge_as_sent_and_normalised(&request, |request| policy.judge(flow, request))
}
