//! One end of a proxied connection: a socket, what it sent and we did not use yet, and which of
//! its two directions have ended.

use std::{future, io, time::Duration};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use super::{
    buffer::Buffer,
    splice::{PIPE, Pipe},
};
use crate::sys;

/// How long what was sent may stay unacknowledged before it counts as delivered all the same.
const DELIVERY: Duration = Duration::from_secs(1);

/// How an end's sending direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It closed it (FIN).
    Eof,
    /// It reset the connection, or the network did.
    Reset,
}

/// Writing failed: the other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// One end of a proxied connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    buffer: Buffer,
    end: Option<End>,
    ended: bool,
}

/// The direction from a peer to us.
#[derive(Debug)]
pub struct Reader<'p> {
    stream: &'p TcpStream,
    buffer: &'p mut Buffer,
    end: &'p mut Option<End>,
}

/// The direction from us to a peer.
#[derive(Debug)]
pub struct Writer<'p> {
    stream: &'p TcpStream,
    ended: &'p mut bool,
}

// === impl Peer ===

impl Peer {
    /// A peer that has sent nothing yet.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Buffer::default(),
            end: None,
            ended: false,
        }
    }

    /// Both directions, to be used at the same time.
    pub fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        (
            Reader {
                stream: &self.stream,
                buffer: &mut self.buffer,
                end: &mut self.end,
            },
            Writer {
                stream: &self.stream,
                ended: &mut self.ended,
            },
        )
    }

    /// The direction from the peer to us.
    pub fn reader(&mut self) -> Reader<'_> {
        self.split().0
    }

    /// The direction from us to the peer.
    pub fn writer(&mut self) -> Writer<'_> {
        self.split().1
    }

    /// What the peer sent and was not consumed.
    pub fn filled(&self) -> &[u8] {
        self.buffer.filled()
    }

    /// Whether nothing more can be read before some of that is consumed.
    pub fn is_full(&self) -> bool {
        self.buffer.is_full()
    }

    /// How the peer's direction ended, if it did.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The socket; nothing may have been read from it.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// The socket, and what was read from it and not consumed.
    pub fn into_parts(self) -> (TcpStream, Buffer) {
        (self.stream, self.buffer)
    }

    /// Whether a peer that had sent its FIN has taken what it was sent since. A half-closed one
    /// acknowledges it; one that has closed its socket resets the connection, a moment after the
    /// sending went well.
    pub async fn delivered(&self) -> bool {
        let socket = SockRef::from(&self.stream);
        let reset = || matches!(socket.take_error(), Ok(Some(_)) | Err(_));
        let acknowledged = async {
            let mut pause = Duration::from_micros(200);
            loop {
                if reset() {
                    return false;
                }
                if sys::unacknowledged(&self.stream).is_ok_and(|count| count == 0) {
                    // It may have been reset between the two looks.
                    return !reset();
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        };
        tokio::time::timeout(DELIVERY, acknowledged)
            .await
            .unwrap_or(true)
    }

    /// Closes with a reset instead of a FIN.
    pub fn reset(self) {
        if let Err(error) = SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO))
        {
            tracing::debug!(%error, "connection closed without a reset");
        }
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// What the peer sent and was not consumed.
    pub fn filled(&self) -> &[u8] {
        self.buffer.filled()
    }

    /// How the peer's direction ended, if it did.
    pub fn end(&self) -> Option<End> {
        *self.end
    }

    /// Drops the first bytes held.
    pub fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
    }

    /// Drops all bytes held.
    pub fn discard(&mut self) {
        self.buffer.clear();
    }

    /// Waits until the peer sent more or ended, and takes everything at hand, so that an end that
    /// came with the last bytes is known together with them. Never returns while the buffer is
    /// full or after the end: look at [`filled`](Self::filled) and [`end`](Self::end) first.
    ///
    /// Cancel safe: bytes are taken only in the step that returns.
    pub async fn fill(&mut self) {
        if self.end.is_some() || self.buffer.is_full() {
            return future::pending().await;
        }
        loop {
            if self.stream.ready(Interest::READABLE).await.is_err() {
                *self.end = Some(End::Reset);
                return;
            }
            let mut progress = false;
            loop {
                let room = self.buffer.room();
                if room.is_empty() {
                    return;
                }
                match self.stream.try_read(room) {
                    Ok(0) => {
                        *self.end = Some(End::Eof);
                        self.buffer.consume(0);
                        return;
                    }
                    Ok(count) => {
                        self.buffer.commit(count);
                        progress = true;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => {
                        *self.end = Some(End::Reset);
                        self.buffer.consume(0);
                        return;
                    }
                }
            }
            if progress {
                return;
            }
            // Woken for nothing: give the memory back before waiting on.
            self.buffer.consume(0);
        }
    }
}

