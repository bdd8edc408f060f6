//! What reaches into pods: `portforward` and `exec` over WebSockets, as the API server and the kubelet
//! serve them (subprotocol v4.channel.k8s.io: a message's first byte is its channel).

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, process::Output, sync::Arc};

use axum::{
    extract::{Path, Query, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, handshake::derive_accept_key, protocol::Role},
};

use super::{Shared, answers, routes::Params};

const PROTOCOL: &str = "v4.channel.k8s.io";

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;
type Run = Arc<dyn Fn(&[String]) -> io::Result<Output> + Send + Sync>;

/// What is in pods, by their names.
#[derive(Default)]
pub struct Insides {
    /// Where a port of a pod leads.
    pub ports: BTreeMap<(String, u16), SocketAddr>,
    /// What a pod does with a command.
    pub commands: BTreeMap<String, Run>,
}

impl fmt::Debug for Insides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Insides")
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// `GET …/pods/NAME/portforward?ports=N`: one port.
pub async fn portforward(
    State(shared): State<Arc<Shared>>,
    Path((namespace, pod)): Path<(String, String)>,
    Query(params): Query<Params>,
    request: Request,
) -> Response {
    if shared.lock().get("pods", &namespace, &pod).is_none() {
        return answers::not_found(&pod);
    }
    let Some(port) = params
        .get("ports")
        .and_then(|text| text.parse::<u16>().ok())
    else {
        return answers::failure(400, "BadRequest", "ports: one port");
    };
    let to = shared.insides().ports.get(&(pod, port)).copied();
    switch(request, move |socket| forward(socket, port, to))
}

async fn forward(mut socket: Socket, port: u16, to: Option<SocketAddr>) -> Result<(), Error> {
    let [low, high] = port.to_le_bytes();
    for channel in [0, 1] {
        socket.send(message(&[channel, low, high], &[])).await?;
    }
    let connected = match to {
        Some(to) => TcpStream::connect(to).await,
        None => Err(io::ErrorKind::ConnectionRefused.into()),
    };
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(error) => {
            let text = format!("an error occurred forwarding {port}: {error}\n");
            socket.send(message(&[1], text.as_bytes())).await?;
            return end(socket).await;
        }
    };
    let mut buffer = vec![0; 32 << 10];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(length @ 1..) => socket.send(message(&[0], &buffer[..length])).await?,
                Ok(0) | Err(_) => return end(socket).await,
            },
            told = socket.next() => match told.transpose()? {
                Some(Message::Binary(bytes)) if bytes.first() == Some(&0) => {
                    stream.write_all(&bytes[1..]).await?;
                }
                Some(Message::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
        }
    }
}

/// `GET …/pods/NAME/exec?command=…&command=…`, without standard input.
pub async fn exec(
    State(shared): State<Arc<Shared>>,
    Path((namespace, pod)): Path<(String, String)>,
    Query(params): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    if shared.lock().get("pods", &namespace, &pod).is_none() {
        return answers::not_found(&pod);
    }
    let Some(run) = shared.insides().commands.get(&pod).cloned() else {
        return answers::failure(500, "InternalError", "container not found");
    };
    let words = params.into_iter().filter(|(name, _)| name == "command");
    let words: Vec<String> = words.map(|(_, word)| word).collect();
    switch(request, move |socket| execute(socket, run, words))
}

async fn execute(mut socket: Socket, run: Run, words: Vec<String>) -> Result<(), Error> {
    let ran = tokio::task::spawn_blocking(move || run(&words)).await;
    let failure = |message: String| json!({"status": "Failure", "message": message});
    let status = match ran.map_err(io::Error::other).and_then(|ran| ran) {
        Err(error) => failure(error.to_string()),
        Ok(output) => {
            for (channel, text) in [(1, &output.stdout), (2, &output.stderr)] {
                for part in text.chunks(16 << 10) {
                    socket.send(message(&[channel], part)).await?;
                }
            }
            match output.status.success() {
                true => json!({"status": "Success"}),
                false => failure("command terminated with non-zero exit code".to_owned()),
            }
        }
    };
    socket
        .send(message(&[3], status.to_string().as_bytes()))
        .await?;
    end(socket).await
}

/// Closes, and hears the client out: what is left unread would take back what was sent.
async fn end(mut socket: Socket) -> Result<(), Error> {
    socket.close(None).await?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

fn message(head: &[u8], rest: &[u8]) -> Message {
    Message::binary([head, rest].concat())
}

/// Answers that the protocol changes, and serves the socket when it has.
fn switch<Served>(
    mut request: Request,
    serve: impl FnOnce(Socket) -> Served + Send + 'static,
) -> Response
where
    Served: Future<Output = Result<(), Error>> + Send,
{
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return answers::failure(400, "BadRequest", "unable to upgrade: it is no WebSocket");
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else {
            return;
        };
        let stream = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        if let Err(error) = serve(socket).await {
            tracing::debug!(%error, "a client has gone");
        }
    });
    let head = [
        (header::CONNECTION, "upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL.to_owned()),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, head).into_response()
}
