//! Connections of the observer's clients that its gate lets in.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tokio_stream::Stream;
use tonic::transport::server::Connected;
use weir_gate::{Gate, Guarded, Peer};

/// No byte has moved for so long: longer than a ping and its answer take.
const IDLE: Duration = Duration::from_secs(60);
/// After an accept that failed, for want of descriptors mostly.
const AGAIN: Duration = Duration::from_millis(100);

/// A connection, as tonic takes it.
#[derive(Debug)]
pub struct Served<S>(Guarded<S>);

/// Connections of a TCP listener, each address with its share.
pub fn tcp(
    listener: TcpListener,
    gate: Arc<Gate>,
) -> impl Stream<Item = io::Result<Served<TcpStream>>> {
    let accept = async move |listener: &TcpListener| {
        let (stream, client) = listener.accept().await?;
        // Small messages that somebody waits for.
        stream.set_nodelay(true).ok();
        Ok((stream, Peer::Address(client.ip())))
    };
    incoming(listener, gate, accept)
}

/// Connections of a Unix listener, each user with its share.
pub fn unix(
    listener: UnixListener,
    gate: Arc<Gate>,
) -> impl Stream<Item = io::Result<Served<UnixStream>>> {
    let accept = async move |listener: &UnixListener| {
        let (stream, _) = listener.accept().await?;
        let peer = stream.peer_cred()?;
        Ok((stream, Peer::User(peer.uid())))
    };
    incoming(listener, gate, accept)
}

fn incoming<L, S>(
    listener: L,
    gate: Arc<Gate>,
    accept: impl AsyncFn(&L) -> io::Result<(S, Peer)>,
) -> impl Stream<Item = io::Result<Served<S>>> {
    futures_util::stream::unfold(
        (listener, gate, accept),
        async |(listener, gate, accept)| {
            loop {
                match accept(&listener).await {
                    Ok((stream, peer)) => {
                        if let Ok(pass) = gate.enter(peer) {
                            let served = Served(Guarded::new(stream, pass, IDLE));
                            return Some((Ok(served), (listener, gate, accept)));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "connection not accepted");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        },
    )
}

impl<S: Connected> Connected for Served<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.0.get_ref().connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Served<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Served<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
