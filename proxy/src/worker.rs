//! A worker: one thread, one network namespace, its own listeners and its own runtime.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, watch},
    time,
};
use weir_link::proxy::Counters;
use weir_policy::model::Direction;

use crate::{
    context::{Context, Limits, PolicyCell},
    datapath::{Datapath, open_listener, open_query_socket},
    dns::{self, learn::Teller},
    engine,
    flow::FlowSender,
    link::Published,
    privileges::{self, PrivilegeError},
    sys, taken,
};

/// Where a worker serves.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a private network namespace, by the path of its file.
    Netns(PathBuf),
    /// Where the process is, with one server for all (tests, benchmarks).
    Plain {
        /// Taken as every flow's endpoint.
        endpoint: u16,
        /// Where every connection goes.
        server: SocketAddr,
    },
}

/// Everything a worker starts from.
#[derive(Debug)]
pub struct WorkerSpec {
    /// The direction that it serves.
    pub direction: Direction,
    /// Where.
    pub place: Place,
    /// The port of its direction's group; 0 for the group's first.
    pub port: u16,
    /// Limits.
    pub limits: Limits,
    /// Whether the thread gives up its privileges.
    pub drop_privileges: bool,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// Where its flow records go.
    pub flows: FlowSender,
    /// Who tells the agent what names resolve to.
    pub names: Teller,
    /// Snapshots to judge by.
    pub snapshots: watch::Receiver<Option<Published>>,
    /// Turns true when the proxy was told to stop.
    pub draining: watch::Receiver<bool>,
}

/// A worker that is ready to serve.
#[derive(Debug)]
pub struct Worker {
    /// Its thread; ends after draining.
    pub thread: thread::JoinHandle<()>,
    /// The port of its listeners.
    pub port: u16,
    /// Duplicates of its listeners, for the agent.
    pub listeners: Vec<Listener>,
    /// The generation of the snapshot that it uses.
    pub applied: watch::Receiver<u64>,
}

/// A listener as the agent gets it.
#[derive(Debug)]
pub struct Listener {
    /// Whether it takes IPv6; else IPv4.
    pub v6: bool,
    /// Whether it takes datagrams; else connections.
    pub udp: bool,
    /// The socket.
    pub socket: OwnedFd,
}

/// The sockets that a worker serves.
struct Sockets {
    port: u16,
    /// IPv4 and IPv6.
    tcp: [TcpListener; 2],
    /// The same for DNS queries; none where there is no private namespace.
    udp: Vec<socket2::Socket>,
}

/// Why a worker did not start.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Its network namespace cannot be entered.
    #[error("cannot enter network namespace {path}: {source}")]
    Netns {
        /// The namespace's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its listeners, thread or runtime cannot be made.
    #[error("cannot start worker: {0}")]
    Io(#[from] io::Error),
    /// It would have kept privileges.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// Its thread ended before it was ready.
    #[error("worker ended before it was ready")]
    Ended,
}

/// Starts a worker and waits until its listeners are open and its privileges gone.
///
/// # Errors
/// See [`WorkerError`].
pub fn spawn_worker(name: String, spec: WorkerSpec) -> Result<Worker, WorkerError> {
    let (ready, waiting) = mpsc::channel();
    let (applied_sender, applied) = watch::channel(0);
    let thread = thread::Builder::new()
        .name(name)
        .spawn(move || match open(&spec) {
            Ok(sockets) => {
                let described = sockets
                    .duplicates()
                    .map(|listeners| (sockets.port, listeners));
                let good = described.is_ok();
                if ready.send(described.map_err(WorkerError::Io)).is_ok() && good {
                    serve(spec, sockets, applied_sender);
                }
            }
            Err(error) => {
                // Nobody waits any more only if the process is going down anyway.
                let _sent = ready.send(Err(error));
            }
        })?;
    let (port, listeners) = waiting.recv().unwrap_or(Err(WorkerError::Ended))?;
    Ok(Worker {
        thread,
        port,
        listeners,
        applied,
    })
}

/// Enters the namespace, opens the listeners, then gives up privileges: in this order, because
/// the first two need them.
fn open(spec: &WorkerSpec) -> Result<Sockets, WorkerError> {
    let transparent = match &spec.place {
        Place::Netns(path) => {
            let netns = std::fs::File::open(path)
                .and_then(|file| setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from));
            netns.map_err(|source| WorkerError::Netns {
                path: path.clone(),
                source,
            })?;
            true
        }
        Place::Plain { .. } => false,
    };
    let v4 = open_listener(transparent, false, spec.port)?;
    let port = v4.local_addr()?.port();
    let v6 = open_listener(transparent, true, port)?;
    let mut udp = Vec::new();
    // Queries are judged where they are asked.
    if transparent && spec.direction == Direction::Egress {
        for v6 in [false, true] {
            udp.push(open_query_socket(v6, port)?);
        }
    }
    if spec.drop_privileges {
        privileges::drop_thread()?;
    }
    Ok(Sockets {
        port,
        tcp: [v4, v6],
        udp,
    })
}

