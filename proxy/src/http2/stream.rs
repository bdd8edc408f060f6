//! One stream: judged, forwarded or answered, judged again at each snapshot, told.

mod forward;

use std::{future::poll_fn, sync::Arc, time::Instant};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::Request;
use weir_link::proxy::{Application, Disposition, HttpRecord, HttpVersion, L7Record, Refusal, cut};
use weir_policy::l7::RequestVerdict;

use super::{
    answer::{answer, told},
    grpc::is_grpc,
    request::Head,
    upstream::Upstream,
};
use crate::{
    context::{Context, Policy},
    engine::Answer,
    flow::FlowKey,
    permit::{Ask, Permit},
};

/// What all streams of a connection share.
#[derive(Debug)]
pub struct Shared {
    /// What all connections of the worker share.
    pub context: Arc<Context>,
    /// Whose flow it is.
    pub key: FlowKey,
    /// The way to the server.
    pub upstream: Upstream,
}

/// A stream that was accepted.
struct Stream {
    shared: Arc<Shared>,
    head: Arc<Head>,
    grpc: bool,
    since: Instant,
    respond: SendResponse<Bytes>,
}

/// What was decided on a stream.
enum Decided {
    /// It goes on: over which way, changed how.
    Go(Box<Going>),
    /// It was answered, or is gone.
    Over,
}

struct Going {
    policy: Policy,
    permit: Permit,
    record: L7Record,
    request: Request<()>,
    send: h2::client::SendRequest<Bytes>,
}

/// Serves one stream to its end. `true`: its request was refused.
pub async fn serve(
    shared: Arc<Shared>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> bool {
    let since = Instant::now();
    let (parts, from_client) = request.into_parts();
    let grpc = {
        let value = parts.headers.get(http::header::CONTENT_TYPE);
        is_grpc(value.and_then(|value| value.to_str().ok()))
    };
    let body = !from_client.is_end_stream();
    let context = &shared.context;
    let head = match Head::check(parts, body, context.limits.path) {
        Ok(head) => Arc::new(head),
        Err(refusal) => {
            context.counters.refuse(refusal);
            let reply = Answer::Refused(refusal);
            let record = shared.key.record(Disposition::Refused, refusal.reason());
            let record = record.answered(Some(told(reply, grpc).status));
            context.record(record, since);
            send(&mut respond, reply, grpc, false);
            return true;
        }
    };
    let mut stream = Stream {
        shared,
        head,
        grpc,
        since,
        respond,
    };
    match stream.decide().await {
        Decided::Go(going) => stream.forward(*going, from_client).await,
        Decided::Over => {}
    }
    false
}

fn send(respond: &mut SendResponse<Bytes>, reply: Answer, grpc: bool, head_only: bool) {
    if let Err(error) = answer(respond, reply, grpc, head_only) {
        tracing::debug!(%error, "stream gone before its answer");
    }
}

// === impl Stream ===

impl Stream {
    fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Judges the request and finds the way to its server. One snapshot decides: one that comes
    /// meanwhile judges it again, and nothing of it has gone on.
    async fn decide(&mut self) -> Decided {
        loop {
            let Some(policy) = self.context().policy.get() else {
                self.respond.send_reset(Reason::REFUSED_STREAM);
                return Decided::Over;
            };
            let head = Arc::clone(&self.head);
            let asked = Ask::Stream(&head);
            let (verdict, permit) = Permit::ask(&policy, &self.shared.key, asked);
            let doubt = verdict.doubt.map(Refusal::from);
            let request = head.forwarded(&verdict.edits);
            let record = self.record(verdict, doubt.is_some());
            if let Some(refusal) = doubt {
                self.context().counters.refuse(refusal);
                return self.answer(Answer::Refused(refusal), record);
            }
            let Some(permit) = permit else {
                self.context().counters.requests_denied.add();
                return self.answer(Answer::Denied, record);
            };
            let Some(request) = request else {
                let refusal = Refusal::FieldValue;
                self.context().counters.refuse(refusal);
                let reason = refusal.reason().to_owned();
                let verdict = Disposition::Refused;
                return self.answer(
                    Answer::Refused(refusal),
                    L7Record {
                        reason,
                        verdict,
                        ..record
                    },
                );
            };
            let shared = Arc::clone(&self.shared);
            let way = tokio::select! {
                biased;
                _ = poll_fn(|context| self.respond.poll_reset(context)) => {
                    self.gone(record);
                    return Decided::Over;
                }
                way = shared.upstream.stream(&permit) => way,
            };
            if way.is_ok() && !self.context().policy.is_of(&permit) {
                continue;
            }
            self.context().counters.requests_allowed.add();
            if permit.is_audited() {
                self.context().counters.audited.add();
            }
            return match way {
                Ok(send) => Decided::Go(Box::new(Going {
                    policy,
                    permit: permit.of_stream(Arc::clone(&head)),
                    record,
                    request,
                    send,
                })),
                Err(fault) => self.answer(fault.answer(), record.failed(&*fault)),
            };
        }
    }

    fn record(&self, verdict: RequestVerdict, doubted: bool) -> L7Record {
        let outcome = match doubted {
            true => Disposition::Refused,
            false => Disposition::of(verdict.allowed, verdict.audit),
        };
        let nearest = verdict.nearest_text();
        let mut reason = verdict.reason;
        if !verdict.noted.is_empty() {
            reason = format!("{reason}; missing or wrong: {}", verdict.noted.join(", "));
        }
        let head = &self.head;
        L7Record {
            application: Application::Http(HttpRecord {
                method: head.method().to_owned(),
                path: cut(head.path().unwrap_or_default()),
                host: head.host().to_owned(),
                version: HttpVersion::Http2,
                headers: self.context().flows.wanted(&head.fields()),
                status: None,
                grpc_status: None,
            }),
            policies: verdict.policies,
            nearest,
            ..self.shared.key.record(outcome, reason)
        }
    }

    /// Answers it ourselves.
    fn answer(&mut self, reply: Answer, record: L7Record) -> Decided {
        let told = told(reply, self.grpc);
        let record = record.answered(Some(told.status)).called(told.grpc);
        self.context().record(record, self.since);
        send(
            &mut self.respond,
            reply,
            self.grpc,
            self.head.method() == "HEAD",
        );
        Decided::Over
    }

    /// The client gave up before anything was answered.
    fn gone(&self, mut record: L7Record) {
        self.context().counters.client_resets.add();
        record.verdict = Disposition::Error;
        record.reason = "client reset the stream".to_owned();
        self.context().record(record, self.since);
    }
}
