//! The engine over real loopback sockets, against a scripted server.

mod bodies;
mod ends;
mod heads;
mod lenient;
mod old;
mod policy;
mod property;
mod seen;
mod smuggling;
mod tls;
mod tunnels;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};
use weir_link::proxy::{Application, Counters, HttpRecord, L7Record};
use weir_policy::{
    http::{Asked, Request},
    l7::{Judge, NameUse, RequestFlow, RequestVerdict, Speaks},
    model::Direction,
};

use crate::{
    context::{Context, Limits, PolicyCell},
    datapath::Datapath,
    flow::FlowSender,
};

/// Long enough for a loaded machine; only failing tests wait for it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
pub(super) const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\nAccess denied\r\n";

/// Allows what starts with a prefix (and CONNECT where the prefix is empty).
pub(crate) struct Prefix(pub(crate) &'static str);

impl Judge for Prefix {
    fn speaks(&self, _flow: RequestFlow) -> Speaks {
        Speaks {
            http: true,
            ..Speaks::default()
        }
    }

    fn judge_name(&self, _: RequestFlow, _: NameUse, _: Option<&str>) -> RequestVerdict {
        RequestVerdict::new(false, Vec::new(), "no names here")
    }

    fn asked(&self, _: RequestFlow) -> Arc<Asked> {
        Arc::default()
    }

    fn judge(&self, _flow: RequestFlow, request: &Request<'_>) -> RequestVerdict {
        RequestVerdict::new(
            request.path.is_none_or(|path| path.starts_with(self.0)),
            vec!["NetworkPolicy/test/prefix".into()],
            format!("prefix {}", self.0),
        )
    }
}

/// A proxy, the listener of the server behind it, and what the proxy reports.
pub(crate) struct Lab {
    pub(crate) proxy: SocketAddr,
    pub(crate) server: TcpListener,
    pub(crate) context: Arc<Context>,
    pub(crate) flows: mpsc::Receiver<L7Record>,
    pub(crate) drain: watch::Sender<bool>,
    /// Connections that the proxy serves or served.
    pub(crate) served: Arc<AtomicUsize>,
}

impl Lab {
    /// A proxy that allows paths below `/ok`.
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        Self::towards(server, address, limits).await
    }

    pub(crate) async fn towards(server: TcpListener, address: SocketAddr, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let (sender, flows, _recorded) = FlowSender::channel(1000);
        let (drain, draining) = watch::channel(false);
        let context = Arc::new(Context {
            policy: PolicyCell::default(),
            datapath: Datapath::Plain {
                direction: Direction::Ingress,
                endpoint: 7,
                server: address,
            },
            limits,
            counters: Arc::new(Counters::default()),
            flows: sender,
            names: crate::dns::learn::Teller::channel().0,
            draining,
        });
        context.policy.set(1, Arc::new(Prefix("/ok")));
        let served = Arc::new(AtomicUsize::new(0));
        tokio::spawn({
            let (context, served) = (Arc::clone(&context), Arc::clone(&served));
            async move {
                loop {
                    let (accepted, client) = listener.accept().await.unwrap();
                    let (context, served) = (Arc::clone(&context), Arc::clone(&served));
                    tokio::spawn(async move {
                        super::serve(context, accepted, client).await;
                        served.fetch_add(1, Ordering::SeqCst);
                    });
                }
            }
        });
        Self {
            proxy,
            server,
            context,
            flows,
            drain,
            served,
        }
    }

    async fn client(&self) -> Peer {
        let stream = TcpStream::connect(self.proxy).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer(stream)
    }

    /// The proxy's next connection to the server.
    async fn accept(&self) -> Peer {
        Peer(
            timeout(SOON, self.server.accept())
                .await
                .expect("a connection to the server")
                .unwrap()
                .0,
        )
    }

    /// The next record, which is of an HTTP request.
    async fn request(&mut self) -> HttpRecord {
        http(&self.flow().await).clone()
    }

    pub(crate) async fn flow(&mut self) -> L7Record {
        timeout(SOON, self.flows.recv())
            .await
            .expect("a flow record")
            .unwrap()
    }

    /// Fails if the proxy ever connected to the server; call it when the connection is over.
    pub(crate) async fn assert_server_untouched(&self) {
        // Connections are made before any answer, so one would be queued by now.
        let pending = std::future::poll_fn(|context| {
            std::task::Poll::Ready(self.server.poll_accept(context).is_ready())
        });
        assert!(!pending.await, "the server was connected to");
    }
}

/// One end of a connection in a test: every wait is bounded, every failure says what it read.
struct Peer(TcpStream);

impl Peer {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads exactly this text.
    async fn expect(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let mut read = vec![0; text.len()];
        let mut have = 0;
        while have < read.len() {
            match timeout(SOON, self.0.read(&mut read[have..])).await {
                Ok(Ok(count)) if count > 0 => have += count,
                other => panic!(
                    "{other:?} after {:?}, wanted {:?}",
                    lossy(&read[..have]),
                    lossy(text)
                ),
            }
        }
        assert_eq!(lossy(&read), lossy(text));
    }

    /// Reads to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut read = Vec::new();
        timeout(SOON, self.0.read_to_end(&mut read))
            .await
            .expect("an end")
            .expect("a clean end");
        lossy(&read)
    }

    async fn expect_end(&mut self) {
        assert_eq!(self.rest().await, "");
    }

    async fn expect_reset(&mut self) {
        let mut read = Vec::new();
        let end = timeout(SOON, self.0.read_to_end(&mut read))
            .await
            .expect("an end");
        let error = end.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    async fn expect_reset_without_a_byte(&mut self) {
        let read = timeout(SOON, self.0.read(&mut [0])).await.expect("an end");
        let error = read.expect_err("a reset and no byte");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    /// Ends the sending direction.
    async fn end(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    fn reset(self) {
        socket2::SockRef::from(&self.0)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

pub(crate) fn http(record: &L7Record) -> &HttpRecord {
    match &record.application {
        Application::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}