impl Sockets {
    fn duplicates(&self) -> io::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        for (v6, tcp) in [false, true].into_iter().zip(&self.tcp) {
            listeners.push(Listener {
                v6,
                udp: false,
                socket: tcp.try_clone()?.into(),
            });
        }
        for (v6, udp) in [false, true].into_iter().zip(&self.udp) {
            listeners.push(Listener {
                v6,
                udp: true,
                socket: udp.try_clone()?.into(),
            });
        }
        Ok(listeners)
    }
}

fn serve(spec: WorkerSpec, sockets: Sockets, applied: watch::Sender<u64>) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            // Dropping `applied` tells the link that this worker will never be ready.
            tracing::error!(%error, "worker has no runtime");
            return;
        }
    };
    runtime.block_on(async {
        if let Err(error) = run(spec, sockets, applied).await {
            tracing::error!(%error, "worker failed");
        }
    });
}

async fn run(spec: WorkerSpec, sockets: Sockets, applied: watch::Sender<u64>) -> io::Result<()> {
    let [v4, v6] = sockets.tcp;
    let listener_port = sockets.port;
    let private = matches!(spec.place, Place::Netns(_));
    let takes_over = private && spec.direction == Direction::Ingress;
    let datapath = match spec.place {
        Place::Netns(_) => Datapath::Transparent {
            direction: spec.direction,
            listener_port,
        },
        Place::Plain { endpoint, server } => Datapath::Plain {
            direction: spec.direction,
            endpoint,
            server,
        },
    };
    let context = Arc::new(Context {
        policy: PolicyCell::default(),
        datapath,
        limits: spec.limits,
        counters: spec.counters,
        flows: spec.flows,
        names: spec.names,
        draining: spec.draining,
    });
    let v4 = tokio::net::TcpListener::from_std(v4)?;
    let v6 = tokio::net::TcpListener::from_std(v6)?;
    let policy = tokio::spawn(follow(spec.snapshots, Arc::clone(&context), applied));
    for socket in sockets.udp {
        let context = Arc::clone(&context);
        tokio::spawn(async move {
            if let Err(error) = dns::udp::serve(context, socket, spec.direction).await {
                tracing::error!(%error, "DNS queries are no longer served");
            }
        });
    }
    let slots = Arc::new(Semaphore::new(spec.limits.connections));
    // What the kernel judges are connections to pods.
    let handed = async {
        if takes_over {
            taken::serve(Arc::clone(&context), Arc::clone(&slots)).await;
        }
    };
    tokio::join!(
        accept(&v4, Arc::clone(&context), Arc::clone(&slots)),
        accept(&v6, Arc::clone(&context), Arc::clone(&slots)),
        handed,
    );
    // The agent may hold duplicates: closing ours alone would leave them listening.
    for listener in [v4, v6] {
        sys::shutdown_read(&listener)?;
    }
    let all = u32::try_from(spec.limits.connections).unwrap_or(u32::MAX);
    if time::timeout(spec.limits.drain, slots.acquire_many(all))
        .await
        .is_err()
    {
        tracing::warn!(
            open = context.counters.connections_open.get(),
            "connections cut at the end of the drain"
        );
    }
    policy.abort();
    Ok(())
}

/// Puts each snapshot in force. Judging is synchronous in this thread: once this task has run, no
/// older snapshot is in use; tunnels look at this one before they move a byte.
async fn follow(
    mut snapshots: watch::Receiver<Option<Published>>,
    context: Arc<Context>,
    applied: watch::Sender<u64>,
) {
    snapshots.mark_changed();
    while snapshots.changed().await.is_ok() {
        let published = snapshots.borrow_and_update().clone();
        if let Some(Published { generation, table }) = published {
            context.policy.set(table.revision(), table);
            applied.send_replace(generation);
        }
    }
}

/// Waits until the proxy is told to stop.
async fn told(draining: &mut watch::Receiver<bool>) {
    while !*draining.borrow_and_update() {
        if draining.changed().await.is_err() {
            // Nobody is left to tell it: the process is ending.
            return;
        }
    }
}

/// Accepts until the proxy is told to stop, and then whatever is queued already.
async fn accept(listener: &tokio::net::TcpListener, context: Arc<Context>, slots: Arc<Semaphore>) {
    let mut draining = context.draining.clone();
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            next = next => next,
            () = told(&mut draining) => return,
        };
        match accepted {
            Ok((stream, client)) => {
                let context = Arc::clone(&context);
                tokio::spawn(async move {
                    engine::serve(context, stream, client).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of files or memory: the connection stays queued; do not spin on it.
                context.counters.accept_errors.add();
                tracing::debug!(%error, "connection not accepted");
                time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
