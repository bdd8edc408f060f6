//! One client connection, request after request.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use tokio::{net::TcpStream, time};

use super::{
    answer::Answer,
    exchange::{
        Progress, RequestStop, ResponseEnd, ResponseStop, forward_request, forward_response,
    },
    finish::{Finish, finish, tunnel},
    peer::{End, Peer},
    sniff::foreign,
};
use crate::{
    context::Context,
    flow::{FlowKey, L7Flow, Outcome},
    http1::{Refusal, body::Body, head::HeadScanner, request::RequestHead, response::Asked},
    judge::judge,
};

struct Connection {
    context: Arc<Context>,
    key: FlowKey,
    client: Peer,
    server: Option<Peer>,
    /// Requests begun; before the first one the protocol is not known.
    requests: u64,
    /// When the connection, then each request, began.
    since: Instant,
}

/// What a request leaves behind.
enum After {
    Next,
    Finish(Finish),
}

/// What the engine remembers of a request once its bytes may move.
struct Facts {
    /// Length of the head.
    head: usize,
    /// Head and checked part of the body: what may be forwarded at once.
    ready: usize,
    /// What is left of the body after that.
    body: Body,
    /// The client wants the connection to end after this request.
    close: bool,
    expects_continue: bool,
    asked: Asked,
}

/// Serves one accepted connection to its end.
pub async fn serve(context: Arc<Context>, accepted: TcpStream, client: SocketAddr) {
    let since = Instant::now();
    context.counters.connections_total.add();
    context.counters.connections_open.add();
    let _open = OpenGuard(&context);
    let key = match context.datapath.identify(&accepted, client) {
        Ok(key) => key,
        Err(stranger) => {
            context.counters.strangers.add();
            tracing::debug!(%client, error = %stranger, "connection refused");
            return Peer::new(accepted).reset();
        }
    };
    let peer = Peer::new(accepted);
    if context.policy.get().is_none() {
        context.counters.no_policy.add();
        context.record(
            key.record(Outcome::Refused, "no policy is loaded yet"),
            since,
        );
        return peer.reset();
    }
    let connection = Connection {
        context: Arc::clone(&context),
        key,
        client: peer,
        server: None,
        requests: 0,
        since,
    };
    connection.run().await;
}

struct OpenGuard<'c>(&'c Context);

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.0.counters.connections_open.subtract();
    }
}

// === impl Connection ===

impl Connection {
    async fn run(mut self) {
        let how = loop {
            let after = match self.next_head().await {
                Ok(length) => self.request(length).await,
                Err(after) => after,
            };
            if let After::Finish(how) = after {
                break how;
            }
        };
        finish(how, self.client, self.server).await;
    }

