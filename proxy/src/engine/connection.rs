//! One client connection, request after request.

mod first;
mod forward;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use tokio::{net::TcpStream, time};
use weir_link::proxy::{Application, Disposition, HttpRecord, HttpVersion, L7Record, cut};
use weir_link::takeover::Handed;
use weir_policy::l7::Speaks;

use super::{
    answer::Answer,
    exchange::Facts,
    sniff::{foreign, is_tls},
};
use crate::{
    context::Context,
    datapath::ConnectFault,
    dns,
    flow::FlowKey,
    http1::{
        Refusal, body::Body, head::HeadScanner, request::RequestHead, response::Asked,
        rewrite::rewrite,
    },
    http2,
    permit::{Ask, Permit},
    taken::Taken,
    wire::{
        finish::{Finish, finish},
        peer::{End, Peer},
    },
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
    /// Of one that was judged in the kernel: how far its server's bytes can be told apart.
    replies: Replies,
}

/// Whether it is known where replies of the server begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replies {
    /// All of them were framed here, or by the kernel.
    Framed,
    /// The last one may still be under way: nothing of our own may stand in it.
    Unknown,
    /// One has been framed since, beginning where a client that waits for replies would have it.
    Likely,
}

/// What a request leaves behind.
enum After {
    Next,
    /// The client speaks HTTP/2.
    Http2,
    Finish(Finish),
}

/// Serves one accepted connection to its end.
pub async fn serve(context: Arc<Context>, accepted: TcpStream, client: SocketAddr) {
    serve_with(context, accepted, client, None).await;
}

/// Serves a connection that was judged in the kernel, as if it had been accepted, to its end.
pub async fn serve_taken(context: Arc<Context>, taken: Taken) {
    if let Ok(client) = taken.client.peer_addr() {
        serve_with(
            context,
            taken.client,
            client,
            Some((taken.server, taken.handed)),
        )
        .await;
    }
}

