//! The proxy process: workers, privileges, the link, and the end.
//!
//! Order matters: raise the file limit, start every worker (each enters its namespace, opens its
//! listeners and gives up its privileges), give up our own, prove that no thread kept any, and
//! only then read the first byte from anyone.

use std::{io, path::PathBuf, sync::Arc, thread, time::Duration};

use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    time,
};
use weir_link::{
    Instance,
    proxy::{Counters, Hello, ListenerInfo, PROTOCOL},
};
use weir_policy::model::Direction;

use crate::{
    context::Limits,
    dns::learn::Teller,
    flow::FlowSender,
    link::ProxyEnd,
    privileges::{self, PrivilegeError},
    worker::{Place, Worker, WorkerError, WorkerSpec, spawn_worker},
};

/// Flow records that wait for the link before they are dropped.
const FLOW_QUEUE: usize = 8192;
/// How long the agent may take to steer new connections elsewhere before we stop accepting.
const HANDOVER: Duration = Duration::from_millis(500);

/// How a proxy process is set up.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Where each direction is served.
    pub places: Vec<(Direction, Place)>,
    /// Workers for each direction.
    pub workers: usize,
    /// Where the agent listens.
    pub socket: PathBuf,
    /// Limits.
    pub limits: Limits,
    /// Whether to give up privileges. Always, except in tests and unprivileged benchmarks.
    pub drop_privileges: bool,
}

impl ProxyConfig {
    /// The set-up of an instance on a node, in its two network namespaces.
    pub fn of_instance(instance: &Instance, workers: usize, limits: Limits) -> Self {
        let place = |direction| (direction, Place::Netns(instance.netns_path(direction)));
        Self {
            places: Direction::BOTH.map(place).into(),
            workers,
            socket: instance.proxy_socket(),
            limits,
            drop_privileges: true,
        }
    }
}

/// Why the proxy did not start, or stopped.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// A worker did not start.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Privileges were not given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The main thread's runtime or signals failed.
    #[error("cannot run: {0}")]
    Io(#[from] io::Error),
    /// A worker ended although it was not told to.
    #[error("a worker ended")]
    WorkerEnded,
}

/// Runs a proxy until SIGTERM or SIGINT and the end of its drain.
///
/// # Errors
/// See [`ProxyError`]. Connections that were open then are cut.
pub fn run(config: ProxyConfig) -> Result<(), ProxyError> {
    run_until(config, async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Runs a proxy until `stop` is ready and its drain is over.
///
/// # Errors
/// See [`ProxyError`].
pub fn run_until(
    config: ProxyConfig,
    stop: impl Future<Output = io::Result<()>>,
) -> Result<(), ProxyError> {
    let began = since_boot()?;
    privileges::raise_file_limit()?;
    let (flow_sender, flows, recorded) = FlowSender::channel(FLOW_QUEUE);
    let (names, learned, waiting) = Teller::channel();
    let (snapshots, _) = watch::channel(None);
    let (drain, draining) = watch::channel(false);
    let (leave, leaving) = watch::channel(false);
    let mut started = Started::default();
    for (direction, place) in &config.places {
        let mut port = 0;
        for number in 0..config.workers.max(1) {
            let counters = Arc::new(Counters::default());
            let spec = WorkerSpec {
                direction: *direction,
                place: place.clone(),
                port,
                limits: config.limits,
                drop_privileges: config.drop_privileges,
                counters: Arc::clone(&counters),
                flows: flow_sender.clone(),
                names: names.clone(),
                snapshots: snapshots.subscribe(),
                draining: draining.clone(),
            };
            let worker = spawn_worker(format!("{}-{number}", name_of(*direction)), spec)?;
            port = worker.port;
            started.add(*direction, number == 0, worker, counters);
        }
    }
    // From here on only workers hold senders: their end closes the queue.
    drop(flow_sender);
    if config.drop_privileges {
        privileges::drop_thread()?;
        privileges::check_all_threads()?;
    }
    let link = ProxyEnd {
        path: config.socket,
        hello: Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: began,
            listeners: started.infos,
        },
        listeners: started.listeners,
        snapshots,
        applied: started.applied,
        flows,
        recorded,
        learned,
        waiting,
        counters: started.counters,
        leaving,
    };
    let (ended, all_ended) = oneshot::channel();
    let threads = started.threads;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new().name("join".into()).spawn(move || {
        for thread in threads {
            if thread.join().is_err() {
                break;
            }
        }
        // Nobody listens only if the main thread has failed already.
        let _told = ended.send(());
    })?;
    runtime.block_on(supervise(link, leave, drain, stop, all_ended))
}

async fn supervise(
    link: ProxyEnd,
    leave: watch::Sender<bool>,
    drain: watch::Sender<bool>,
    stop: impl Future<Output = io::Result<()>>,
    mut all_ended: oneshot::Receiver<()>,
) -> Result<(), ProxyError> {
    let link = tokio::spawn(link.run());
    tokio::select! {
        result = stop => result?,
        _ = &mut all_ended => return Err(ProxyError::WorkerEnded),
    }
    tracing::info!("draining");
    leave.send_replace(true);
    time::sleep(HANDOVER).await;
    drain.send_replace(true);
    if all_ended.await.is_err() {
        return Err(ProxyError::WorkerEnded);
    }
    // Flow records of the last requests: a moment, no more.
    time::sleep(Duration::from_millis(100)).await;
    link.abort();
    Ok(())
}

/// See [`Hello::started`].
fn since_boot() -> io::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
    Ok(u64::try_from(std::time::Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}

fn name_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// What is kept of the workers that have started.
#[derive(Default)]
struct Started {
    threads: Vec<thread::JoinHandle<()>>,
    infos: Vec<ListenerInfo>,
    listeners: Vec<std::os::fd::OwnedFd>,
    applied: Vec<watch::Receiver<u64>>,
    counters: Vec<Arc<Counters>>,
}

impl Started {
    /// Only the first worker's listeners of a direction go to the agent: the kernel spreads
    /// connections over the group that they belong to.
    fn add(&mut self, direction: Direction, first: bool, worker: Worker, counters: Arc<Counters>) {
        if first {
            for listener in worker.listeners {
                self.infos.push(ListenerInfo {
                    direction,
                    v6: listener.v6,
                    udp: listener.udp,
                    port: worker.port,
                });
                self.listeners.push(listener.socket);
            }
        }
        self.threads.push(worker.thread);
        self.applied.push(worker.applied);
        self.counters.push(counters);
    }
}
