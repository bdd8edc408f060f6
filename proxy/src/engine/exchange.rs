//! One allowed request and its response, moving at the same time.

use std::{
    future,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use super::{
    peer::{End, Gone, Peer, Reader, Writer},
    splice::{TAIL, WORTH},
};
use crate::http1::{
    Refusal,
    body::Body,
    head::HeadScanner,
    response::{Asked, Next, ResponseFault, ResponseHead},
};

/// How long the end of a response waits for the FIN that the server announced, so that both go to
/// the client in one piece (see [`Writer::send`]).
const FIN_WAIT: Duration = Duration::from_millis(2);

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
    /// An interim response went to the client.
    pub continued: AtomicBool,
}

/// Why forwarding a request stopped. There is no success: after the last byte the client is
/// watched until the exchange ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestStop {
    /// The client reset its connection.
    ClientReset,
    /// The server does not take any more. It may have answered before.
    ServerGone,
    /// The body turned out to be malformed.
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

/// Forwards a request: its head and what was checked of its body, then the rest of the body. Then reads ahead, to pass on a FIN and to notice a reset in time.
pub async fn forward_request(
    client: &mut Reader<'_>,
    server: &mut Writer<'_>,
    facts: &Facts,
    progress: &Progress,
) -> RequestStop {
    let (mut ready, mut body) = (facts.ready, facts.body);
    let mut sent = 0;
    if let Some(head) = &facts.rewritten {
        if server.send(head, false).await.is_err() {
            return RequestStop::ServerGone;
        }
        sent = facts.head;
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

/// Forwards interim responses and the final one.
///
/// # Errors
/// See [`ResponseStop`]; whether the client got a part of it is in `progress.answered`.
pub async fn forward_response(
    server: &mut Reader<'_>,
    client: &mut Writer<'_>,
    asked: &Asked,
    request_closes: bool,
    progress: &Progress,
) -> Result<ResponseEnd, ResponseStop> {
    loop {
        let length = response_head(server).await?;
        let bytes = server.filled().get(..length).unwrap_or_default();
        let head = ResponseHead::parse(bytes, asked).map_err(ResponseStop::Fault)?;
        match head.next {
            Next::Interim => {
                progress.continued.store(true, Relaxed);
                client.send(bytes, false).await?;
                server.consume(length);
            }
            Next::Tunnel => {
                if !progress.sent.load(Relaxed) {
                    // Bytes of the request would end up inside the other protocol.
                    return Err(ResponseStop::Fault(ResponseFault::NotOffered));
                }
                progress.answered.store(true, Relaxed);
                client.send(bytes, false).await?;
                server.consume(length);
                return Ok(ResponseEnd {
                    status: head.status,
                    close: false,
                    tunnel: true,
                });
            }
            Next::Body(body) => {
                let close = head.close || request_closes;
                let ended = forward_body(server, client, length, body, close, progress).await?;
                return Ok(ResponseEnd {
                    status: head.status,
                    close: close || ended,
                    tunnel: false,
                });
            }
        }
    }
}

/// The length of the next complete head held.
async fn response_head(server: &mut Reader<'_>) -> Result<usize, ResponseStop> {
    let mut scanner = HeadScanner::default();
    loop {
        match scanner.scan(server.filled()) {
            Ok(Some(length)) => return Ok(length),
            Ok(None) => {}
            Err(_) => return Err(ResponseStop::Fault(ResponseFault::Syntax)),
        }
        match server.end() {
            None => server.fill().await,
            Some(End::Reset) => return Err(ResponseStop::ServerReset),
            Some(End::Eof) if server.filled().is_empty() => return Err(ResponseStop::Silent),
            Some(End::Eof) => return Err(ResponseStop::Fault(ResponseFault::Truncated)),
        }
    }
}

/// Forwards a head of `head` bytes and its body. Returns whether the server ended the connection.
async fn forward_body(
    server: &mut Reader<'_>,
    client: &mut Writer<'_>,
    head: usize,
    mut body: Body,
    close: bool,
    progress: &Progress,
) -> Result<bool, ResponseStop> {
    let fault = |refusal| ResponseStop::Fault(ResponseFault::Ambiguous(refusal));
    let rest = server.filled().get(head..).unwrap_or_default();
    let mut ready = head + body.take(rest).map_err(fault)?;
    loop {
        let done = body.is_done();
        if done && close && server.end().is_none() && server.filled().len() == ready {
            // Elapsed is fine: then the FIN goes on when it comes.
            let _waited = tokio::time::timeout(FIN_WAIT, server.fill()).await;
        }
        let eof = server.end() == Some(End::Eof);
        let bytes = server.filled().get(..ready).unwrap_or_default();
        let end = eof && (done || server.filled().len() == ready);
        progress.answered.store(true, Relaxed);
        client.send(bytes, end).await?;
        server.consume(ready);
        match server.end() {
            _ if done => return Ok(eof),
            Some(End::Reset) => return Err(ResponseStop::ServerReset),
            Some(End::Eof) => {
                // The end of the body, or cut short: the client learns it as it would directly.
                client.end();
                return Ok(true);
            }
            None => more(server, client, &mut body).await?,
        }
        ready = body.take(server.filled()).map_err(fault)?;
    }
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
