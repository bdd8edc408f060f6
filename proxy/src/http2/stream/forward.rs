//! An allowed stream under way, and how it ends.

use std::{pin::pin, sync::Arc};

use h2::{Reason, RecvStream};
use weir_link::proxy::{Disposition, L7Record};
use weir_policy::http::Asked;

use super::{Going, Stream};
use crate::{
    engine::Answer,
    http2::exchange::{Ends, Progress, Stop, exchange},
    tunnel,
};

impl Stream {
    /// Moves an allowed request and its answer, until it ends or a snapshot denies it.
    pub(super) async fn forward(mut self, going: Going, from_client: RecvStream) {
        let Going {
            policy,
            mut permit,
            record,
            request,
            mut send,
        } = going;
        let asked: Arc<Asked> = policy.judge.asked(self.shared.key.request_flow());
        let end = from_client.is_end_stream();
        let (from_server, to_server) = match send.send_request(request, end) {
            Ok(ends) => ends,
            Err(error) => {
                let record = record.failed(&error);
                self.answer(Answer::NoResponse, record);
                return;
            }
        };
        drop(send);
        let mut ends = Ends {
            from_client,
            to_client: self.respond,
            to_server,
            from_server,
        };
        let (context, limit) = (
            Arc::clone(&self.shared.context),
            self.shared.context.limits.stall_timeout,
        );
        let mut progress = Progress::default();
        let mut policies = context.policy.follow();
        // Since the verdict a snapshot may have come that nobody followed yet.
        policies.mark_changed();
        let ended = {
            let mut moving = pin!(exchange(&mut ends, asked, limit, &mut progress));
            loop {
                // INVARIANT: a snapshot is looked at before anything more is moved.
                tokio::select! {
                    biased;
                    changed = policies.changed() => {
                        let policy = changed.ok().and_then(|()| policies.borrow_and_update().clone());
                        let again = |policy| tunnel::again(&context, permit, &policy, &record);
                        match policy.and_then(again) {
                            Some(renewed) => permit = renewed,
                            None => break None,
                        }
                    }
                    ended = &mut moving => break Some(ended),
                }
            }
        };
        // Told when it was denied. What the engine holds of it is dropped with the reset.
        let Some(ended) = ended else {
            ends.to_client.send_reset(Reason::CANCEL);
            ends.to_server.send_reset(Reason::CANCEL);
            return;
        };
        self.respond = ends.to_client;
        let record = record.answered(progress.status).called(progress.grpc);
        if progress.answered {
            // The rest of the request is not wanted any more (RFC 9113, 8.1). A reset from here would
            // overtake the end of the answer; the engine sends one behind it as the stream is let go.
            context.record(record, self.since);
            return;
        }
        let record = L7Record {
            verdict: Disposition::Error,
            ..record
        };
        match ended {
            Ok(()) => {}
            Err(Stop::Client(reason)) => {
                ends.to_server.send_reset(reason);
                self.gone(record);
            }
            Err(Stop::Server(reason)) => {
                context.counters.upstream_resets.add();
                let reason_text = format!("server reset the stream: {reason}");
                self.respond.send_reset(reason);
                context.record(
                    L7Record {
                        reason: reason_text,
                        ..record
                    },
                    self.since,
                );
            }
            Err(Stop::ServerGone(untouched)) => {
                context.counters.upstream_resets.add();
                let reason = "server closed the connection".to_owned();
                let record = L7Record { reason, ..record };
                if progress.status.is_some() || untouched {
                    // The client may try again what the server has not looked at.
                    let code = if untouched {
                        Reason::REFUSED_STREAM
                    } else {
                        Reason::INTERNAL_ERROR
                    };
                    self.respond.send_reset(code);
                    context.record(record, self.since);
                } else {
                    self.answer(Answer::NoResponse, record);
                }
            }
            Err(Stop::Refused(refusal)) => {
                ends.to_server.send_reset(Reason::CANCEL);
                context.counters.refuse(refusal);
                let (reason, verdict) = (refusal.reason().to_owned(), Disposition::Refused);
                let record = L7Record {
                    reason,
                    verdict,
                    ..record
                };
                if progress.status.is_some() {
                    self.respond.send_reset(Reason::CANCEL);
                    context.record(record, self.since);
                } else {
                    self.answer(Answer::Refused(refusal), record);
                }
            }
        }
    }
}
