//! HTTPS for the API server: bounded in connections, time and size.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

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
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use weir_gate::{Gate, Guarded, Peer, descriptors::Share};

use super::tls::Identity;

/// The API server takes objects of at most 3 MiB, and a review holds up to two.
const LARGEST: usize = 7 << 20;
/// For the handshake, for a request's head and for its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// No byte has moved for so long. An API server keeps a connection for a minute and a half.
const IDLE: Duration = Duration::from_secs(120);

/// Serves until SIGTERM or SIGINT.
pub async fn serve(address: SocketAddr, identity: Identity) -> Result<()> {
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
            tokio::spawn(connection(Guarded::new(stream, pass, IDLE), acceptor));
        }
    }
}

async fn connection(stream: Guarded<TcpStream>, acceptor: TlsAcceptor) {
    let stream = match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake"),
        Err(_) => return tracing::debug!("TLS handshake: too slow"),
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().clone();
    Ok(match (&method, request.uri().path()) {
        (&Method::POST, "/validate") => validate(request.into_body()).await,
        (&Method::GET | &Method::HEAD, "/livez" | "/readyz") => text(StatusCode::OK, "ok\n"),
        (_, "/validate" | "/livez" | "/readyz") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "POST /validate\n")
        }
        _ => text(StatusCode::NOT_FOUND, "POST /validate\n"),
    })
}

async fn validate(body: Incoming) -> Response<Full<Bytes>> {
    let body = match timeout(PATIENCE, whole(body)).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => {
            let said = format!("a review of more than {LARGEST} bytes\n");
            return text(StatusCode::PAYLOAD_TOO_LARGE, said);
        }
        Ok(Err(error)) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the review took too long\n"),
    };
    match weir_cluster::kubernetes::review(&body) {
        Ok(answer) => {
            let mut response = text(StatusCode::OK, answer.to_string());
            let json = hyper::header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(reason) => {
            tracing::warn!(reason, "what came is no review");
            text(StatusCode::BAD_REQUEST, format!("{reason}\n"))
        }
    }
}

/// A body; `None` where it is too large. Of such a one the rest is read, up to as much again, because
/// a client that still sends when the connection goes never sees the answer.
async fn whole(mut body: Incoming) -> hyper::Result<Option<Vec<u8>>> {
    let (mut bytes, mut over) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().unwrap_or_default();
        if over == 0 && bytes.len() + data.len() <= LARGEST {
            bytes.extend_from_slice(&data);
            continue;
        }
        over += data.len();
        if over > LARGEST {
            break;
        }
    }
    Ok((over == 0).then_some(bytes))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
