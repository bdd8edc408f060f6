//! The observer of a running agent: its options, and its start.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use weir_link::{Instance, proxy::Recorded};
use weir_observe::{
    Intake, Recorder,
    api::peer::peer_server::PeerServer,
    calm,
    export::{self, ExportOptions},
    log::{FlowLog, LogOptions},
    metrics::{
        Metrics,
        http::{self, MetricsOptions},
    },
    names::Directory,
    otlp::{self, OtlpOptions},
    redact::Redaction,
    ring::Ring,
    serve::{self, Tcp},
    service::{Observer, OwnPeer},
};
use weir_policy::{
    compile::Snapshot,
    model::{PodName, World},
};
use weir_redirector::Places;

use crate::{change::Followers, check::SelfChecked, control::Call, tracking::Tracking};

/// Whoever asks for metrics waits this long for the agent's own numbers; then the last ones count.
const FRESH: Duration = Duration::from_secs(2);
/// The agent counts no more often.
const EVERY: Duration = Duration::from_millis(500);

/// What is recorded of flows, and who can read it.
#[derive(Debug)]
pub struct ObserveOptions {
    /// Records kept in memory; 0: nothing is recorded, logged or counted of flows.
    pub records: usize,
    /// The log of flows, where there is one.
    pub log: Option<LogOptions>,
    /// Leave query strings out of what is recorded.
    pub redact_query: bool,
    /// Header fields, in lower case, whose values are recorded.
    pub show_headers: BTreeSet<String>,
    /// Serve the observer on TCP, too.
    pub tcp: Option<Tcp>,
    /// Serve metrics.
    pub metrics: Option<MetricsOptions>,
    /// Write flows to a file.
    pub export: Option<ExportOptions>,
    /// Send records and metrics to an OpenTelemetry collector.
    pub otlp: Option<OtlpOptions>,
}

/// The observer of a running agent.
#[derive(Debug)]
pub struct Observing {
    /// Where events go.
    pub intake: Intake,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is remembered.
    pub ring: Arc<Ring>,
    node: String,
}

impl Observing {
    /// Starts recording and serving.
    pub async fn start(
        options: &ObserveOptions,
        instance: &Instance,
        node: &str,
        numbers: Numbers,
    ) -> Result<Self> {
        let ring = Arc::new(Ring::new(options.records));
        let metrics = Arc::new(Metrics::new());
        let log = options.open_log()?;
        let intake = Recorder::start(ring.clone(), metrics.clone(), log, options.redaction())
            .context("no thread for the observer")?
            .idle(options.records == 0);
        let observer = Observer::new(ring.clone(), node.to_owned());
        let refresh = move || numbers.clone().refresh();
        if let Some(export) = &options.export {
            export::start(export, ring.clone())
                .with_context(|| format!("cannot export to {}", export.path.display()))?;
        }
        if let Some(otlp) = &options.otlp {
            otlp::start(otlp, ring.clone(), metrics.clone(), node, refresh.clone())
                .context("nothing can be sent to an OpenTelemetry collector")?;
        }
        let (socket, tcp) = (instance.observer_socket(), options.tcp.clone());
        let (told, counted) = (options.metrics.clone(), metrics.clone());
        apart(async move {
            listen(observer, socket, tcp).await?;
            if let Some(options) = told {
                let address = http::serve(&options, counted, refresh)
                    .await
                    .with_context(|| format!("cannot serve metrics on {}", options.address))?;
                tracing::info!(%address, "metrics are served");
            }
            Ok(())
        })
        .await?;
        Ok(Self {
            intake,
            metrics,
            ring,
            node: node.to_owned(),
        })
    }
}

impl Followers for (&SelfChecked, &Observing) {
    fn follow(&self, world: &Arc<World>, snapshot: &Arc<Snapshot>, places: &Places) {
        let (checked, observing) = self;
        let index = |pod: &PodName| Some(places.get(pod)?.index);
        let names = Directory::new(&observing.node, world.clone(), snapshot.clone(), index);
        observing.intake.names(Arc::new(names));
        checked.against(snapshot, places);
    }
}

/// Answers on the socket and, where it is asked for, on TCP.
async fn listen(observer: Observer, socket: PathBuf, tcp: Option<Tcp>) -> Result<()> {
    let (address, tls) = match &tcp {
        Some(tcp) => (tcp.address.to_string(), tcp.tls.is_some()),
        None => (format!("unix://{}", socket.display()), false),
    };
    let peer = PeerServer::new(OwnPeer::new(observer.node(), address, tls));
    let routes = serve::node(observer).await.add_service(peer);
    serve::unix(routes.clone(), &socket).await?;
    if let Some(tcp) = tcp {
        if tcp.tls.is_none() && !tcp.address.ip().is_loopback() {
            tracing::warn!(address = %tcp.address, "everybody who reaches this address can read flows: give --observe-cert");
        }
        let address = serve::tcp(routes, &tcp).await?;
        tracing::info!(%address, "the observer answers on TCP");
    }
    Ok(())
}

/// Begins something on a thread of its own that yields to traffic, and leaves it running there:
/// making and writing what many clients read is work, too.
async fn apart(begin: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let (sender, begun) = oneshot::channel();
    let serve = move || {
        calm::yield_to_traffic();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            // Who waits for it has gone where the agent is ending.
            Err(error) => drop(sender.send(Err(error.into()))),
            Ok(runtime) => runtime.block_on(async {
                sender.send(begin.await).ok();
                std::future::pending::<()>().await;
            }),
        }
    };
    std::thread::Builder::new()
        .name("weir-observer".into())
        .spawn(serve)
        .context("no thread for the observer's clients")?;
    begun.await.context("the observer has ended")?
}

/// The agent's own numbers among the metrics.
#[derive(Debug, Clone)]
pub struct Numbers {
    agent: mpsc::Sender<Call>,
    tracking: Tracking,
    /// When they were brought up to date last.
    fresh: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

// === impl Numbers ===

impl Numbers {
    /// Asked of this agent.
    pub fn new(agent: mpsc::Sender<Call>, tracking: Tracking) -> Self {
        Self {
            agent,
            tracking,
            fresh: Arc::default(),
        }
    }

    /// Has the agent bring its own numbers up to date; of many who ask at once, for all of them: it
    /// has other things to do than to count.
    async fn refresh(self) {
        let Ok(mut last) = timeout(FRESH, self.fresh.lock()).await else {
            return;
        };
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        let (sender, done) = oneshot::channel();
        let asked = async {
            self.tracking.fresh().await;
            if self.agent.send(Call::Metrics(sender)).await.is_ok() {
                // An agent that ends does not answer: the last numbers are told once more.
                done.await.ok();
            }
        };
        timeout(FRESH, asked).await.ok();
        *last = Some(Instant::now());
    }
}

// === impl ObserveOptions ===

impl ObserveOptions {
    fn open_log(&self) -> Result<Option<FlowLog>> {
        let Some(options) = self.log.clone().filter(|_| self.records > 0) else {
            return Ok(None);
        };
        let path = options.path.clone();
        let log = FlowLog::open(options)
            .with_context(|| format!("cannot open the flow log {}", path.display()))?;
        Ok(Some(log))
    }

    /// What the proxy is to tell of requests: no values of header fields that nobody asked for.
    pub fn recorded(&self) -> Recorded {
        Recorded {
            requests: self.records > 0,
            headers: self.redaction().asked(),
        }
    }

    fn redaction(&self) -> Redaction {
        Redaction {
            query: self.redact_query,
            headers: Some(self.show_headers.clone()),
            ..Redaction::default()
        }
    }
}
