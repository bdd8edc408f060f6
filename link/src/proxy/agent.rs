//! The agent's end: accepts proxies, sends them snapshots, and tells what they report.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
};
use weir_gate::{Gate, Peer, descriptors::Share};
use weir_policy::l7::L7Table;

use super::{
    counters::CountersSnapshot,
    frame::{self, FromProxy, LinkError},
    message::{Hello, Learned, PROTOCOL, ToAgent, ToProxyRef},
    record::{L7Record, Recorded},
    trust::Trusted,
};

/// Events that wait for the agent before proxies are made to wait.
const QUEUE: usize = 4096;
/// Between two lines that say that a link was refused at once.
const CALM: Duration = Duration::from_secs(1);
/// How long a connected process may take to say Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes records of requests; never waits.
pub type Records = Arc<dyn Fn(Vec<L7Record>) + Send + Sync>;

/// Tells links of proxies apart. A later one has a greater number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyId(u64);

impl ProxyId {
    /// The link of this number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }
}

/// What the agent says to links.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// What was learned under this ticket is enforced.
    Enforced(u64),
    /// End this link.
    End(ProxyId),
}

/// Something that a proxy reported.
#[derive(Debug)]
pub struct Event {
    /// Which proxy.
    pub proxy: ProxyId,
    /// What.
    pub kind: EventKind,
}

/// What a proxy reported.
#[derive(Debug)]
pub enum EventKind {
    /// It connected. Steer no connection to it before its first Ack.
    Connected {
        /// Who it is.
        hello: Hello,
        /// Its listener sockets, described in the same order by `hello.listeners`. Put them into
        /// the SockMap, then drop them: kept open they would keep listening after the proxy's end.
        listeners: Vec<OwnedFd>,
    },
    /// Every worker of it uses the snapshot of this revision.
    Ack {
        /// The snapshot's revision.
        revision: u64,
    },
    /// It served, denied or refused requests, and nobody else takes the records.
    Flows(Vec<L7Record>),
    /// What a name resolves to; answer with [`AgentEnd::enforced`].
    Learned(Learned),
    /// Its counters since it started.
    Counters(Box<CountersSnapshot>),
    /// It is about to stop: steer no more connections to it.
    Draining,
    /// Its link ended. It may still serve what it has, and may connect again.
    Disconnected,
}

/// The agent's end of the link.
#[derive(Debug)]
pub struct AgentEnd {
    snapshot: watch::Sender<Option<Arc<Vec<u8>>>>,
    words: broadcast::Sender<Word>,
    events: mpsc::Receiver<Event>,
    accepting: JoinHandle<()>,
}

impl AgentEnd {
    /// Listens at a path, such as `/run/weir/weir/proxy.sock`. Makes the folder, which only root can
    /// list (0711), and lets every user connect, because the proxy has none of root's rights by
    /// then; who may speak is decided by `trusted`.
    ///
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// Whatever making the folder or the socket says.
    pub fn bind(path: &Path, trusted: Trusted) -> Result<Self, LinkError> {
        Self::bind_recording(path, trusted, &Recorded::default(), None)
    }

    /// The same, with proxies that tell of requests what is wanted. Their records go to `records`, where
    /// there is one, and are no events then: who takes events may be busy, and must not have to keep
    /// them.
    ///
    /// # Errors
    /// See [`bind`](Self::bind).
    pub fn bind_recording(
        path: &Path,
        trusted: Trusted,
        recorded: &Recorded,
        records: Option<Records>,
    ) -> Result<Self, LinkError> {
        let record: Arc<[u8]> = frame::encode(&ToProxyRef::Record(recorded))?.into();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        let (snapshot, snapshots) = watch::channel(None);
        let (sender, events) = mpsc::channel(QUEUE);
        let (words, _) = broadcast::channel(QUEUE);
        let shared = Shared {
            trusted,
            record,
            records,
            snapshots,
            events: sender,
        };
        let accepting = tokio::spawn(accept(listener, shared, words.clone()));
        Ok(Self {
            snapshot,
            words,
            events,
            accepting,
        })
    }

    /// Sends a snapshot to every proxy connected now or later. One that is not sent yet when the
    /// next comes is skipped.
    ///
    /// # Errors
    /// It does not serialise or is too large; the one before stays in force.
    pub fn send_snapshot(&self, table: &L7Table) -> Result<(), LinkError> {
        let frame = frame::encode(&ToProxyRef::Snapshot { table })?;
        self.snapshot.send_replace(Some(Arc::new(frame)));
        Ok(())
    }

    /// Tells the proxies that what was learned under a ticket is enforced.
    pub fn enforced(&self, ticket: u64) {
        // Nobody listens where the proxy has gone meanwhile.
        self.words.send(Word::Enforced(ticket)).ok();
    }

    /// Ends a link. The proxy connects anew, and brings its listeners again.
    pub fn recall(&self, proxy: ProxyId) {
        // Nobody listens where it has gone meanwhile.
        self.words.send(Word::End(proxy)).ok();
    }

