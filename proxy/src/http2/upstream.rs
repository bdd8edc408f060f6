//! The connection to the server: one for each accepted one, from the client's address, made when a
//! verdict first allows a request.
//!
//! Nothing of a request goes to a server that has not said that it speaks HTTP/2: one of HTTP/1 might
//! look for its next request in what follows the preface.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use thiserror::Error;
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Duration, Instant, timeout},
};

use super::{CONNECTION_WINDOW, HEAD, STREAM_WINDOW, STREAMS, guard::Side, tap::Tap};
use crate::{
    context::Context, datapath::ConnectFault, engine::Answer, permit::Permit, wire::peer::Peer,
};

/// How long a connection may take to close once no stream needs it.
const CLOSING: Duration = Duration::from_secs(2);

/// Why there is no stream to the server.
#[derive(Debug, Error)]
pub enum Fault {
    /// It was not reached.
    #[error(transparent)]
    Connect(#[from] ConnectFault),
    /// It said something else than SETTINGS.
    #[error("the server does not speak HTTP/2")]
    NotHttp2,
    /// It closed the connection before it said anything.
    #[error("the server closed the connection before it spoke HTTP/2")]
    Closed,
    /// It did not say anything in time.
    #[error("the server did not speak HTTP/2 in time")]
    Silent,
}

/// The way to the server of one accepted connection.
#[derive(Debug)]
pub struct Upstream {
    context: Arc<Context>,
    /// One that is used until it takes no more streams.
    live: Mutex<Live>,
}

#[derive(Debug)]
struct Live {
    /// Made before the client spoke.
    made: Option<Peer>,
    send: Option<SendRequest<Bytes>>,
    /// When the last attempt failed, and why.
    failed: Option<(Instant, Arc<Fault>)>,
    drivers: JoinSet<()>,
}

// === impl Fault ===

impl Fault {
    /// What the client is told.
    pub fn answer(&self) -> Answer {
        match self {
            Self::Connect(_) => Answer::Unreachable,
            Self::NotHttp2 | Self::Closed | Self::Silent => Answer::NoHttp2,
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// The way to a server; `made`: a connection to it that is there already.
    pub fn new(context: Arc<Context>, made: Option<Peer>) -> Self {
        Self {
            context,
            live: Mutex::new(Live {
                made,
                send: None,
                failed: None,
                drivers: JoinSet::new(),
            }),
        }
    }

    /// What opens one more stream, on a connection that takes one. Connects where there is none; who
    /// waits meanwhile shares what comes of it.
    ///
    /// # Errors
    /// See [`Fault`]; nothing of a request was sent.
    pub async fn stream(&self, permit: &Permit) -> Result<SendRequest<Bytes>, Arc<Fault>> {
        let asked = Instant::now();
        let mut live = self.live.lock().await;
        if let Some((at, fault)) = &live.failed
            && *at >= asked
        {
            if matches!(**fault, Fault::Connect(_)) {
                self.context.counters.upstream_failures.add();
            }
            return Err(Arc::clone(fault));
        }
        let stream = self.open(&mut live, permit).await;
        stream.map_err(|fault| {
            let fault = Arc::new(fault);
            live.failed = Some((Instant::now(), Arc::clone(&fault)));
            fault
        })
    }

    async fn open(&self, live: &mut Live, permit: &Permit) -> Result<SendRequest<Bytes>, Fault> {
        if let Some(send) = &live.send
            && let Ok(send) = send.clone().ready().await
        {
            return Ok(send);
        }
        live.send = None;
        let limit = self.context.limits.connect_timeout;
        let peer = match live.made.take() {
            Some(peer) => peer,
            None => {
                let counters = &self.context.counters;
                let connected = self.context.datapath.connect(permit, limit).await;
                let connected = connected.inspect_err(|_| counters.upstream_failures.add())?;
                if connected.port_fallback {
                    counters.port_fallbacks.add();
                }
                Peer::new(connected.stream)
            }
        };
        let (tap, _, watch) = Tap::new(peer, Side::Server);
        let mut stage = watch.follow();
        let made = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(STREAMS as usize)
            .max_concurrent_streams(0)
            .max_header_list_size(HEAD)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(tap);
        let (send, connection) = made.await.map_err(|_| Fault::Closed)?;
        live.drivers.spawn(async move {
            tokio::pin!(connection);
            let mut flood = watch.follow();
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection to a server ended");
                    }
                }
                // What a server floods it with is as good as a broken connection.
                _ = flood.wait_for(|stage| stage.offence.is_some()) => {}
            }
            watch.close();
        });
        while live.drivers.try_join_next().is_some() {}
        let spoke = stage.wait_for(|at| at.settled || at.offence.is_some() || at.closed);
        let stage = match timeout(limit, spoke).await {
            Err(_) => return Err(Fault::Silent),
            Ok(Err(_)) => return Err(Fault::Closed),
            Ok(Ok(stage)) => *stage,
        };
        if stage.offence.is_some() {
            return Err(Fault::NotHttp2);
        }
        if !stage.settled {
            return Err(Fault::Closed);
        }
        let ready = send.ready().await.map_err(|_| Fault::NotHttp2)?;
        live.send = Some(ready.clone());
        Ok(ready)
    }

    /// Closes what is there, once no stream needs it.
    pub async fn close(&self) {
        let mut live = self.live.lock().await;
        (live.made, live.send) = (None, None);
        let closed = async { while live.drivers.join_next().await.is_some() {} };
        if timeout(CLOSING, closed).await.is_err() {
            tracing::debug!("connection to a server did not close in time");
        }
    }
}
