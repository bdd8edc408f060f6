//! One request, every reading of its path, one verdict.

use weir_policy::http::{Request, judge_every_reading};
use weir_policy::l7::{Judge, RequestFlow, RequestVerdict};

use crate::http1::request::RequestHead;

/// Judges a request as sent and, where servers might read its path differently, in those readings
/// too. All must be allowed; the verdict returned is the one that decided. `body` is the whole
/// body that the head announces.
pub fn judge(
    policy: &dyn Judge,
    flow: RequestFlow,
    head: &RequestHead<'_>,
    body: bool,
) -> RequestVerdict {
    let request = Request {
        method: head.method,
        path: head.path.as_deref(),
        host: head.host,
        headers: &head.fields,
        body,
    };
    judge_every_reading(&request, |request| policy.judge(flow, request))
}
