//! HTTP/1 for whoever may come in.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Gate, Guarded, Peer};

/// For a request's head, and for the next one on a connection that is kept.
const HEAD: Duration = Duration::from_secs(10);
/// No byte has moved for so long.
const IDLE: Duration = Duration::from_secs(30);
/// A larger head is refused.
const LARGEST_HEAD: usize = 16 << 10;
/// After an accept that failed, for want of descriptors mostly.
const AGAIN: Duration = Duration::from_millis(100);

/// Serves until the future is dropped. A connection lives for `life` at the most: whoever wants
/// more connects again. Handlers find the client in [`ConnectInfo`].
pub async fn serve(listener: TcpListener, gate: Arc<Gate>, router: Router, life: Duration) {
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        if let Ok(pass) = gate.enter(Peer::Address(client.ip())) {
            let stream = Guarded::new(stream, pass, IDLE);
            tokio::spawn(connection(stream, client, router.clone(), life));
        }
    }
}

async fn connection(
    stream: Guarded<TcpStream>,
    client: SocketAddr,
    router: Router,
    life: Duration,
) {
    let router = router.layer(Extension(ConnectInfo(client)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(life, served).await {
        Ok(Err(error)) => tracing::debug!(%client, %error, "connection"),
        Err(_) => tracing::debug!(%client, "connection: its time is over"),
        Ok(Ok(())) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn read(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        // A reset is an end, too.
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn half_sent_requests_keep_nobody_out_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("its address");
        let limits = Limits {
            total: 4,
            per_peer: 4,
        };
        let gate = Gate::new("test", limits);
        let answer = |ConnectInfo(client): ConnectInfo<SocketAddr>| async move {
            assert!(client.ip().is_loopback());
            "ok"
        };
        let router = Router::new().route("/", get(answer));
        let life = Duration::from_millis(500);
        let serving = tokio::spawn(serve(listener, Arc::clone(&gate), router, life));
        let ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut well = TcpStream::connect(address).await.expect("a connection");
        well.write_all(ask).await.expect("a request");
        assert!(read(&mut well).await.ends_with("ok"));
        let mut half = Vec::new();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(b"GET / HT").await.ok();
            half.push(stream);
        }
        let mut ended = 0;
        for mut stream in half {
            assert_eq!(read(&mut stream).await, "");
            ended += 1;
        }
        let count = gate.count();
        assert_eq!((ended, count.open), (20, 0));
        assert!(count.full >= 16, "{count:?}");
        let mut again = TcpStream::connect(address).await.expect("a connection");
        again.write_all(ask).await.expect("a request");
        assert!(read(&mut again).await.ends_with("ok"));
        serving.abort();
    }
}
