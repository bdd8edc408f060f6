//! A stream that is closed when nothing moves on it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::Pass;

/// A connection that was let in. When no byte has moved in either direction for a while, reading
/// and writing fail: whoever sends half a request, or does not read its answer, is let go.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    idle: Duration,
    until: Pin<Box<Sleep>>,
    _pass: Pass,
}

impl<S> Guarded<S> {
    /// `idle`: how long nothing may move.
    pub fn new(stream: S, pass: Pass, idle: Duration) -> Self {
        Self {
            stream,
            idle,
            until: Box::pin(sleep(idle)),
            _pass: pass,
        }
    }

    /// The connection itself.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Something moved, or the time is over.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            let until = Instant::now() + self.idle;
            self.until.as_mut().reset(until);
            return moved;
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        self.watch(context, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gate, Limits, Peer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const IDLE: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn who_says_half_and_stops_is_let_go() {
        let limits = Limits {
            total: 1,
            per_peer: 1,
        };
        let gate = Gate::new("test", limits);
        let (mut client, server) = tokio::io::duplex(8);
        let pass = gate.enter(Peer::Anybody).expect("room");
        let mut server = Guarded::new(server, pass, IDLE);
        client.write_all(b"GET").await.expect("room for it");
        let mut said = [0; 3];
        server.read_exact(&mut said).await.expect("what was said");
        let error = server.read_exact(&mut said).await.expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // Nor does one that never reads hold it up.
        let error = server.write_all(&[0; 64]).await.expect_err("a full pipe");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(server);
        assert_eq!(gate.count().open, 0);
    }
}
