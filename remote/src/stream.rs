//! A forwarded stream that ends with the reason why.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

type Reason = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// The API tells apart from the bytes why a port cannot be forwarded, and then ends the stream.
pub struct Stream {
    bytes: DuplexStream,
    reason: Option<Reason>,
}

// === impl Stream ===

impl Stream {
    pub fn new(
        bytes: DuplexStream,
        reason: impl Future<Output = Option<String>> + Send + 'static,
    ) -> Self {
        Self {
            bytes,
            reason: Some(Box::pin(reason)),
        }
    }

    /// What was told before the end: nothing where the pod itself has ended it.
    fn reason(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        let Poll::Ready(told) = self.reason.as_mut()?.as_mut().poll(context) else {
            return None;
        };
        self.reason = None;
        told.map(|text| io::Error::other(text.trim().to_owned()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.bytes).poll_read(context, buffer));
        let ended = buffer.filled().len() == before && buffer.remaining() > 0;
        Poll::Ready(match ended || read.is_err() {
            true => self.reason(context).map_or(read, Err),
            false => read,
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.bytes).poll_write(context, bytes));
        Poll::Ready(written.map_err(|error| self.reason(context).unwrap_or(error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}