    /// Waits for a complete head; watches the idle server meanwhile.
    async fn next_head(&mut self) -> Result<usize, After> {
        let mut scanner = HeadScanner::default();
        let mut deadline = None;
        let mut draining = self.context.draining.clone();
        loop {
            let held = self.client.filled();
            let idle = held.is_empty();
            if !idle {
                if self.requests == 0
                    && let Some(reason) = foreign(held)
                {
                    return Err(self.not_http(reason));
                }
                match scanner.scan(held) {
                    Ok(Some(length)) => return Ok(length),
                    Ok(None) => {}
                    Err(refusal) => return Err(self.refuse(refusal).await),
                }
                deadline.get_or_insert_with(|| {
                    self.since = Instant::now();
                    time::Instant::now() + self.context.limits.head_timeout
                });
            }
            match self.client.end() {
                Some(End::Reset) => return Err(self.client_reset()),
                Some(End::Eof) if idle => return Err(After::Finish(Finish::Mirror)),
                Some(End::Eof) => return Err(self.refuse(Refusal::Truncated).await),
                None if idle && self.context.is_draining() => {
                    return Err(After::Finish(Finish::Linger));
                }
                None => {}
            }
            let mut reader = self.client.reader();
            let server = async {
                match &mut self.server {
                    Some(server) => server.reader().fill().await,
                    None => std::future::pending().await,
                }
            };
            let too_late = async {
                match deadline {
                    Some(deadline) => time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = reader.fill() => {}
                () = server => {
                    // The server closes an idle connection, or talks without having been asked.
                    let reset = self.server.as_ref().and_then(Peer::end) == Some(End::Reset);
                    if reset {
                        self.context.counters.upstream_resets.add();
                    }
                    return Err(After::Finish(if reset { Finish::Reset } else { Finish::Mirror }));
                }
                () = too_late => return Err(self.refuse(Refusal::HeadTimeout).await),
                _ = draining.changed(), if idle => {}
            }
        }
    }

    /// Serves the request whose head is the first `length` bytes held.
    async fn request(&mut self, length: usize) -> After {
        self.since = Instant::now();
        self.requests += 1;
        // INVARIANT: one snapshot decides the whole request.
        let Some(policy) = self.context.policy.get() else {
            return After::Finish(Finish::Reset);
        };
        let held = self.client.filled();
        let (head_bytes, rest) = held.split_at_checked(length).unwrap_or((held, &[]));
        let mut head = match RequestHead::parse(head_bytes) {
            Ok(head) => head,
            Err(refusal) => return self.refuse(refusal).await,
        };
        // A body whose beginning is malformed must not reach the server even in part.
        let ready = match head.body.take(rest) {
            Ok(ready) => length + ready,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let verdict = judge(&*policy, self.key.request_flow(), &head);
        let outcome = if verdict.allowed {
            Outcome::Allowed
        } else {
            Outcome::Denied
        };
        let record = L7Flow {
            method: head.method.to_owned(),
            path: head.path.as_deref().unwrap_or_default().to_owned(),
            host: head.host.to_owned(),
            policies: verdict.policies,
            ..self.key.record(outcome, verdict.reason)
        };
        let facts = Facts {
            head: length,
            ready,
            body: head.body,
            close: head.close,
            expects_continue: head.expects_continue,
            asked: Asked {
                head: head.method == "HEAD",
                connect: head.method == "CONNECT",
                offers: std::mem::take(&mut head.offers),
            },
        };
        if !verdict.allowed {
            self.context.counters.requests_denied.add();
            return self.answer(Answer::Denied, facts, record).await;
        }
        self.context.counters.requests_allowed.add();
        if self.server.is_none() {
            match self
                .context
                .datapath
                .connect(&self.key, self.context.limits.connect_timeout)
                .await
            {
                Ok(connected) => {
                    if connected.port_fallback {
                        self.context.counters.port_fallbacks.add();
                    }
                    self.server = Some(Peer::new(connected.stream));
                }
                Err(fault) => {
                    self.context.counters.upstream_failures.add();
                    let record = L7Flow {
                        verdict: Outcome::Error,
                        reason: fault.to_string(),
                        ..record
                    };
                    return self.answer(Answer::Unreachable, facts, record).await;
                }
            }
        }
        self.exchange(facts, record).await
    }

    /// Answers a request ourselves; the connection goes on unless the client wants it closed.
    async fn answer(&mut self, answer: Answer, facts: Facts, mut record: L7Flow) -> After {
        record.status = Some(answer.status());
        self.context.record(record, self.since);
        // A client that waits for 100 Continue may or may not send the body now: what follows
        // could be body or request, so nothing that follows is looked at.
        let close = facts.close || facts.expects_continue;
        let bytes = answer.bytes(facts.asked.head, close);
        let (mut reader, mut writer) = self.client.split();
        if writer.send(&bytes, close).await.is_err() {
            return After::Finish(Finish::Reset);
        }
        if close {
            return After::Finish(Finish::Linger);
        }
        reader.consume(facts.ready.max(facts.head));
        let mut body = facts.body;
        while !body.is_done() {
            match reader.end() {
                None => reader.fill().await,
                Some(End::Eof) => return After::Finish(Finish::Linger),
                Some(End::Reset) => return self.client_reset(),
            }
            match body.take(reader.filled()) {
                Ok(count) => reader.consume(count),
                Err(refusal) => {
                    // Answered already: all that is left is to close.
                    self.context.counters.refuse(refusal);
                    return After::Finish(Finish::Linger);
                }
            }
        }
        After::Next
    }

    /// Forwards an allowed request and its response.
    async fn exchange(&mut self, facts: Facts, mut record: L7Flow) -> After {
        let Some(server) = &mut self.server else {
            return After::Finish(Finish::Reset);
        };
        let progress = Progress::default();
        let mut request_stop = None;
        let result = {
            let (mut from_client, mut to_client) = self.client.split();
            let (mut from_server, mut to_server) = server.split();
            let mut request = pin!(forward_request(
                &mut from_client,
                &mut to_server,
                facts.ready,
                facts.body,
                &progress
            ));
            let mut response = pin!(forward_response(
                &mut from_server,
                &mut to_client,
                &facts.asked,
                facts.close,
                &progress
            ));
            let result = loop {
                tokio::select! {
                    biased;
                    stop = &mut request, if request_stop.is_none() => {
                        request_stop = Some(stop);
                        // A server that stopped taking may have answered before it did.
                        if stop != RequestStop::ServerGone {
                            break None;
                        }
                    }
                    end = &mut response => break Some(end),
                }
            };
            // An early response: the body goes on, since it must pass before the next request.
            if let Some(Ok(ResponseEnd {
                close: false,
                tunnel: false,
                ..
            })) = result
                && (progress.continued.load(Relaxed) || !facts.expects_continue)
            {
                std::future::poll_fn(|context| {
                    use std::task::Poll;
                    if request_stop.is_some() || progress.sent.load(Relaxed) {
                        return Poll::Ready(());
                    }
                    if let Poll::Ready(stop) = request.as_mut().poll(context) {
                        request_stop = Some(stop);
                    }
                    let over = request_stop.is_some() || progress.sent.load(Relaxed);
                    if over { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            result
        };
        let stray = !server.filled().is_empty();
        match result {
            Some(Ok(end)) => {
                record.status = Some(end.status);
                self.context.record(record, self.since);
                if end.tunnel {
                    return self.tunnel().await;
                }
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
                record.verdict = Outcome::Error;
                match request_stop {
                    Some(RequestStop::Refused(refusal)) => {
                        record.verdict = Outcome::Refused;
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
        mut record: L7Flow,
    ) -> After {
        record.verdict = Outcome::Error;
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
                self.fail(Answer::BadResponse, facts, progress, record)
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
        mut record: L7Flow,
    ) -> After {
        if let Some(server) = self.server.take() {
            server.reset();
        }
        if progress.answered.load(Relaxed) {
            self.context.record(record, self.since);
            return After::Finish(Finish::Reset);
        }
        record.status = Some(answer.status());
        self.context.record(record, self.since);
        self.last_answer(answer, facts.asked.head).await
    }

    async fn tunnel(&mut self) -> After {
        let Some(server) = &mut self.server else {
            return After::Finish(Finish::Reset);
        };
        let graceful = tunnel(&mut self.client, server).await;
        After::Finish(if graceful {
            Finish::Mirror
        } else {
            Finish::Reset
        })
    }

    /// Refuses a request before any rule was asked, and with it the connection.
    async fn refuse(&mut self, refusal: Refusal) -> After {
        self.context.counters.refuse(refusal);
        let answer = Answer::Refused(refusal);
        let mut record = self.key.record(Outcome::Refused, refusal.reason());
        record.status = Some(answer.status());
        self.context.record(record, self.since);
        self.last_answer(answer, false).await
    }

    async fn last_answer(&mut self, answer: Answer, head_only: bool) -> After {
        match self
            .client
            .writer()
            .send(&answer.bytes(head_only, true), true)
            .await
        {
            Ok(()) => After::Finish(Finish::Linger),
            Err(_) => After::Finish(Finish::Reset),
        }
    }

    fn not_http(&self, reason: &'static str) -> After {
        self.context.counters.not_http.add();
        self.context
            .record(self.key.record(Outcome::Refused, reason), self.since);
        After::Finish(Finish::Reset)
    }

    fn client_reset(&self) -> After {
        self.context.counters.client_resets.add();
        After::Finish(Finish::Reset)
    }
}
