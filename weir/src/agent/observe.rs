//! The observer of a running agent: its options, and its start.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use weir_observe::{
    Intake, Recorder, calm,
    log::{FlowLog, LogOptions},
    metrics::{Metrics, http},
    redact::Redaction,
    ring::Ring,
    serve::{self, Tcp, Tls},
    service::Observer,
};
use weir_proxy::flow::Recorded;
use weir_redirector::Instance;

use super::control::{Command, Request};

/// Whoever asks for metrics waits this long for the agent's own numbers; then the last ones count.
const FRESH: Duration = Duration::from_secs(2);
/// The agent counts no more often.
const EVERY: Duration = Duration::from_millis(500);
/// Where flow logs are, unless it is said otherwise.
const LOGS: &str = "/var/log/weir";

/// What is recorded of flows, and who can read it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Observing")]
pub struct ObserveOptions {
    /// Records kept in memory; 0: nothing is recorded, logged or counted of flows
    #[arg(
        long,
        default_value_t = 16_384,
        value_name = "NUMBER",
        env = "WEIR_FLOW_RECORDS"
    )]
    flow_records: usize,
    /// Log of flows, one line each; `none`: no log [default: /var/log/weir/flows.log, another
    /// instance's /var/log/weir/NAME-flows.log]
    #[arg(long, value_name = "FILE")]
    flow_log: Option<PathBuf>,
    /// Log what was allowed, too
    #[arg(long, env = "WEIR_FLOW_LOG_ALL")]
    flow_log_all: bool,
    /// Log as JSON lines
    #[arg(long)]
    flow_log_json: bool,
    /// Size at which a new log begins; three older ones are kept
    #[arg(long, default_value_t = 10 << 20, value_name = "BYTES")]
    flow_log_bytes: usize,
    /// Leave query strings out of what is recorded
    #[arg(long)]
    redact_query: bool,
    /// Record the values of these headers (never those of Authorization and Cookie)
    #[arg(long, value_delimiter = ',', value_name = "HEADER")]
    show_headers: Vec<String>,
    /// Serve the observer on TCP, too, for hubble clients on other machines
    #[arg(long, value_name = "ADDRESS")]
    observe: Option<SocketAddr>,
    /// Certificate for --observe, PEM
    #[arg(long, value_name = "FILE", requires_all = ["observe", "observe_key"])]
    observe_cert: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "observe_cert")]
    observe_key: Option<PathBuf>,
    /// Serve only clients with a certificate of this authority, PEM
    #[arg(long, value_name = "FILE", requires = "observe_cert")]
    observe_client_ca: Option<PathBuf>,
    /// Serve /metrics on this address
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
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
}

impl Observing {
    /// Starts recording and serving.
    pub async fn start(
        options: &ObserveOptions,
        instance: &Instance,
        node: &str,
        agent: mpsc::Sender<Request>,
    ) -> Result<Self> {
        let ring = Arc::new(Ring::new(options.flow_records));
        let metrics = Arc::new(Metrics::new());
        let log = options.log(instance)?;
        let intake = Recorder::start(ring.clone(), metrics.clone(), log, options.redaction())
            .context("no thread for the observer")?
            .deaf(options.flow_records == 0);
        let observer = Observer::new(ring.clone(), node.to_owned());
        apart(listen(
            observer,
            instance.run_dir().join("hubble.sock"),
            options.tcp(),
        ))
        .await?;
        if let Some(address) = options.metrics {
            let fresh = Arc::<Fresh>::default();
            let refresh = move || refresh(agent.clone(), Arc::clone(&fresh));
            let address = http::serve(address, metrics.clone(), refresh)
                .await
                .with_context(|| format!("cannot serve metrics on {address}"))?;
            tracing::info!(%address, "metrics are served");
        }
        Ok(Self {
            intake,
            metrics,
            ring,
        })
    }
}

/// Answers on the socket and, where it is asked for, on TCP.
async fn listen(observer: Observer, socket: PathBuf, tcp: Option<Tcp>) -> Result<()> {
    let routes = serve::routes(observer).await;
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

/// When the agent's numbers were brought up to date last.
type Fresh = tokio::sync::Mutex<Option<Instant>>;

/// Has the agent bring its own numbers up to date; of many who ask at once, for all of them: it
/// has other things to do than to count.
async fn refresh(agent: mpsc::Sender<Request>, fresh: Arc<Fresh>) {
    let Ok(mut last) = timeout(FRESH, fresh.lock()).await else {
        return;
    };
    if last.is_some_and(|last| last.elapsed() < EVERY) {
        return;
    }
    let (sender, done) = oneshot::channel();
    let asked = async {
        if agent.send((Command::Metrics, sender)).await.is_ok() {
            // An agent that ends does not answer: the last numbers are told once more.
            done.await.ok();
        }
    };
    timeout(FRESH, asked).await.ok();
    *last = Some(Instant::now());
}

// === impl ObserveOptions ===

impl ObserveOptions {
    fn log(&self, instance: &Instance) -> Result<Option<FlowLog>> {
        let path = match &self.flow_log {
            _ if self.flow_records == 0 => return Ok(None),
            Some(path) if path.as_os_str() == "none" => return Ok(None),
            Some(path) => path.clone(),
            None => PathBuf::from(LOGS).join(match instance.name() {
                "weir" => "flows.log".to_owned(),
                other => format!("{other}-flows.log"),
            }),
        };
        let options = LogOptions {
            all: self.flow_log_all,
            json: self.flow_log_json,
            bytes: self.flow_log_bytes,
            ..LogOptions::new(path.clone())
        };
        let log = FlowLog::open(options)
            .with_context(|| format!("cannot open the flow log {}", path.display()))?;
        Ok(Some(log))
    }

    /// What the proxy is to tell of requests: no values of header fields that nobody asked for.
    pub fn recorded(&self) -> Recorded {
        Recorded {
            requests: self.flow_records > 0,
            headers: self.redaction().asked(),
        }
    }

    fn redaction(&self) -> Redaction {
        let shown: BTreeSet<String> = self
            .show_headers
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        Redaction {
            query: self.redact_query,
            headers: Some(shown),
            ..Redaction::default()
        }
    }

    fn tcp(&self) -> Option<Tcp> {
        let tls = self.observe_cert.clone().zip(self.observe_key.clone());
        Some(Tcp {
            address: self.observe?,
            tls: tls.map(|(certificate, key)| Tls {
                certificate,
                key,
                client_ca: self.observe_client_ca.clone(),
            }),
        })
    }
}
