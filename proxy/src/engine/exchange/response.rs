//! The response of an exchange, from the server to the client.

use std::{borrow::Cow, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{Progress, ResponseEnd, ResponseStop, more};
use crate::{
    http1::{
        Refusal,
        body::Body,
        head::HeadScanner,
        old::strict,
        response::{Asked, Next, ResponseFault, ResponseHead},
    },
    wire::peer::{End, Reader, Writer},
};

/// How long the end of a response waits for the FIN that the server announced, so that both go to
/// the client in one piece (see [`Writer::send`]).
const FIN_WAIT: Duration = Duration::from_millis(2);

/// Forwards interim responses and the final one.
///
/// # Errors
/// See [`ResponseStop`]; whether the client got a part of it is in `progress.answered`.
pub(super) async fn forward_response(
    server: &mut Reader<'_>,
    client: &mut Writer<'_>,
    asked: &Asked,
    request_closes: bool,
    progress: &Progress,
) -> Result<ResponseEnd, ResponseStop> {
    loop {
        let (length, bare) = response_head(server).await?;
        let bytes = server.filled().get(..length).unwrap_or_default();
        let (head, bytes) = read_head(bytes, bare, asked).map_err(ResponseStop::Fault)?;
        match head.next {
            Next::Interim => {
                client.send(&bytes, false).await?;
                server.consume(length);
                if head.status == 100 {
                    progress.continued.store(true, Relaxed);
                    progress.go.notify_one();
                }
            }
            Next::Tunnel => {
                if !progress.sent.load(Relaxed) {
                    // Bytes of the request would end up inside the other protocol.
                    return Err(ResponseStop::Fault(ResponseFault::NotOffered));
                }
                progress.answered.store(true, Relaxed);
                client.send(&bytes, false).await?;
                server.consume(length);
                return Ok(ResponseEnd {
                    status: head.status,
                    close: false,
                    tunnel: true,
                });
            }
            Next::Body(body) => {
                let close = head.close || request_closes;
                let mut unsent = length;
                if let Cow::Owned(strict) = bytes {
                    progress.answered.store(true, Relaxed);
                    client.send(&strict, false).await?;
                    server.consume(length);
                    unsent = 0;
                }
                let ended = forward_body(server, client, unsent, body, close, progress).await?;
                return Ok(ResponseEnd {
                    status: head.status,
                    close: close || ended,
                    tunnel: false,
                });
            }
        }
    }
}

/// Reads a complete head, and how it goes to the client: as it came, unless that was one of the
/// habits of old servers.
fn read_head<'b>(
    bytes: &'b [u8],
    bare: bool,
    asked: &Asked,
) -> Result<(ResponseHead, Cow<'b, [u8]>), ResponseFault> {
    let fault = match ResponseHead::parse(bytes, asked) {
        Ok(head) if !bare => return Ok((head, Cow::Borrowed(bytes))),
        Ok(_) => None,
        Err(fault) => Some(fault),
    };
    let strict = strict(bytes);
    match (fault, &strict) {
        (Some(fault), Cow::Borrowed(_)) => Err(fault),
        _ => Ok((ResponseHead::parse(&strict, asked)?, strict)),
    }
}

/// The length of the next complete head held, and whether it has bare line feeds.
async fn response_head(server: &mut Reader<'_>) -> Result<(usize, bool), ResponseStop> {
    let mut scanner = HeadScanner::response();
    loop {
        match scanner.scan(server.filled()) {
            Ok(Some(length)) => return Ok((length, scanner.has_bare_feed())),
            Ok(None) => {}
            Err(Refusal::HeadTooLarge) => {
                return Err(ResponseStop::Fault(ResponseFault::TooLarge));
            }
            Err(_) => return Err(ResponseStop::Fault(ResponseFault::Syntax(1))),
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
    let fault = |refusal| ResponseStop::Fault(ResponseFault::Body(refusal));
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
