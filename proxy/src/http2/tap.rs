//! The socket of an HTTP/2 connection, watched: what was read before the engine took it, and what
//! passes since.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::Instant,
};
use weir_link::proxy::Refusal;

use super::guard::{Guard, Side};
use crate::wire::{buffer::Buffer, peer::Peer};

/// What is known of a connection from its frames; it wakes who follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stage {
    /// The peer has said its SETTINGS.
    pub settled: bool,
    /// Why the connection must end.
    pub offence: Option<Refusal>,
    /// Since when a header block waits for its end.
    pub block: Option<Instant>,
    /// The peer has closed it, or it broke.
    pub closed: bool,
    /// Requests that the engine has refused by itself.
    pub refused: usize,
}

/// What the two who use a connection share: its engine, and who serves it.
#[derive(Debug)]
pub struct Watch {
    guard: Mutex<Guard>,
    stage: watch::Sender<Stage>,
}

/// The socket as the engine has it.
#[derive(Debug)]
pub struct Tap {
    stream: Arc<TcpStream>,
    held: Buffer,
    watch: Arc<Watch>,
}

// === impl Watch ===

impl Watch {
    fn new(side: Side) -> Self {
        Self {
            guard: Mutex::new(Guard::new(side, Instant::now())),
            stage: watch::Sender::default(),
        }
    }

    /// What is followed of its frames.
    pub fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows how far it is.
    pub fn follow(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Tells that nothing more comes.
    pub fn close(&self) {
        self.stage
            .send_if_modified(|stage| !std::mem::replace(&mut stage.closed, true));
    }

    /// Looks at bytes to the peer.
    fn sent(&self, bytes: &[u8]) {
        let mut guard = self.guard();
        guard.sent(bytes);
        let refused = guard.refused_count();
        drop(guard);
        self.stage.send_if_modified(|stage| {
            let before = std::mem::replace(&mut stage.refused, refused);
            before != refused
        });
    }

    /// Looks at bytes from the peer; `false` if they must not be used.
    fn received(&self, bytes: &[u8]) -> bool {
        let mut guard = self.guard();
        guard.received(bytes, Instant::now());
        let (settled, offence, block) = (guard.is_settled(), guard.offence(), guard.block_since());
        drop(guard);
        self.stage.send_if_modified(|stage| {
            let now = Stage {
                settled,
                offence,
                block,
                ..*stage
            };
            *stage != now && {
                *stage = now;
                true
            }
        });
        offence.is_none()
    }
}

// === impl Tap ===

impl Tap {
    /// The socket of a peer, with what it sent already, and what both sides of the engine share.
    pub fn new(peer: Peer, side: Side) -> (Self, Arc<TcpStream>, Arc<Watch>) {
        let (stream, held) = peer.into_parts();
        let (stream, watch) = (Arc::new(stream), Arc::new(Watch::new(side)));
        let tap = Self {
            stream: Arc::clone(&stream),
            held,
            watch: Arc::clone(&watch),
        };
        (tap, stream, watch)
    }

    fn write(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if self.watch.guard().offence().is_some() {
            // Whoever serves the connection ends it.
            return Poll::Pending;
        }
        if self.held.is_empty() {
            loop {
                ready!(self.stream.poll_read_ready(context))?;
                match self.stream.try_read(into.initialize_unfilled()) {
                    Ok(count) => {
                        into.advance(count);
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        self.watch.close();
                        return Poll::Ready(Err(error));
                    }
                }
            }
        } else {
            let count = self.held.filled().len().min(into.remaining());
            into.put_slice(self.held.filled().get(..count).unwrap_or_default());
            self.held.consume(count);
        }
        let bytes = into.filled().get(before..).unwrap_or_default();
        if bytes.is_empty() {
            self.watch.close();
        } else if !self.watch.received(bytes) {
            into.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.write(context, |stream| stream.try_write(bytes)))?;
        self.watch.sent(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.write(context, |stream| stream.try_write_vectored(pieces)))?;
        let mut left = count;
        for piece in pieces {
            let sent = left.min(piece.len());
            self.watch.sent(piece.get(..sent).unwrap_or_default());
            left -= sent;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}
