//! The HTTP/2 engine (RFC 9113), for clients that begin with its preface: each stream is a request.
//!
//! ```text
//!  preface ─▶ accept ─▶ ┌ stream: head ─▶ judge ─┬─ allowed ─▶ exchange ─┬─▶ record
//!                       ├ stream ...             └─ denied ──▶ answer ───┘
//!                       └ ...                         one connection to the server
//! ```
//!
//! Frames, windows and header compression are the `h2` crate's. Around it are bounds that it does not
//! have ([`guard`]), on what it reads and writes ([`tap`]); why not pingora's sessions:
//! `docs/decisions/0048-http2-on-h2.md`.
//!
//! Fail closed: nothing of a request goes on before its verdict, nor to a server that has not said that
//! it speaks HTTP/2; what is malformed or too much is refused, counted and told. Policy is asked with
//! one snapshot; a stream that is under way is judged again at each.
//!
//! Cancel safety: streams are tasks of the connection's, which waits for them.

mod answer;
mod exchange;
mod frames;
mod grpc;
mod guard;
pub mod request;
mod stream;
mod tap;
mod upstream;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use h2::{Reason, server};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{self, Duration, Instant},
};
use weir_link::proxy::{Disposition, Refusal};

use crate::{
    context::Context,
    flow::FlowKey,
    wire::{
        finish::{Finish, finish},
        peer::Peer,
    },
};
use guard::Side;
use stream::Shared;
use tap::{Stage, Tap, Watch};
use upstream::Upstream;

/// Most streams at once on one connection.
const STREAMS: u32 = 100;
/// Most bytes of one header list, as RFC 9113 counts them (6.5.2).
const HEAD: u32 = 64 * 1024;
/// What one stream may have under way.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all streams of a connection may.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What may wait for one reader's window in the engine.
const SEND_BUFFER: usize = 64 * 1024;
/// Most refused requests of one connection.
const REFUSED: u32 = 100;
/// How long a connection without streams may take to close.
const CLOSING: Duration = Duration::from_secs(5);

/// The first bytes of a client that speaks HTTP/2, up to where they differ from any HTTP/1 request line.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

type Engine = server::Connection<Tap, Bytes>;

/// A connection under way.
struct Connection {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    streams: JoinSet<bool>,
    /// Requests of it that were refused.
    refused: u32,
    since: std::time::Instant,
}

/// Serves a connection whose first bytes are [`PREFACE`] to its end. `made`: a connection to its server
/// that is there already.
pub async fn serve(context: Arc<Context>, key: FlowKey, client: Peer, made: Option<Peer>) {
    let (tap, socket, watch) = Tap::new(client, Side::Client);
    let connection = Connection {
        shared: Arc::new(Shared {
            upstream: Upstream::new(Arc::clone(&context), made),
            context,
            key,
        }),
        watch,
        streams: JoinSet::new(),
        refused: 0,
        since: std::time::Instant::now(),
    };
    connection.run(tap).await;
    close(socket).await;
}

/// Gives the client time to read what it was told.
async fn close(socket: Arc<TcpStream>) {
    if let Some(socket) = Arc::into_inner(socket) {
        finish(Finish::Linger, Peer::new(socket), None).await;
    }
}

// === impl Connection ===

impl Connection {
    async fn run(mut self, tap: Tap) {
        let context = Arc::clone(&self.shared.context);
        let begun = server::Builder::new()
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake::<Tap, Bytes>(tap);
        match time::timeout(context.limits.head_timeout, begun).await {
            Ok(Ok(engine)) => self.streams(engine).await,
            Ok(Err(error)) => self.broken(&error),
            Err(_) => self.refuse(Refusal::HeadTimeout),
        }
        // Their connection is gone: they end by themselves.
        let ended = async { while self.streams.join_next().await.is_some() {} };
        if time::timeout(CLOSING, ended).await.is_err() {
            self.streams.shutdown().await;
        }
        self.shared.upstream.close().await;
    }

    /// Accepts streams until the connection ends.
    async fn streams(&mut self, mut engine: Engine) {
        let context = Arc::clone(&self.shared.context);
        let mut draining = context.draining.clone();
        let mut stage = self.watch.follow();
        let (mut told, mut last) = (false, None);
        loop {
            let Stage { offence, block, .. } = *stage.borrow_and_update();
            if last.is_none() {
                let offence = offence.or((self.refused > REFUSED).then_some(Refusal::Flood));
                if let Some(offence) = offence {
                    self.refuse(offence);
                    engine.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    last = Some(Instant::now() + CLOSING);
                }
            }
            if !told && context.is_draining() {
                told = true;
                // Streams under way go on; an idle connection ends with its client's answer.
                engine.graceful_shutdown();
            }
            if told && last.is_none() && self.streams.is_empty() {
                last = Some(Instant::now() + CLOSING);
            }
            let block = block.map(|since| since + context.limits.head_timeout);
            let first = [block, last].into_iter().flatten().min();
            let too_late = async {
                match first {
                    Some(deadline) => time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let streams = self.streams.len();
            tokio::select! {
                biased;
                _ = stage.changed(), if last.is_none() => {}
                _ = draining.changed(), if !told => {}
                Some(ended) = self.streams.join_next(), if streams > 0 => {
                    self.refused += u32::from(ended.unwrap_or(true));
                }
                next = engine.accept() => match next {
                    Some(Ok((request, respond))) => {
                        self.watch.guard().accepted(respond.stream_id().as_u32());
                        let shared = Arc::clone(&self.shared);
                        self.streams.spawn(stream::serve(shared, request, respond));
                    }
                    Some(Err(error)) => {
                        self.told();
                        return self.broken(&error);
                    }
                    None => return self.told(),
                },
                () = too_late => {
                    if last.is_some() {
                        return;
                    }
                    self.refuse(Refusal::HeadTimeout);
                    engine.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    last = Some(Instant::now() + CLOSING);
                }
            }
            self.told();
        }
    }

    /// Tells what the engine has refused by itself.
    fn told(&mut self) {
        let refused = self.watch.guard().refused();
        for refusal in refused {
            self.refused += 1;
            self.refuse(refusal);
        }
    }

    fn refuse(&self, refusal: Refusal) {
        let context = &self.shared.context;
        context.counters.refuse(refusal);
        let record = self
            .shared
            .key
            .record(Disposition::Refused, refusal.reason());
        context.record(record, self.since);
    }

    /// The connection ended with an error: the client's frames, or its socket.
    fn broken(&self, error: &h2::Error) {
        tracing::debug!(%error, "HTTP/2 connection ended");
        if error.is_io() {
            self.shared.context.counters.client_resets.add();
        } else if error.is_library() {
            // The engine has bounds of its own: on resets before a stream is handed out, and on
            // the frames of one header block.
            self.refuse(match error.reason() {
                Some(Reason::ENHANCE_YOUR_CALM) => Refusal::Flood,
                _ => Refusal::Frames,
            });
        }
    }
}
