//! The engine over real loopback sockets, between a client and a server of another make than its own
//! wiring: frames by hand where the `h2` crate would not send them.

mod bounds;
mod ends;
mod streams;

use std::pin::pin;

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
    server::SendResponse,
};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use weir_link::proxy::{Disposition, HttpVersion, Refusal};

use super::frames;
use crate::{
    context::Limits,
    engine::tests::{Lab, Prefix, SOON, http},
};

/// Nothing in a test takes longer.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("in time")
}

/// A client's connection to the proxy.
async fn client(lab: &Lab) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(lab.proxy).await.unwrap();
    let (send, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

/// A server that has taken one connection: what is asked of it comes one by one.
struct Server {
    requests: tokio::sync::mpsc::Receiver<(Request<RecvStream>, SendResponse<Bytes>)>,
    goaway: tokio::sync::oneshot::Sender<()>,
}

async fn server(lab: &Lab) -> Server {
    let (stream, _) = soon(lab.server.accept()).await.unwrap();
    let (sender, requests) = tokio::sync::mpsc::channel(1000);
    let (goaway, told) = tokio::sync::oneshot::channel::<()>();
    let mut connection = soon(h2::server::handshake(stream)).await.unwrap();
    tokio::spawn(async move {
        let mut told = pin!(told);
        let mut going = false;
        loop {
            tokio::select! {
                next = connection.accept() => match next {
                    Some(Ok(request)) => sender.send(request).await.unwrap(),
                    _ => return,
                },
                told = &mut told, if !going => {
                    going = true;
                    if told.is_ok() {
                        connection.graceful_shutdown();
                    }
                }
            }
        }
    });
    Server { requests, goaway }
}

impl Server {
    async fn next(&mut self) -> (Request<RecvStream>, SendResponse<Bytes>) {
        soon(self.requests.recv()).await.expect("a request")
    }
}

fn request(method: &str, path: &str) -> http::request::Builder {
    let uri = format!("http://h{path}");
    Request::builder().method(method).uri(uri)
}

/// Asks without a body.
async fn ask(send: &mut SendRequest<Bytes>, path: &str) -> ResponseFuture {
    let mut ready = soon(send.clone().ready()).await.unwrap();
    let (response, _) = ready
        .send_request(request("GET", path).body(()).unwrap(), true)
        .unwrap();
    response
}

/// Asks for a call of gRPC whose messages are still to come.
async fn call(send: &mut SendRequest<Bytes>, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
    let mut ready = soon(send.clone().ready()).await.unwrap();
    let head = request("POST", path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    ready.send_request(head.body(()).unwrap(), false).unwrap()
}

/// The whole of an answer.
#[derive(Debug)]
struct Got {
    status: u16,
    head: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

async fn got(response: ResponseFuture) -> Result<Got, h2::Error> {
    let (head, mut stream) = soon(response).await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = soon(stream.data()).await {
        let data = data?;
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len()).unwrap();
    }
    Ok(Got {
        status: head.status.as_u16(),
        head: head.headers,
        body,
        trailers: soon(stream.trailers()).await?,
    })
}

fn ok(respond: &mut SendResponse<Bytes>) -> SendStream<Bytes> {
    respond.send_response(Response::new(()), false).unwrap()
}

/// The next record says that something was refused.
async fn refused(lab: &mut Lab, why: Refusal) {
    let record = lab.flow().await;
    assert_eq!(record.verdict, Disposition::Refused, "{record:?}");
    assert_eq!(record.reason, why.reason());
}

fn counted(lab: &Lab, why: Refusal) -> u64 {
    let mut sum = weir_link::proxy::CountersSnapshot::default();
    sum.add(&lab.context.counters);
    sum.requests_refused.get(why.reason()).copied().unwrap_or(0)
}
