//! One query: judged, recorded, and its answer's addresses told.

use std::time::{Duration, Instant};

use tokio::time;

use weir_link::proxy::{Application, Disposition, DnsRecord, L7Record};
use weir_policy::model::Protocol;

use super::message::{Answer, Question};
use crate::{
    context::Context,
    flow::FlowKey,
    permit::{Ask, Permit},
};

/// What the proxy answers where the server does not (RFC 6895, 2.3).
const SERVER_FAILURE: u16 = 2;

/// How long an answer waits until all of its aliases are enforced.
const ALIASES: Duration = Duration::from_secs(2);

/// A judged query.
pub struct Judged {
    /// Where it may be asked.
    pub permit: Option<Permit>,
    record: L7Record,
    since: Instant,
}

/// Judges a query of a flow.
pub fn judge(context: &Context, key: &FlowKey, question: &Question) -> Judged {
    let since = Instant::now();
    let Some(policy) = context.policy.get() else {
        return Judged {
            permit: None,
            record: key.record(Disposition::Refused, "no policy is loaded yet"),
            since,
        };
    };
    let (verdict, permit) = Permit::ask(&policy, key, Ask::Query(&question.name));
    if verdict.audit {
        context.counters.audited.add();
    }
    if verdict.allowed {
        context.counters.queries_allowed.add();
    } else {
        context.counters.queries_denied.add();
    }
    Judged {
        permit,
        record: L7Record {
            application: Application::Dns(Box::new(DnsRecord {
                name: question.name.clone(),
                tcp: key.protocol == Protocol::Tcp,
                query_types: question.types(),
                ..DnsRecord::default()
            })),
            nearest: verdict.nearest_text(),
            policies: verdict.policies,
            ..key.record(
                Disposition::of(verdict.allowed, verdict.audit),
                verdict.reason,
            )
        },
        since,
    }
}

impl Judged {
    /// Records a query that policy denied.
    pub fn denied(self, context: &Context) {
        let code = context.limits.denied_query.code();
        self.end(context, Some(code), Answer::default());
    }

    /// Records a query with the server's answer.
    pub fn answered(self, context: &Context, answer: Answer) {
        self.end(context, Some(answer.code), answer);
    }

    /// Records a query that the server has not answered, and why.
    pub fn failed(mut self, context: &Context, reason: String) {
        context.counters.upstream_failures.add();
        self.record.verdict = Disposition::Error;
        self.record.reason = reason;
        self.end(context, Some(SERVER_FAILURE), Answer::default());
    }

    fn end(mut self, context: &Context, code: Option<u16>, answer: Answer) {
        if let Application::Dns(dns) = &mut self.record.application {
            dns.code = code;
            dns.ttl = answer
                .addresses
                .iter()
                .map(|(_, ttl)| *ttl)
                .min()
                .unwrap_or_default();
            dns.aliases = answer.aliases;
            let addresses = answer.addresses.iter().map(|(address, _)| *address);
            if let Some(left_out) = dns.lead_to(addresses.collect(), answer.types) {
                self.record.reason = format!("{}; {left_out}", self.record.reason);
            }
        }
        context.record(self.record, self.since);
    }
}

/// Tells the agent what a server's answer says, and waits until it is enforced. `None`: it is no
/// answer to the question.
pub async fn told(
    context: &Context,
    key: &FlowKey,
    question: &Question,
    bytes: &[u8],
) -> Option<Answer> {
    let answer = question.answer(bytes)?;
    let (flow, addresses) = (key.request_flow(), answer.addresses.clone());
    let telling = context.names.tell(flow, question.name.clone(), addresses);
    let mut late = !telling.await;
    late |= time::timeout(ALIASES, aliases(context, key, question, &answer))
        .await
        .unwrap_or(true);
    if late {
        context.counters.names_late.add();
    }
    Some(answer)
}

/// Tells the agent the same of the names that the question's name leads to, as far as the endpoint may
/// ask this server for them: a rule may name the end of the aliases. Gives whether that took too long.
async fn aliases(context: &Context, key: &FlowKey, question: &Question, answer: &Answer) -> bool {
    let mut late = false;
    for alias in &answer.aliases {
        let Some(policy) = context.policy.get() else {
            return late;
        };
        // A server that may be asked for one name has no say about another.
        let (verdict, _) = Permit::ask(&policy, key, Ask::Query(alias));
        if *alias != question.name && verdict.allowed && !verdict.audit {
            let addresses = answer.addresses.clone();
            let telling = context
                .names
                .tell(key.request_flow(), alias.clone(), addresses);
            late |= !telling.await;
        }
    }
    late
}
