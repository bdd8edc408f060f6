//! One query: judged, recorded, and its answer's addresses told.

use std::time::Instant;

use weir_policy::http::NameUse;

use super::message::Question;
use crate::{
    context::Context,
    flow::{FlowKey, L7Flow, Outcome},
};

/// A judged query.
pub struct Judged {
    /// Whether it may be asked.
    pub allowed: bool,
    record: L7Flow,
    since: Instant,
}

/// Judges a query of a flow.
pub fn judge(context: &Context, key: &FlowKey, question: &Question) -> Judged {
    let since = Instant::now();
    let Some(policy) = context.policy.get() else {
        return Judged {
            allowed: false,
            record: key.record(Outcome::Refused, "no policy is loaded yet"),
            since,
        };
    };
    let name = Some(question.name.as_str());
    let verdict = policy.judge_name(key.request_flow(), NameUse::Dns, name);
    if verdict.audit {
        context.counters.audited.add();
    }
    if verdict.allowed {
        context.counters.queries_allowed.add();
    } else {
        context.counters.queries_denied.add();
    }
    Judged {
        allowed: verdict.allowed,
        record: L7Flow {
            method: "DNS".into(),
            host: question.name.clone(),
            policies: verdict.policies,
            ..key.record(Outcome::of(verdict.allowed, verdict.audit), verdict.reason)
        },
        since,
    }
}

impl Judged {
    /// Records the query as it ended. `failed` says why it got no answer, if it got none.
    pub fn record(self, context: &Context, failed: Option<String>) {
        let mut record = self.record;
        if let Some(reason) = failed {
            context.counters.upstream_failures.add();
            record.verdict = Outcome::Error;
            record.reason = reason;
        }
        context.record(record, self.since);
    }
}

/// Tells the agent what a server's answer says, and waits until it is enforced. `false`: it is no
/// answer to the question.
pub async fn told(context: &Context, question: &Question, answer: &[u8]) -> bool {
    let Some(addresses) = question.answers(answer) else {
        return false;
    };
    if !context.names.tell(question.name.clone(), addresses).await {
        context.counters.names_late.add();
    }
    true
}
