//! One allowed stream and its way to the server: both directions at the same time, each only as fast as
//! the other end takes it.
//!
//! What was read gives its window back once the other side has taken it, so a stream holds one frame
//! and what the engine may buffer.

mod taken;

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture, server::SendResponse};
use http::{HeaderMap, StatusCode};
use tokio::time::{Duration, timeout};
use weir_policy::http::Asked;

use super::grpc;
use crate::http1::{Refusal, chunked::check_trailer};
use taken::{NotTaken, release, send};

/// The four ends of a stream through the proxy.
#[derive(Debug)]
pub struct Ends {
    /// What the client says.
    pub from_client: RecvStream,
    /// Its answer.
    pub to_client: SendResponse<Bytes>,
    /// What the server is told.
    pub to_server: SendStream<Bytes>,
    /// What it answers.
    pub from_server: ResponseFuture,
}

/// How far the answer is, also where the exchange is given up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The status code that went to the client: no other answer is possible any more.
    pub status: Option<u16>,
    /// How a call of gRPC ended.
    pub grpc: Option<u16>,
    /// The answer went to its end.
    pub answered: bool,
}

/// Why a stream did not come to its end.
#[derive(Debug)]
pub enum Stop {
    /// The client reset it, or is gone.
    Client(Reason),
    /// The server reset it.
    Server(Reason),
    /// The connection to the server is gone; `true`: the server has not begun with this stream.
    ServerGone(bool),
    /// What was said is refused.
    Refused(Refusal),
}

/// Moves a stream until both directions are complete, or it cannot go on.
///
/// # Errors
/// See [`Stop`]; `progress` tells what the client has got by then.
pub async fn exchange(
    ends: &mut Ends,
    asked: Arc<Asked>,
    limit: Duration,
    progress: &mut Progress,
) -> Result<(), Stop> {
    let mut up = pin!(request(
        &mut ends.from_client,
        &mut ends.to_server,
        &asked,
        limit
    ));
    let mut down = pin!(response(
        &mut ends.from_server,
        &mut ends.to_client,
        limit,
        progress
    ));
    let (mut sent, mut lost) = (false, None);
    loop {
        tokio::select! {
            biased;
            stop = &mut up, if !sent => {
                sent = true;
                match stop {
                    Ok(()) => {}
                    // A server that takes no more may have answered.
                    Err(Stop::Server(reason)) => lost = Some(reason),
                    Err(Stop::ServerGone(_)) => {}
                    Err(stop) => return Err(stop),
                }
            }
            done = &mut down => {
                done?;
                break;
            }
        }
    }
    // An early answer: what the client still says goes on, but not for ever.
    match lost {
        Some(reason) => Err(Stop::Server(reason)),
        None if sent => Ok(()),
        None => {
            let ended = timeout(limit, up).await;
            ended.unwrap_or(Err(Stop::Server(Reason::NO_ERROR)))
        }
    }
}

/// The request's body and trailers.
async fn request(
    client: &mut RecvStream,
    server: &mut SendStream<Bytes>,
    asked: &Asked,
    limit: Duration,
) -> Result<(), Stop> {
    if client.is_end_stream() {
        return Ok(());
    }
    loop {
        let data = poll_fn(|context| {
            if let Poll::Ready(gone) = server.poll_reset(context) {
                return Poll::Ready(Err(
                    gone.map_or_else(|error| of_server(&error), Stop::Server)
                ));
            }
            client.poll_data(context).map(Ok)
        });
        match data.await? {
            Some(Ok(data)) => {
                let (length, end) = (data.len(), client.is_end_stream());
                send(server, data, end, limit)
                    .await
                    .map_err(of_server_side)?;
                release(client, length).map_err(|error| of_client(&error))?;
                if end {
                    return Ok(());
                }
            }
            Some(Err(error)) => return Err(of_client(&error)),
            None => break,
        }
    }
    let trailers = poll_fn(|context| client.poll_trailers(context)).await;
    let ended = match trailers.map_err(|error| of_client(&error))? {
        Some(trailers) => {
            for (name, value) in &trailers {
                check_trailer(name.as_str().as_bytes(), value.as_bytes(), Some(asked))
                    .map_err(Stop::Refused)?;
            }
            server.send_trailers(trailers)
        }
        None => server.send_data(Bytes::new(), true),
    };
    ended.map_err(|error| of_server(&error))
}

