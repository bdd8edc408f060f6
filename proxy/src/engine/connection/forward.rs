//! An allowed request, from its verdict to the end of its response.

use std::sync::atomic::Ordering::Relaxed;

use weir_link::proxy::{Disposition, L7Record};

use super::{After, Connection};
use crate::{
    engine::{
        answer::Answer,
        exchange::{Exchanged, Facts, Progress, RequestStop, ResponseStop, exchange},
    },
    permit::Permit,
    tunnel::tunnel,
    wire::{finish::Finish, peer::End},
};

impl Connection {
    /// Forwards an allowed request and its response.
    pub(super) async fn forward(
        &mut self,
        permit: Permit,
        facts: Facts,
        mut record: L7Record,
    ) -> After {
        let Some(server) = &mut self.server else {
            return After::Finish(Finish::Reset);
        };
        let progress = Progress::default();
        let Exchanged {
            result,
            request_stop,
        } = exchange(&mut self.client, server, &facts, &progress).await;
        let stray = !server.filled().is_empty();
        match result {
            Some(Ok(end)) => {
                // A client that gave up closes with a FIN, as one that still listens can, too.
                if self.client.end() == Some(End::Eof) && !self.client.delivered().await {
                    record.verdict = Disposition::Error;
                    record.reason = "client closed the connection before the answer".to_owned();
                } else {
                    record = record.answered(Some(end.status));
                }
                if end.tunnel {
                    self.context.record(record.clone(), self.since);
                    return self.tunnel(permit, record).await;
                }
                self.context.record(record, self.since);
                match request_stop {
                    _ if end.close => After::Finish(Finish::Mirror),
                    Some(RequestStop::ClientReset) => self.client_reset(),
                    Some(RequestStop::ServerGone) => After::Finish(Finish::Reset),
                    Some(RequestStop::Refused(refusal)) => {
                        self.context.counters.refuse(refusal);
                        After::Finish(Finish::Linger)
                    }
                    // Bytes nobody asked for would be taken for the next response; and after an
                    // unfinished body nobody knows what the next bytes are.
                    None if stray || !progress.sent.load(Relaxed) => After::Finish(Finish::Linger),
                    None => After::Next,
                }
            }
            Some(Err(stop)) => {
                let reset = request_stop == Some(RequestStop::ServerGone);
                self.response_stopped(stop, reset, &facts, &progress, record)
                    .await
            }
            None => {
                record.verdict = Disposition::Error;
                match request_stop {
                    Some(RequestStop::Refused(refusal)) => {
                        record.verdict = Disposition::Refused;
                        record.reason = refusal.reason().to_owned();
                        self.context.counters.refuse(refusal);
                        self.fail(Answer::Refused(refusal), &facts, &progress, record)
                            .await
                    }
                    _ => {
                        record.reason = "client reset the connection".to_owned();
                        self.context.record(record, self.since);
                        self.client_reset()
                    }
                }
            }
        }
    }

    async fn response_stopped(
        &mut self,
        stop: ResponseStop,
        reset: bool,
        facts: &Facts,
        progress: &Progress,
        mut record: L7Record,
    ) -> After {
        record.verdict = Disposition::Error;
        match stop {
            ResponseStop::ClientGone => {
                record.reason = "client closed the connection".to_owned();
                self.context.record(record, self.since);
                self.client_reset()
            }
            ResponseStop::Silent if !reset => {
                record.reason = "server closed the connection without an answer".to_owned();
                self.context.record(record, self.since);
                After::Finish(Finish::Mirror)
            }
            ResponseStop::ServerReset | ResponseStop::Silent => {
                self.context.counters.upstream_resets.add();
                record.reason = "server reset the connection".to_owned();
                self.context.record(record, self.since);
                After::Finish(Finish::Reset)
            }
            ResponseStop::Fault(fault) => {
                self.context.counters.response_faults.add();
                record.reason = fault.to_string();
                self.fail(Answer::BadResponse(fault), facts, progress, record)
                    .await
            }
        }
    }

    /// Ends a failed exchange: with an answer if none has begun. The server is reset either way,
    /// so that it does not take what it got for a whole request.
    async fn fail(
        &mut self,
        answer: Answer,
        facts: &Facts,
        progress: &Progress,
        record: L7Record,
    ) -> After {
        if let Some(server) = self.server.take() {
            server.reset();
        }
        if progress.answered.load(Relaxed) {
            self.context.record(record, self.since);
            return After::Finish(Finish::Reset);
        }
        let record = record.answered(Some(answer.status()));
        self.context.record(record, self.since);
        self.last_answer(answer, facts.asked.head).await
    }

    /// Passes bytes on unread. `record` is what was told of the connection.
    pub(super) async fn tunnel(&mut self, permit: Permit, record: L7Record) -> After {
        let Some(server) = &mut self.server else {
            return After::Finish(Finish::Reset);
        };
        After::Finish(tunnel(&self.context, permit, record, &mut self.client, server).await)
    }
}
