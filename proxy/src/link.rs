//! The proxy's end of its link with the agent: connects, and connects again; takes snapshots and
//! reports.

use std::{os::fd::OwnedFd, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use weir_link::proxy::{
    Counters, CountersSnapshot, Hello, L7Record, Learned, Recorded,
    frame::{self, LinkError},
    message::{ToAgent, ToProxy},
};
use weir_policy::l7::L7Table;

use crate::dns::learn::Waiting;

#[cfg(test)]
mod tests;

/// Flow records sent with one write.
const BATCH: usize = 1024;
/// Bytes of the records in one frame, about: the agent reads a frame as one.
const FRAME: usize = 1 << 20;
/// How long flow records gather. A worker that had to wake this thread for each of its requests
/// would spend more on that than on the request.
const GATHER: Duration = Duration::from_millis(20);
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// The socket is on this machine: looking for it often costs nothing, and an agent that starts has its
/// proxy back at once.
const LAST_RETRY: Duration = Duration::from_millis(200);

/// A snapshot as workers get it. `generation` counts snapshots of this process, because revisions
/// may start again with a new agent.
#[derive(Debug, Clone)]
pub struct Published {
    /// Counts up by one.
    pub generation: u64,
    /// What to judge by.
    pub table: Arc<L7Table>,
}

/// The proxy's end of the link.
#[derive(Debug)]
pub struct ProxyEnd {
    /// Where the agent listens.
    pub path: PathBuf,
    /// How we introduce ourselves.
    pub hello: Hello,
    /// Our listeners, in the order of `hello`.
    pub listeners: Vec<OwnedFd>,
    /// Where snapshots go.
    pub snapshots: watch::Sender<Option<Published>>,
    /// The generation that each worker uses.
    pub applied: Vec<watch::Receiver<u64>>,
    /// Flow records to send.
    pub flows: mpsc::Receiver<L7Record>,
    /// What they tell.
    pub recorded: watch::Sender<Recorded>,
    /// What names resolve to, to tell the agent.
    pub learned: mpsc::Receiver<Learned>,
    /// Who waits until that is enforced.
    pub waiting: Arc<Waiting>,
    /// Counters of each worker.
    pub counters: Vec<Arc<Counters>>,
    /// Turns true when the proxy was told to stop.
    pub leaving: watch::Receiver<bool>,
}

impl ProxyEnd {
    /// Keeps the link up for as long as it is polled.
    pub async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            match UnixStream::connect(&self.path).await {
                Ok(stream) => {
                    let since = Instant::now();
                    if let Err(error) = self.session(stream).await {
                        tracing::warn!(%error, "link to the agent lost");
                    }
                    // A link that breaks at once, again and again, is not tried in a tight loop.
                    if since.elapsed() > LAST_RETRY {
                        retry = FIRST_RETRY;
                    }
                }
                Err(error) => tracing::debug!(%error, path = %self.path.display(), "no agent"),
            }
            sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    async fn session(&mut self, mut stream: UnixStream) -> Result<(), LinkError> {
        let hello = frame::encode(&ToAgent::Hello(self.hello.clone()))?;
        frame::send_with_sockets(&mut stream, &hello, &self.listeners).await?;
        tracing::info!("linked to the agent");
        let (from, to) = stream.into_split();
        let (acks, acked) = mpsc::channel(16);
        let receive = receive(
            from,
            &self.snapshots,
            &self.recorded,
            &self.applied,
            &self.waiting,
            acks,
        );
        let report = report(
            to,
            acked,
            &mut self.flows,
            &mut self.learned,
            &self.counters,
            self.leaving.clone(),
        );
        tokio::select! {
            result = receive => result,
            result = report => result,
        }
    }
}

/// Publishes snapshots, and acknowledges each once every worker uses it.
async fn receive(
    mut from: OwnedReadHalf,
    snapshots: &watch::Sender<Option<Published>>,
    recorded: &watch::Sender<Recorded>,
    applied: &[watch::Receiver<u64>],
    waiting: &Waiting,
    acks: mpsc::Sender<u64>,
) -> Result<(), LinkError> {
    loop {
        let mut table = match frame::read(&mut from).await? {
            ToProxy::Snapshot { table } => *table,
            ToProxy::Enforced { ticket } => {
                waiting.done(ticket);
                continue;
            }
            ToProxy::Record(wanted) => {
                recorded.send_replace(wanted);
                continue;
            }
        };
        let before = snapshots.borrow().clone();
        table.prepare(before.as_ref().map(|published| &*published.table));
        let revision = table.revision();
        let mut generation = 0;
        snapshots.send_modify(|published| {
            generation = published
                .as_ref()
                .map_or(0, |published| published.generation)
                + 1;
            *published = Some(Published {
                generation,
                table: Arc::new(table),
            });
        });
        for worker in applied {
            let mut worker = worker.clone();
            if worker
                .wait_for(|applied| *applied >= generation)
                .await
                .is_err()
            {
                return Err(LinkError::Unexpected {
                    what: "a worker ended",
                });
            }
        }
        tracing::info!(revision, "snapshot in force");
        if acks.send(revision).await.is_err() {
            return Ok(());
        }
    }
}

async fn report(
    mut to: OwnedWriteHalf,
    mut acks: mpsc::Receiver<u64>,
    flows: &mut mpsc::Receiver<L7Record>,
    learned: &mut mpsc::Receiver<Learned>,
    counters: &[Arc<Counters>],
    mut leaving: watch::Receiver<bool>,
) -> Result<(), LinkError> {
    let mut every_second = interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    let mut told = false;
    let mut gathered = pin!(sleep(GATHER));
    let mut gathering = false;
    leaving.mark_changed();
    loop {
        let mut bytes = Vec::new();
        tokio::select! {
            Some(revision) = acks.recv() => bytes = frame::encode(&ToAgent::Ack { revision })?,
            Some(learned) = learned.recv() => bytes = frame::encode(&ToAgent::Learned(learned))?,
            () = &mut gathered, if gathering => gathering = false,
            count = flows.recv_many(&mut batch, BATCH), if !gathering => {
                bytes = frames(&batch)?;
                batch.clear();
                if count < BATCH {
                    gathered.as_mut().reset(Instant::now() + GATHER);
                    gathering = true;
                }
                if count == 0 {
                    // All workers have ended: say the last numbers and close.
                    to.write_all(&frame::encode(&ToAgent::Counters(Box::new(sum(counters))))?).await?;
                    to.shutdown().await?;
                    return Ok(());
                }
            }
            _ = every_second.tick() => bytes = frame::encode(&ToAgent::Counters(Box::new(sum(counters))))?,
            changed = leaving.changed(), if !told => {
                // An error means that the process is ending: as good as being told.
                told = changed.is_err() || *leaving.borrow();
                if told {
                    bytes = frame::encode(&ToAgent::Draining)?;
                }
            }
        }
        to.write_all(&bytes).await?;
    }
}

/// Records as frames, none of which is large, whatever clients have sent.
fn frames(batch: &[L7Record]) -> Result<Vec<u8>, LinkError> {
    let (mut bytes, mut rest) = (Vec::new(), batch);
    loop {
        let mut weight = 0;
        let fits = rest.iter().take_while(|record| {
            weight += record.weight();
            weight <= FRAME
        });
        let (frame, more) = rest.split_at(fits.count().clamp(1.min(rest.len()), rest.len()));
        bytes.append(&mut frame::encode_flows(frame)?);
        rest = more;
        if rest.is_empty() {
            return Ok(bytes);
        }
    }
}

fn sum(workers: &[Arc<Counters>]) -> CountersSnapshot {
    let mut sum = CountersSnapshot::default();
    workers.iter().for_each(|worker| sum.add(worker));
    sum
}