/// Interim heads, the head, the body and the trailers of the answer.
async fn response(
    server: &mut ResponseFuture,
    client: &mut SendResponse<Bytes>,
    limit: Duration,
    progress: &mut Progress,
) -> Result<(), Stop> {
    let response = loop {
        let next = poll_fn(|context| {
            if let Poll::Ready(gone) = client.poll_reset(context) {
                return Poll::Ready(Err(
                    gone.map_or_else(|error| of_client(&error), Stop::Client)
                ));
            }
            if let Poll::Ready(Some(interim)) = server.poll_informational(context) {
                return Poll::Ready(interim.map(Err).map_err(|error| of_server(&error)));
            }
            let head = std::pin::Pin::new(&mut *server).poll(context);
            head.map(|head| head.map(Ok).map_err(|error| of_server(&error)))
        });
        match next.await? {
            Ok(response) => break response,
            // There is nothing to switch to in HTTP/2 (RFC 9113, 8.6).
            Err(interim) if interim.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Err(Stop::Server(Reason::PROTOCOL_ERROR));
            }
            Err(interim) => client
                .send_informational(interim)
                .map_err(|error| of_client(&error))?,
        }
    };
    let (head, mut body) = response.into_parts();
    progress.status = Some(head.status.as_u16());
    progress.grpc = grpc::status(&head.headers);
    let head = http::Response::from_parts(head, ());
    let end = body.is_end_stream();
    let mut client = client
        .send_response(head, end)
        .map_err(|error| of_client(&error))?;
    if !end {
        progress.grpc = forward(&mut body, &mut client, limit)
            .await?
            .or(progress.grpc);
    }
    progress.answered = true;
    Ok(())
}

/// The body and the trailers of an answer; returns what these say of a call of gRPC.
async fn forward(
    server: &mut RecvStream,
    client: &mut SendStream<Bytes>,
    limit: Duration,
) -> Result<Option<u16>, Stop> {
    let trailers = loop {
        let data = poll_fn(|context| {
            if let Poll::Ready(gone) = client.poll_reset(context) {
                return Poll::Ready(Err(
                    gone.map_or_else(|error| of_client(&error), Stop::Client)
                ));
            }
            server.poll_data(context).map(Ok)
        });
        match data.await? {
            Some(Ok(data)) => {
                let (length, end) = (data.len(), server.is_end_stream());
                send(client, data, end, limit)
                    .await
                    .map_err(of_client_side)?;
                release(server, length).map_err(|error| of_server(&error))?;
                if end {
                    return Ok(None);
                }
            }
            // All was said; the server wants to hear no more (RFC 9113, 8.1).
            Some(Err(error)) if is_no_error(&error) => break None,
            Some(Err(error)) => return Err(of_server(&error)),
            None => match poll_fn(|context| server.poll_trailers(context)).await {
                Ok(trailers) => break trailers,
                Err(error) if is_no_error(&error) => break None,
                Err(error) => return Err(of_server(&error)),
            },
        }
    };
    let status = trailers.as_ref().and_then(grpc::status);
    end(client, trailers).map_err(|error| of_client(&error))?;
    Ok(status)
}

fn end(client: &mut SendStream<Bytes>, trailers: Option<HeaderMap>) -> Result<(), h2::Error> {
    match trailers {
        Some(trailers) => client.send_trailers(trailers),
        None => client.send_data(Bytes::new(), true),
    }
}

fn is_no_error(error: &h2::Error) -> bool {
    error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}

fn of_client(error: &h2::Error) -> Stop {
    Stop::Client(error.reason().unwrap_or(Reason::CANCEL))
}

fn of_server(error: &h2::Error) -> Stop {
    match error.reason() {
        Some(reason) if error.is_reset() => Stop::Server(reason),
        // Of streams that a GOAWAY does not cover the server has done nothing (RFC 9113, 6.8).
        _ => Stop::ServerGone(error.is_go_away() && error.is_remote()),
    }
}

fn of_client_side(stopped: NotTaken) -> Stop {
    match stopped {
        NotTaken::Stalled => Stop::Refused(Refusal::Stalled),
        NotTaken::Gone(error) => error.map_or(Stop::Client(Reason::CANCEL), |e| of_client(&e)),
    }
}

fn of_server_side(stopped: NotTaken) -> Stop {
    match stopped {
        NotTaken::Stalled => Stop::Refused(Refusal::Stalled),
        NotTaken::Gone(error) => error.map_or(Stop::ServerGone(false), |e| of_server(&e)),
    }
}