async fn serve_with(
    context: Arc<Context>,
    accepted: TcpStream,
    client: SocketAddr,
    taken: Option<(TcpStream, Handed)>,
) {
    let since = Instant::now();
    context.counters.connections_total.add();
    context.counters.connections_open.add();
    let _open = OpenGuard(&context);
    let identified = context.datapath.identify(&accepted, client);
    let peer = Peer::new(accepted);
    let (server, handed) = taken.unzip();
    let server = server.map(Peer::new);
    let reset = |client: Peer, server: Option<Peer>| {
        client.reset();
        if let Some(server) = server {
            server.reset();
        }
    };
    let key = match identified {
        Ok(key) => key,
        Err(stranger) => {
            context.counters.strangers.add();
            tracing::debug!(%client, error = %stranger, "connection refused");
            return reset(peer, server);
        }
    };
    let policy = context.policy.get();
    let Some(speaks) = policy.map(|policy| policy.judge.speaks(key.request_flow())) else {
        context.counters.no_policy.add();
        let record = key.record(Disposition::Refused, "no policy is loaded yet");
        context.record(record, since);
        return reset(peer, server);
    };
    if handed.is_some_and(|handed| handed.between) {
        let refusal = Refusal::BetweenReplies;
        context.counters.refuse(refusal);
        context.record(key.record(Disposition::Refused, refusal.reason()), since);
        return reset(peer, server);
    }
    // Where only policies in audit mode ask for DNS, whatever is spoken passes.
    if speaks.dns && !speaks.anything && server.is_none() {
        return dns::tcp::serve(&context, peer.into_stream(), key).await;
    }
    let connection = Connection {
        context: Arc::clone(&context),
        key,
        client: peer,
        server,
        requests: 0,
        since,
        replies: match handed {
            Some(handed) if !handed.complete => Replies::Unknown,
            _ => Replies::Framed,
        },
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
        let mut first = self.first_word().await;
        let how = loop {
            if let Some(After::Finish(how)) = first.take() {
                break how;
            }
            let after = match self.next_head().await {
                Ok((start, end)) => {
                    self.client.reader().consume(start);
                    self.request(end - start).await
                }
                Err(after) => after,
            };
            match after {
                After::Next => {}
                After::Http2 => {
                    return http2::serve(self.context, self.key, self.client, self.server).await;
                }
                After::Finish(how) => break how,
            }
        };
        finish(how, self.client, self.server).await;
    }

    /// Waits for a complete head; watches the idle server meanwhile. Returns where it begins and
    /// ends in what is held.
    async fn next_head(&mut self) -> Result<(usize, usize), After> {
        let mut scanner = HeadScanner::default();
        let mut deadline = None;
        let mut draining = self.context.draining.clone();
        loop {
            let held = self.client.filled();
            // Some clients end a body with an empty line that belongs to nothing.
            let idle = held.is_empty() || held == b"\r\n";
            if !idle {
                if self.speaks_http2() {
                    return Err(After::Http2);
                }
                if self.requests == 0
                    && let Some(reason) = foreign(held).or_else(|| self.no_request(held))
                {
                    return Err(self.not_http(reason).await);
                }
                match scanner.scan(held) {
                    Ok(Some(end)) => return Ok((scanner.start(), end)),
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

    /// Whether the connection begins as one of HTTP/2 that is to be judged.
    fn speaks_http2(&self) -> bool {
        self.requests == 0
            && self.replies == Replies::Framed
            && self.client.filled().starts_with(http2::PREFACE)
            && !self.speaks().anything
    }

    /// Serves the request whose head is the first `length` bytes held.
    async fn request(&mut self, length: usize) -> After {
        self.since = Instant::now();
        self.requests += 1;
        // INVARIANT: one snapshot decides the whole request, and it is in force when the request begins
        // to move.
        let Some(policy) = self.context.policy.get() else {
            return After::Finish(Finish::Reset);
        };
        let held = self.client.filled();
        let (head_bytes, rest) = held.split_at_checked(length).unwrap_or((held, &[]));
        let mut head = match RequestHead::parse(head_bytes) {
            Ok(head) => head,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let path = head.path.as_ref().map_or(0, |path| path.len());
        if path > self.context.limits.path {
            return self.refuse(Refusal::PathTooLong).await;
        }
        let flow = self.key.request_flow();
        let has_body = head.body != Body::EMPTY;
        if let Body::Chunked(decoder) = &mut head.body {
            decoder.forbid(policy.judge.asked(flow));
        }
        // A body whose beginning is malformed must not reach the server even in part.
        let ready = match head.body.take(rest) {
            Ok(ready) => length + ready,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let ask = Ask::Request {
            head: &head,
            body: has_body,
        };
        let (mut verdict, mut permit) = Permit::ask(&policy, &self.key, ask);
        let refusal = verdict.doubt.map(Refusal::from);
        let outcome = match refusal {
            Some(_) => Disposition::Refused,
            None => Disposition::of(verdict.allowed, verdict.audit),
        };
        // Without a body there is nothing to wait for.
        let expects_continue = head.expects_continue && has_body;
        let corrects = !head.withdrawal.is_empty() || expects_continue;
        let unjudged = corrects && policy.judge.speaks(flow).anything;
        if !unjudged {
            verdict.edits.append(&mut head.withdrawal);
        }
        let rewritten = (!verdict.edits.is_empty()).then(|| rewrite(head_bytes, &verdict.edits));
        let nearest = verdict.nearest_text();
        let mut reason = verdict.reason;
        if !verdict.noted.is_empty() {
            reason = format!("{reason}; missing or wrong: {}", verdict.noted.join(", "));
        }
        let record = L7Record {
            application: Application::Http(HttpRecord {
                method: head.method.to_owned(),
                path: cut(head.path.as_deref().unwrap_or_default()),
                host: head.host.or(head.authority).unwrap_or_default().to_owned(),
                version: HttpVersion::minor(head.minor_version),
                headers: self.context.flows.wanted(&head.fields),
                status: None,
                grpc_status: None,
            }),
            policies: verdict.policies,
            nearest,
            ..self.key.record(outcome, reason)
        };
        let facts = Facts {
            head: length,
            ready,
            rewritten,
            body: head.body,
            close: head.close,
            expects_continue,
            hold: (expects_continue && !unjudged).then_some(self.context.limits.continue_timeout),
            asked: Asked {
                unjudged,
                head: head.method == "HEAD",
                connect: head.method == "CONNECT",
                offers: std::mem::take(&mut head.offers),
            },
        };
        if let Some(permit) = &mut permit
            && facts.asked.may_switch()
        {
            permit.keep(head_bytes, has_body, unjudged);
        }
        let answers = refusal.is_some() || permit.is_none();
        let switches = self.replies != Replies::Framed && facts.asked.may_switch();
        if switches || (answers && self.replies == Replies::Unknown) {
            return self.cut(record);
        }
        if let Some(refusal) = refusal {
            self.context.counters.refuse(refusal);
            let answer = Answer::Refused(refusal);
            let record = record.answered(Some(answer.status()));
            self.context.record(record, self.since);
            return self.last_answer(answer, facts.asked.head).await;
        }
        let Some(permit) = permit else {
            self.context.counters.requests_denied.add();
            return self.answer(Answer::Denied, facts, record).await;
        };
        let waits = self.server.is_none();
        let connected = self.connect(&permit).await;
        if waits && connected.is_ok() && !self.context.policy.is_of(&permit) {
            // A snapshot came while the server was waited for. Nothing has gone to the server, and the
            // head is still held: it is judged again.
            return After::Next;
        }
        self.context.counters.requests_allowed.add();
        if permit.is_audited() {
            self.context.counters.audited.add();
        }
        if self.replies == Replies::Unknown {
            self.replies = Replies::Likely;
        }
        match connected {
            Ok(()) => self.forward(permit, facts, record).await,
            Err(fault) => {
                let record = record.failed(&fault);
                self.answer(Answer::Unreachable, facts, record).await
            }
        }
    }

    /// Ends a connection on which nothing of our own may stand, and nothing may be switched to: the
    /// last reply may still be under way.
    fn cut(&mut self, record: L7Record) -> After {
        let refusal = Refusal::BetweenReplies;
        self.context.counters.refuse(refusal);
        let reason = format!("{}; {}", record.reason, refusal.reason());
        self.context
            .record(L7Record { reason, ..record }, self.since);
        After::Finish(Finish::Reset)
    }

    /// Connects to the server where that has not been done.
    async fn connect(&mut self, permit: &Permit) -> Result<(), ConnectFault> {
        if self.server.is_some() {
            return Ok(());
        }
        let limit = self.context.limits.connect_timeout;
        let connected = self.context.datapath.connect(permit, limit).await;
        let connected = connected.inspect_err(|_| self.context.counters.upstream_failures.add())?;
        if connected.port_fallback {
            self.context.counters.port_fallbacks.add();
        }
        self.server = Some(Peer::new(connected.stream));
        Ok(())
    }

    /// Answers a request ourselves; the connection goes on unless the client wants it closed.
    async fn answer(&mut self, answer: Answer, facts: Facts, record: L7Record) -> After {
        let record = record.answered(Some(answer.status()));
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

    /// What may be spoken on this flow, by the policy in force.
    fn speaks(&self) -> Speaks {
        let policy = self.context.policy.get();
        policy.map_or_else(Speaks::default, |policy| {
            policy.judge.speaks(self.key.request_flow())
        })
    }

    /// What lets bytes pass unread, and the record of it: where only policies in audit mode ask for
    /// anything else, or what only looks, or none does.
    fn unread(&self, reason: &str) -> Option<(Permit, L7Record)> {
        let policy = self.context.policy.get()?;
        let (verdict, permit) = Permit::ask(&policy, &self.key, Ask::Unread);
        let permit = permit?;
        if permit.is_audited() {
            self.context.counters.audited.add();
        }
        let reason = format!("{}: {reason}", verdict.reason);
        let outcome = Disposition::of(verdict.allowed, verdict.audit);
        Some((permit, self.key.record(outcome, reason)))
    }

    /// Refuses a request before any rule was asked, and with it the connection.
    async fn refuse(&mut self, refusal: Refusal) -> After {
        let cut = matches!(refusal, Refusal::Truncated | Refusal::HeadTimeout);
        // What only looks stops nobody who takes his time, or ends in the middle.
        let cut = cut && !self.speaks().watched;
        if !cut && let Some((permit, record)) = self.unread(refusal.reason()) {
            return self.plain(permit, record).await;
        }
        let record = self.key.record(Disposition::Refused, refusal.reason());
        if self.replies == Replies::Unknown {
            return self.cut(record);
        }
        self.context.counters.refuse(refusal);
        let answer = Answer::Refused(refusal);
        let record = record.answered(Some(answer.status()));
        self.context.record(record, self.since);
        self.last_answer(answer, false).await
    }

    async fn last_answer(&mut self, answer: Answer, head_only: bool) -> After {
        // Told that the connection closes, curl 7 takes this one for final; the FIN comes with it.
        let told = answer != Answer::Refused(Refusal::NoContinue);
        let bytes = answer.bytes(head_only, told);
        match self.client.writer().send(&bytes, true).await {
            Ok(()) => After::Finish(Finish::Linger),
            Err(_) => After::Finish(Finish::Reset),
        }
    }

    async fn not_http(&mut self, reason: &'static str) -> After {
        if self.speaks().tls && is_tls(self.client.filled()) {
            return self.tls().await;
        }
        if let Some((permit, record)) = self.unread(reason) {
            return self.plain(permit, record).await;
        }
        self.context.counters.not_http.add();
        self.context
            .record(self.key.record(Disposition::Refused, reason), self.since);
        After::Finish(Finish::Reset)
    }

    fn client_reset(&self) -> After {
        self.context.counters.client_resets.add();
        After::Finish(Finish::Reset)
    }
}