impl Reader<'_> {
    /// Moves up to `count` bytes on without looking at them; the buffer must be empty. Returns how
    /// many were moved: fewer at the peer's end ([`end`](Self::end) says so), none without a pipe.
    ///
    /// Dropped midway it may lose bytes: the connection must not be used on.
    ///
    /// # Errors
    /// [`Gone`]: the other end takes no more.
    pub async fn splice(&mut self, to: &mut Writer<'_>, count: u64) -> Result<u64, Gone> {
        let mut moved = 0;
        let Some(mut pipe) = Pipe::take() else {
            return Ok(0);
        };
        while moved < count && self.end.is_none() {
            let want = usize::try_from(count - moved).unwrap_or(PIPE).min(PIPE);
            pipe.held = self.splice_in(&pipe, want).await;
            while pipe.held > 0 {
                let sent = to.splice_out(&pipe).await?;
                pipe.held -= sent.min(pipe.held);
                moved += sent as u64;
            }
        }
        Ok(moved)
    }

    /// Fills an empty pipe. 0 means that the peer ended.
    async fn splice_in(&mut self, pipe: &Pipe, want: usize) -> usize {
        loop {
            let read = self
                .stream
                .try_io(Interest::READABLE, || match pipe.ends() {
                    Some([_, write]) => sys::splice(self.stream, write, want),
                    None => Err(io::ErrorKind::BrokenPipe.into()),
                });
            match read {
                Ok(0) => *self.end = Some(End::Eof),
                Ok(count) => return count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stream.readable().await.is_ok() {
                        continue;
                    }
                    *self.end = Some(End::Reset);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => *self.end = Some(End::Reset),
            }
            return 0;
        }
    }
}

// === impl Writer ===

impl Writer<'_> {
    /// Sends all bytes. With `end`, the FIN goes out together with the last of them: a FIN sent a
    /// turn later would let the other side close first and keep the TIME_WAIT.
    ///
    /// # Errors
    /// [`Gone`]: the connection broke or its sending direction had ended before.
    pub async fn send(&mut self, mut bytes: &[u8], end: bool) -> Result<(), Gone> {
        if *self.ended {
            return if bytes.is_empty() { Ok(()) } else { Err(Gone) };
        }
        let flags = libc::MSG_NOSIGNAL | if end { libc::MSG_MORE } else { 0 };
        while !bytes.is_empty() {
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                SockRef::from(self.stream).send_with_flags(bytes, flags)
            });
            match sent {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await.map_err(|_| Gone)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
        if end {
            self.end();
        }
        Ok(())
    }

    /// Sends some of what a pipe holds; more of the same body always follows.
    async fn splice_out(&mut self, pipe: &Pipe) -> Result<usize, Gone> {
        if *self.ended {
            return Err(Gone);
        }
        loop {
            let sent = self
                .stream
                .try_io(Interest::WRITABLE, || match pipe.ends() {
                    Some([read, _]) => sys::splice(read, self.stream, pipe.held),
                    None => Err(io::ErrorKind::BrokenPipe.into()),
                });
            match sent {
                Ok(count) if count > 0 => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await.map_err(|_| Gone)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return Err(Gone),
            }
        }
    }

    /// Ends the direction to the peer (FIN), once.
    pub fn end(&mut self) {
        if !*self.ended {
            *self.ended = true;
            if let Err(error) = sys::shutdown_write(self.stream) {
                // The peer reset the connection meanwhile: reading will say so.
                tracing::trace!(%error, "connection ended before its FIN");
            }
        }
    }
}
