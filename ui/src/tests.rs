//! The server as a browser meets it: over TCP, with the real observer behind it.

mod access;
mod pending;
mod stream;

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
};
use weir_observe::{
    api::{
        flow::{Endpoint, Flow, Verdict, Workload},
        observer::observer_server::Observer,
        weir::Why,
    },
    ring::{Item, Ring},
};

use crate::{Access, Foresight, Options};

/// Serves on a port of its own, as long as the test runs.
async fn serve(source: impl Observer, access: Access, recorded: bool) -> SocketAddr {
    serve_with(source, access, recorded, None).await
}

/// The same with somebody who judges pending policies.
async fn serve_with(
    source: impl Observer,
    access: Access,
    recorded: bool,
    foresight: Option<Arc<dyn Foresight>>,
) -> SocketAddr {
    let options = Options {
        source: "a test".into(),
        recorded,
        access,
        foresight,
    };
    let router = crate::router(source, options);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn observer(ring: &Arc<Ring>) -> weir_observe::service::Observer {
    weir_observe::service::Observer::new(Arc::clone(ring), "node".into())
}

fn flow(uuid: &str, namespace: &str, verdict: Verdict) -> Flow {
    Flow {
        uuid: uuid.into(),
        time: Some(std::time::SystemTime::now().into()),
        verdict: verdict.into(),
        node_name: "node".into(),
        source: Some(Endpoint {
            namespace: namespace.into(),
            pod_name: "sleep-1".into(),
            workloads: vec![Workload {
                name: "sleep".into(),
                kind: "Deployment".into(),
            }],
            ..Endpoint::default()
        }),
        weir: Some(Why {
            reason: "default deny of NetworkPolicy/default/none".into(),
            ..Why::default()
        }),
        ..Flow::default()
    }
}

fn push(ring: &Ring, flow: Flow) {
    ring.push(Item::Flow(Arc::new(flow)));
    ring.publish();
}

/// An answer: its status, its head and its body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

async fn connect(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut head = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        head += &format!("{name}: {value}\r\n");
    }
    let sent = stream.write_all((head + "\r\n").as_bytes()).await;
    sent.expect("a request");
    stream
}

async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut stream = connect(address, path, headers).await;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an answer");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let body = bytes.split_off(end.expect("a head") + 4);
    let head = String::from_utf8(bytes).expect("text").to_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.expect("a status"),
        head,
        body,
    }
}

/// Server-sent events, read one by one.
struct Events {
    lines: Lines<BufReader<TcpStream>>,
}

impl Events {
    async fn open(address: SocketAddr, query: &str) -> Self {
        let stream = connect(address, &format!("/api/flows?{query}"), &[]).await;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await.expect("a line").expect("a status");
        assert!(status.contains("200"), "{status}");
        Self { lines }
    }

    /// The next one: its name and its data.
    async fn next(&mut self) -> (String, serde_json::Value) {
        let mut name = String::new();
        loop {
            let line = self.lines.next_line().await.expect("a line");
            let line = line.expect("the stream goes on");
            if let Some(text) = line.strip_prefix("event: ") {
                name = text.to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(text).expect("JSON"));
            }
        }
    }

    /// The next one, which must be this.
    async fn expect(&mut self, wanted: &str) -> serde_json::Value {
        let (name, data) = self.next().await;
        assert_eq!(name, wanted, "{data}");
        data
    }
}
