//! HTTPS for the API server: bounded in connections, time and size.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use weir_gate::{
    Gate, Guarded, Peer,
    apart::{Apart, Over},
    descriptors::Share,
};

use super::{review, tls::Identity};

/// The API server takes objects of at most 3 MiB, and a review holds up to two.
const LARGEST: usize = 7 << 20;
/// Bytes of all reviews that wait or are read.
const WAITING: usize = 2 * LARGEST;
/// For the handshake, for a request's head and for its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// No byte has moved for so long: a client that does not read its answer is let go.
const IDLE: Duration = Duration::from_secs(30);
/// A connection takes no new review after so long, and is closed when its last one is answered.
const LIFE: Duration = Duration::from_secs(300);
/// What is left to it then.
const REST: Duration = Duration::from_secs(30);

/// What every connection has.
#[derive(Debug)]
struct Desk {
    reviews: Apart,
    bytes: Semaphore,
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(address: SocketAddr, identity: Identity, reviews: Apart) -> Result<()> {
    let desk = Arc::new(Desk {
        reviews,
        bytes: Semaphore::new(WAITING),
    });
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let gate = Gate::of(Share::Webhook);
    tracing::info!(address = %listener.local_addr()?, "the webhook answers");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        let (stream, client) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        if let Ok(pass) = gate.enter(Peer::Address(client.ip())) {
            let acceptor = TlsAcceptor::from(identity.current());
            let stream = Guarded::new(stream, pass, IDLE);
            let peer = Peer::Address(client.ip());
            tokio::spawn(connection(stream, acceptor, peer, Arc::clone(&desk)));
        }
    }
}

async fn connection(
    stream: Guarded<TcpStream>,
    acceptor: TlsAcceptor,
    peer: Peer,
    desk: Arc<Desk>,
) {
    let stream = match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake"),
        Err(_) => return tracing::debug!("TLS handshake: too slow"),
    };
    let service = service_fn(|request| answer(request, peer, &desk));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let mut ended = timeout(LIFE, served.as_mut()).await;
    if ended.is_err() {
        served.as_mut().graceful_shutdown();
        ended = timeout(REST, served).await;
    }
    match ended {
        Ok(Err(error)) => tracing::debug!(%error, "connection"),
        Err(_) => tracing::debug!("connection: its time is over"),
        Ok(Ok(())) => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: Peer,
    desk: &Desk,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().clone();
    Ok(match (&method, request.uri().path()) {
        (&Method::POST, "/validate") => validate(request.into_body(), peer, desk).await,
        (&Method::GET | &Method::HEAD, "/livez" | "/readyz") => text(StatusCode::OK, "ok\n"),
        (_, "/validate" | "/livez" | "/readyz") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "POST /validate\n")
        }
        _ => text(StatusCode::NOT_FOUND, "POST /validate\n"),
    })
}

async fn validate(body: Incoming, peer: Peer, desk: &Desk) -> Response<Full<Bytes>> {
    let busy = |said: String| {
        tracing::warn!(?peer, said, "not reviewed");
        text(StatusCode::SERVICE_UNAVAILABLE, format!("{said}\n"))
    };
    let body = match timeout(PATIENCE, whole(body, &desk.bytes)).await {
        Ok(Ok(body)) => body,
        Ok(Err(Unread::TooLarge)) => {
            let said = format!("a review of more than {LARGEST} bytes\n");
            return text(StatusCode::PAYLOAD_TOO_LARGE, said);
        }
        Ok(Err(Unread::TooMany)) => {
            return busy(format!("reviews of more than {WAITING} bytes at once"));
        }
        Ok(Err(Unread::Broken(error))) => {
            return text(StatusCode::BAD_REQUEST, format!("{error}\n"));
        }
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the review took too long\n"),
    };
    match desk.reviews.done(peer, body.bytes).await {
        Ok(told) if told.refused => text(StatusCode::BAD_REQUEST, format!("{}\n", told.line)),
        Ok(told) => {
            let mut response = text(StatusCode::OK, told.line);
            let json = hyper::header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(Over::Time(time)) => busy(format!("the review takes more than {time:?}")),
        Err(Over::Ended(status)) => busy(format!(
            "the review takes more than {} bytes of memory ({status})",
            review::MEMORY
        )),
        Err(Over::Failed(error)) => busy(format!("nobody reviews: {error}")),
    }
}

/// A body, and its part of the bytes that all may have.
struct Body<'a> {
    bytes: Vec<u8>,
    _part: Option<SemaphorePermit<'a>>,
}

enum Unread {
    TooLarge,
    /// There are others.
    TooMany,
    Broken(hyper::Error),
}

/// A whole body. Of one that is too large the rest is read, up to as much again, because a client
/// that still sends when the connection goes never sees the answer.
async fn whole(mut body: Incoming, all: &Semaphore) -> Result<Body<'_>, Unread> {
    let (mut bytes, mut over) = (Vec::new(), 0);
    let mut part: Option<SemaphorePermit<'_>> = None;
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(Unread::Broken)?.into_data();
        let data = data.unwrap_or_default();
        if over == 0 && bytes.len() + data.len() <= LARGEST {
            let more = all.try_acquire_many(u32::try_from(data.len()).unwrap_or(u32::MAX));
            let more = more.map_err(|_| Unread::TooMany)?;
            match &mut part {
                Some(part) => part.merge(more),
                None => part = Some(more),
            }
            bytes.extend_from_slice(&data);
            continue;
        }
        over += data.len();
        if over > LARGEST {
            break;
        }
    }
    match over {
        0 => Ok(Body { bytes, _part: part }),
        _ => Err(Unread::TooLarge),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
