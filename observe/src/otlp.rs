//! OpenTelemetry: denials as logs, requests as spans and all metrics, sent to a collector (OTLP over
//! gRPC, opentelemetry.io/docs/specs/otlp).
//!
//! One more reader of the [`Ring`]: it holds up nobody, and what a collector does not take is left out
//! and counted. While there is none, the ring is not even read: a try now and then is all that it costs.

mod attributes;
mod logs;
mod measures;
mod send;
mod spans;

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    calm,
    metrics::Metrics,
    record,
    ring::{Item, Ring},
};
use send::Collector;

/// Records that are read at once, and so the most of one message.
const BATCH: usize = 512;
/// How long records gather: a collector is told many at a time.
const GATHER: Duration = Duration::from_millis(500);
/// How long nothing is tried after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where everything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpOptions {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoint: String,
    /// The authority of the collector's certificate, PEM; for `https`.
    pub authority: Option<PathBuf>,
    /// How often metrics are sent.
    pub every: Duration,
}

/// What is sent, and where.
struct Exporter {
    collector: Collector,
    ring: Arc<Ring>,
    metrics: Arc<Metrics>,
    /// Number of the record that comes next.
    at: u64,
    /// When this process began to count.
    began: SystemTime,
    pause: Duration,
    /// Until when nothing is tried.
    rests: Option<Instant>,
}

/// Starts to send, on a thread of its own that yields to traffic; `refresh` brings the agent's own
/// numbers up to date before they are sent. A collector that is not there yet is no error.
///
/// # Errors
/// The endpoint is none, a file cannot be read, or there is no thread.
pub fn start<F, R>(
    options: &OtlpOptions,
    ring: Arc<Ring>,
    metrics: Arc<Metrics>,
    node: &str,
    refresh: F,
) -> io::Result<()>
where
    F: Fn() -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let endpoint = send::endpoint(options)?;
    let (every, node) = (options.every.max(GATHER), node.to_owned());
    let news = ring.follow();
    let (_, at) = ring.range();
    let send = async move {
        let exporter = Exporter {
            collector: Collector::new(&endpoint, &node),
            ring,
            metrics,
            at,
            began: SystemTime::now(),
            pause: FIRST_PAUSE,
            rests: None,
        };
        exporter.run(news, every, refresh).await;
    };
    let run = move || {
        calm::yield_to_traffic();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(send),
            Err(error) => tracing::error!(%error, "nothing is sent to the collector"),
        }
    };
    std::thread::Builder::new()
        .name("weir-otlp".into())
        .spawn(run)
        .map(drop)
}

// === impl Exporter ===

impl Exporter {
    async fn run<R: Future<Output = ()>>(
        mut self,
        mut news: watch::Receiver<u64>,
        every: Duration,
        refresh: impl Fn() -> R,
    ) {
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = news.changed() => match changed {
                    Ok(()) => {
                        sleep(GATHER).await;
                        self.records().await;
                    }
                    // The ring lives as long as the process.
                    Err(_) => return,
                },
                _ = due.tick() => {
                    // A collector that is away is not worth the counting.
                    if !self.is_resting() {
                        refresh().await;
                        self.measures().await;
                    }
                }
            }
        }
    }

    /// Sends the records that came. While the collector is away they are passed over unread.
    async fn records(&mut self) {
        let (_, end) = self.ring.range();
        while self.at < end {
            if self.is_resting() {
                self.metrics.otlp().dropped(end - self.at);
                self.at = end;
                return;
            }
            let read = self.ring.read(self.at, BATCH);
            self.at = read.next;
            self.metrics.otlp().dropped(read.missed);
            let flows = read.items.iter().filter_map(|item| match item {
                Item::Flow(flow) if !record::is_end(flow) => Some(&**flow),
                Item::Flow(_) | Item::Later(..) | Item::Ended(_) | Item::Lost(_) => None,
            });
            let logs: Vec<_> = flows.clone().filter_map(logs::record).collect();
            let spans: Vec<_> = flows.filter_map(spans::span).collect();
            let count = (logs.len() + spans.len()) as u64;
            let mut sent = self.collector.logs(logs).await;
            if sent.is_ok() {
                sent = self.collector.spans(spans).await;
            }
            self.after(sent, count);
        }
    }

    async fn measures(&mut self) {
        let measures = measures::of(&self.metrics.gathered(), self.began, SystemTime::now());
        let sent = self.collector.metrics(measures).await;
        self.after(sent, 0);
    }

    fn is_resting(&self) -> bool {
        self.rests.is_some_and(|until| Instant::now() < until)
    }

    /// Notes whether the collector took what it was sent.
    fn after(&mut self, sent: Result<(), tonic::Status>, count: u64) {
        match sent {
            Ok(()) => {
                self.metrics.otlp().sent(count);
                if self.rests.take().is_some() {
                    tracing::info!("the collector takes records again");
                }
                self.pause = FIRST_PAUSE;
            }
            Err(status) => {
                if self.rests.is_none() {
                    let reason = status.message();
                    tracing::warn!(code = ?status.code(), reason, "the collector takes no records");
                }
                self.metrics.otlp().dropped(count);
                self.rests = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests;