    /// The next event. `None` only if the accept loop ended, which it does not by itself. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for AgentEnd {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What every link has.
#[derive(Clone)]
struct Shared {
    trusted: Trusted,
    record: Arc<[u8]>,
    records: Option<Records>,
    snapshots: watch::Receiver<Option<Arc<Vec<u8>>>>,
    events: mpsc::Sender<Event>,
}

async fn accept(listener: UnixListener, shared: Shared, words: broadcast::Sender<Word>) {
    // Dropped, and every link with it, when the agent's end is dropped.
    let gate = Gate::of(Share::Link);
    let mut links = tokio::task::JoinSet::new();
    let mut number = 0;
    // Whoever may connect again and again shall not fill the log.
    let mut said: Option<Instant> = None;
    let mut refused = |error: &dyn std::fmt::Display| {
        if said.is_none_or(|said| said.elapsed() > CALM) {
            said = Some(Instant::now());
            tracing::warn!(%error, "proxy link refused");
        }
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Before a single byte is read, and before it takes anybody's place.
                    let user = stream.peer_cred().map_err(LinkError::from);
                    let user = user.and_then(|user| Trusted::user(user.uid()).map(|()| user.uid()));
                    let user = match user {
                        Ok(user) => user,
                        Err(error) => {
                            refused(&error);
                            continue;
                        }
                    };
                    let Ok(pass) = gate.enter(Peer::User(user)) else {
                        continue;
                    };
                    number += 1;
                    let link = serve(ProxyId(number), stream, shared.clone(), words.subscribe());
                    links.spawn(async move {
                        link.await;
                        drop(pass);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "proxy link not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = links.join_next() => {}
        }
    }
}

async fn serve(
    proxy: ProxyId,
    mut stream: UnixStream,
    shared: Shared,
    mut words: broadcast::Receiver<Word>,
) {
    let Shared {
        trusted,
        record,
        records,
        snapshots,
        events,
    } = shared;
    let hello = tokio::time::timeout(HELLO_TIMEOUT, hello(&mut stream, &trusted)).await;
    let (hello, listeners) = match hello.unwrap_or(Err(LinkError::Timeout)) {
        Ok(hello) => hello,
        Err(error) => {
            tracing::warn!(%error, "proxy link refused");
            return;
        }
    };
    tracing::info!(proxy = proxy.0, pid = hello.pid, version = %hello.version, "proxy connected");
    let report = |kind| {
        let events = events.clone();
        async move { events.send(Event { proxy, kind }).await.is_ok() }
    };
    if !report(EventKind::Connected { hello, listeners }).await {
        return;
    }
    let (mut from, mut to) = stream.into_split();
    let receive = async {
        loop {
            let kind = match frame::read_from_proxy(&mut from).await? {
                FromProxy::Flows(flows) => match &records {
                    Some(take) => {
                        take(flows);
                        continue;
                    }
                    None => EventKind::Flows(flows),
                },
                FromProxy::Message(ToAgent::Ack { revision }) => EventKind::Ack { revision },
                FromProxy::Message(ToAgent::Counters(counters)) => EventKind::Counters(counters),
                FromProxy::Message(ToAgent::Learned(learned)) => EventKind::Learned(learned),
                FromProxy::Message(ToAgent::Draining) => EventKind::Draining,
                FromProxy::Message(ToAgent::Hello(_)) => {
                    return Err(LinkError::Unexpected {
                        what: "a second hello",
                    });
                }
            };
            if !report(kind).await {
                return Ok(());
            }
        }
    };
    let send = async {
        let mut snapshots = snapshots;
        snapshots.mark_changed();
        to.write_all(&record).await?;
        loop {
            tokio::select! {
                biased;
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return Ok::<(), LinkError>(());
                    }
                    let frame = snapshots.borrow_and_update().clone();
                    if let Some(frame) = frame {
                        to.write_all(&frame).await?;
                    }
                }
                word = words.recv() => match word {
                    Ok(Word::Enforced(ticket)) => {
                        to.write_all(&frame::encode(&ToProxyRef::Enforced { ticket })?).await?;
                    }
                    Ok(Word::End(ended)) if ended == proxy => return Ok(()),
                    // Tickets that were missed wait no longer than their limit.
                    Ok(Word::End(_)) | Err(_) => {}
                }
            }
        }
    };
    let result = tokio::select! {
        result = receive => result,
        result = send => result,
    };
    if let Err(error) = result {
        tracing::info!(proxy = proxy.0, %error, "proxy link ended");
    }
    let _told = report(EventKind::Disconnected).await;
}

/// The first message, of a process that has shown that it is a proxy.
async fn hello(
    stream: &mut UnixStream,
    trusted: &Trusted,
) -> Result<(Hello, Vec<OwnedFd>), LinkError> {
    let (message, sockets) = frame::read_with_sockets(stream).await?;
    let ToAgent::Hello(hello) = message else {
        return Err(LinkError::Unexpected { what: "no hello" });
    };
    if hello.protocol != PROTOCOL {
        return Err(LinkError::Unexpected {
            what: "another protocol version",
        });
    }
    trusted.proxy(&hello, &sockets)?;
    Ok((hello, sockets))
}
