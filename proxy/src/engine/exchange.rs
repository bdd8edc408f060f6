//! One allowed request and its response, moving at the same time.

mod response;

use std::{
    future,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use tokio::sync::Notify;

use response::forward_response;

use crate::{
    http1::{
        Refusal,
        body::Body,
        response::{Asked, ResponseFault},
    },
    wire::{
        peer::{End, Gone, Peer, Reader, Writer},
        splice::{TAIL, WORTH},
    },
};

/// What is remembered of a request once its bytes may move.
#[derive(Debug)]
pub struct Facts {
    /// Length of the head.
    pub head: usize,
    /// Head and checked part of the body: what may be forwarded at once.
    pub ready: usize,
    /// What goes to the server in place of the head, where header rules change it.
    pub rewritten: Option<Vec<u8>>,
    /// What is left of the body after that.
    pub body: Body,
    /// Nothing of the body goes on before the server asks for it; how long it may take for that.
    pub hold: Option<Duration>,
    /// The client wants the connection to end after this request.
    pub close: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// What the response depends on.
    pub asked: Asked,
}

/// What both directions of an exchange tell each other.
#[derive(Debug, Default)]
pub struct Progress {
    /// The request was forwarded to its last byte.
    pub sent: AtomicBool,
    /// Bytes of the final response went to the client: no other answer is possible any more.
    pub answered: AtomicBool,
    /// The server asked for the body (100 Continue).
    pub continued: AtomicBool,
    /// Wakes who waits for that.
    pub go: Notify,
}

/// Why forwarding a request stopped. There is no success: after the last byte the client is
/// watched until the exchange ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestStop {
    /// The client reset its connection.
    ClientReset,
    /// The server does not take any more. It may have answered before.
    ServerGone,
    /// The body turned out to be malformed, or was never asked for.
    Refused(Refusal),
}

/// Why a response was not forwarded whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseStop {
    /// The client does not take any more.
    ClientGone,
    /// The server reset its connection.
    ServerReset,
    /// The server closed its connection before it sent a byte.
    Silent,
    /// The response is one that must not be forwarded.
    Fault(ResponseFault),
}

/// A response that was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseEnd {
    /// Status code.
    pub status: u16,
    /// The connection ends with this response.
    pub close: bool,
    /// Both ends now speak another protocol.
    pub tunnel: bool,
}

impl From<Gone> for ResponseStop {
    fn from(_: Gone) -> Self {
        Self::ClientGone
    }
}

/// How an exchange went.
#[derive(Debug)]
pub struct Exchanged {
    /// How the response ended; `None` if the request stopped it.
    pub result: Option<Result<ResponseEnd, ResponseStop>>,
    /// Why the request stopped, if it did.
    pub request_stop: Option<RequestStop>,
}

/// Moves a request and its response until the response is complete or neither can go on. After an
/// early response the rest of the request still goes on, since it must pass before the next one.
pub async fn exchange(
    client: &mut Peer,
    server: &mut Peer,
    facts: &Facts,
    progress: &Progress,
) -> Exchanged {
    let mut request_stop = None;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut request = pin!(forward_request(
        &mut from_client,
        &mut to_server,
        facts,
        progress
    ));
    let mut response = pin!(forward_response(
        &mut from_server,
        &mut to_client,
        &facts.asked,
        facts.close,
        progress
    ));
    let result = loop {
        tokio::select! {
            // The request first: a client that is gone must be known before its answer is paid for.
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
        future::poll_fn(|context| {
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
    Exchanged {
        result,
        request_stop,
    }
}

/// Forwards a request: its head and what was checked of its body, then the rest of the body; of one
/// that the server is to ask for nothing before it did. Then reads ahead, to pass on a FIN and to
/// notice a reset in time.
pub async fn forward_request(
    client: &mut Reader<'_>,
    server: &mut Writer<'_>,
    facts: &Facts,
    progress: &Progress,
) -> RequestStop {
    let (mut ready, mut body) = (facts.ready, facts.body.clone());
    let mut sent = 0;
    if facts.rewritten.is_some() || facts.hold.is_some() {
        let head = match &facts.rewritten {
            Some(head) => head,
            None => client.filled().get(..facts.head).unwrap_or_default(),
        };
        if server.send(head, false).await.is_err() {
            return RequestStop::ServerGone;
        }
        sent = facts.head;
    }
    if let Some(limit) = facts.hold
        && let Err(stop) = asked_for(client, limit, progress).await
    {
        return stop;
    }
    loop {
        let bytes = client.filled().get(sent..ready).unwrap_or_default();
        sent = 0;
        let last = body.is_done() && client.filled().len() == ready;
        let end = last && client.end() == Some(End::Eof);
        if server.send(bytes, end).await.is_err() {
            return RequestStop::ServerGone;
        }
        client.consume(ready);
        if body.is_done() {
            break;
        }
        match client.end() {
            None => {
                if more(client, server, &mut body).await.is_err() {
                    return RequestStop::ServerGone;
                }
            }
            Some(End::Reset) => return RequestStop::ClientReset,
            Some(End::Eof) => {
                // Cut short: the server is told, and its answer still goes back.
                server.end();
                return future::pending().await;
            }
        }
        ready = match body.take(client.filled()) {
            Ok(ready) => ready,
            Err(refusal) => return RequestStop::Refused(refusal),
        };
    }
    progress.sent.store(true, Relaxed);
    loop {
        match client.end() {
            None => client.fill().await,
            Some(End::Reset) => return RequestStop::ClientReset,
            Some(End::Eof) => {
                // A pipelined request may still be held: then its end is the one to pass on.
                if client.filled().is_empty() {
                    server.end();
                }
                return future::pending().await;
            }
        }
    }
}

/// Waits until the server asks for the body. A server that answered instead may take what follows
/// for a request, so it gets none of it.
async fn asked_for(
    client: &mut Reader<'_>,
    limit: Duration,
    progress: &Progress,
) -> Result<(), RequestStop> {
    let deadline = tokio::time::Instant::now() + limit;
    while !progress.continued.load(Relaxed) {
        tokio::select! {
            () = progress.go.notified() => {}
            // The client may send it all the same, or go.
            () = client.fill() => {
                if client.end() == Some(End::Reset) {
                    return Err(RequestStop::ClientReset);
                }
            }
            () = tokio::time::sleep_until(deadline) => {
                return Err(RequestStop::Refused(Refusal::NoContinue));
            }
        }
    }
    Ok(())
}

/// Waits for more of a body. The middle of a large one is moved on at once, inside the kernel.
async fn more(from: &mut Reader<'_>, to: &mut Writer<'_>, body: &mut Body) -> Result<(), Gone> {
    match body {
        Body::Length(left) if *left >= WORTH && from.filled().is_empty() => {
            let moved = from.splice(to, *left - TAIL).await?;
            *left = left.saturating_sub(moved);
            if moved > 0 || from.end().is_some() {
                return Ok(());
            }
        }
        _ => {}
    }
    from.fill().await;
    Ok(())
}
