//! The one task: what comes is taken in, put in force, and answered.

mod requests;
mod start;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, mpsc},
    time::{MissedTickBehavior, interval},
};
use weir_abi::counter;
use weir_cluster::{Reading, kubernetes::PolicyState};
use weir_redirector::{Counters, Pins, Redirector};

use crate::{
    addresses::Addresses,
    change::{Changed, Enforcement, Sources},
    check::SelfChecked,
    control::Call,
    health::Health,
    names::{Learnt, counts},
    observe::Observing,
    pods::Pods,
    proxies::Proxies,
    report::Reporting,
    source::Source,
    tracking::Tracking,
    waiting::Waiting,
};

pub use start::Options;

/// How often addresses of names are looked through for those whose time is over.
const EXPIRY: Duration = Duration::from_secs(5);
/// How often learnt names are written down, where they have changed.
const STORING: Duration = Duration::from_secs(1);
/// How often calls of the CNI plugin are looked at that wait for their pod.
const SETTLING: Duration = Duration::from_millis(500);
/// How often pods are looked for whose interface was not found.
const SEARCH: Duration = Duration::from_secs(10);

/// A running agent.
pub struct Agent {
    pub(crate) node: String,
    pub(crate) source: Source,
    /// The objects as they were read last.
    pub(crate) reading: Reading,
    /// Policies as the API showed them when the objects were read last.
    pub(crate) policies: Arc<Vec<PolicyState>>,
    pub(crate) addresses: Addresses,
    pub(crate) pods: Pods,
    pub(crate) names: Learnt,
    pub(crate) enforcement: Enforcement,
    pub(crate) kernel: Redirector,
    pub(crate) proxies: Proxies,
    pub(crate) checked: SelfChecked,
    pub(crate) tracking: Tracking,
    /// Answers that are made apart come one after the other.
    turn: Arc<Semaphore>,
    pub(crate) observing: Observing,
    reporting: Reporting,
    waiting: Waiting,
    requests: mpsc::Receiver<Call>,
    health: Health,
    /// Until pins of other versions are removed.
    superseding: Option<Pins>,
}

impl Agent {
    /// Runs until it is told to stop. Enforcement goes on without it.
    pub async fn run(mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut every_few_seconds = interval(EXPIRY);
        let (mut settling, mut searching) = (interval(SETTLING), interval(SEARCH));
        let mut storing = interval(STORING);
        for timer in [
            &mut every_few_seconds,
            &mut settling,
            &mut searching,
            &mut storing,
        ] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                changed = self.source.changed() => {
                    changed?;
                    self.reconcile().await;
                }
                () = self.addresses.changed() => {
                    tokio::task::block_in_place(|| self.kernel.follow_devices());
                    self.put_in_force().await;
                    self.settle();
                }
                Some(request) = self.requests.recv() => self.take(request).await,
                Some(event) = self.proxies.next() => self.proxies.handle(event, &mut self.kernel),
                _ = every_few_seconds.tick() => {
                    self.forget_names().await;
                    self.sweep().await;
                    let counters = self.counters();
                    self.note_losses(counters);
                    self.proxies.hear(counters.map_or(0, |of| of.of(counter::DROP_NO_PROXY)));
                }
                _ = storing.tick(), if self.names.changed() => self.names.store(),
                _ = settling.tick(), if !self.waiting.is_empty() => self.settle(),
                _ = searching.tick(), if self.pods.searches() => {
                    self.pods.drop_dead_attachments(&self.kernel);
                    if !self.enforcement.state.unmanaged.is_empty() {
                        self.reconcile().await;
                    }
                    self.report();
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
            self.learn().await;
        }
        if self.names.changed() {
            self.names.store();
        }
        tracing::info!("stopping; what is in force stays in force");
        Ok(())
    }

    /// Reads the objects, and puts them in force where they have changed.
    async fn reconcile(&mut self) {
        // Read before the objects: what is said of them is never newer than what is in force.
        self.policies = Arc::new(self.source.policies());
        self.reading = tokio::task::block_in_place(|| self.source.read());
        self.pods.put_into(&mut self.reading);
        self.put_in_force().await;
        self.settle();
        self.report();
    }

    /// Puts the objects that were read last, and the names, in force.
    async fn put_in_force(&mut self) {
        let noticed = Instant::now();
        let followers = (&self.checked, &self.observing);
        let mut sources = Sources {
            pods: &mut self.pods,
            names: &mut self.names,
            addresses: &self.addresses,
            followers: &followers,
        };
        let (kernel, proxies) = (&mut self.kernel, &mut self.proxies);
        let put = self
            .enforcement
            .put(&mut self.reading, &mut sources, kernel, proxies);
        match put.await {
            Changed::Unchanged => {}
            Changed::InForce => {
                self.observing.metrics.agent().enforced(noticed.elapsed());
                self.reporting
                    .lost_pods
                    .are(&self.enforcement.state.unmanaged);
                self.supersede();
            }
            Changed::Failed => self.observing.metrics.agent().failed(),
        }
        self.health.failure(&self.enforcement.state.failure);
    }

    /// Takes in what proxies have learnt of names. Their answers wait for this.
    async fn learn(&mut self) {
        loop {
            let learnt = self.proxies.take_learnt();
            if learnt.is_empty() {
                return;
            }
            let (table, state) = (&self.enforcement.table, &self.enforcement.state);
            let mut new = false;
            for learned in &learnt {
                new |= counts::take_in(&mut self.names, learned, table, state);
            }
            if new {
                self.put_in_force().await;
            }
            for learned in learnt {
                self.proxies.enforced(learned.ticket);
            }
        }
    }

    /// Lets go of addresses of names whose time is over, unless a connection still uses them.
    async fn forget_names(&mut self) {
        let now = SystemTime::now();
        if !self.names.has_expired(now) {
            return;
        }
        let in_use = tokio::task::block_in_place(|| self.kernel.remotes());
        let places = &self.enforcement.state.places;
        if counts::expire(&mut self.names, now, &in_use, places) {
            self.put_in_force().await;
        }
    }

    /// Lets go of interfaces that are gone, and looks again for what could not be looked up.
    async fn sweep(&mut self) {
        tokio::task::block_in_place(|| self.kernel.retry_devices());
        match tokio::task::block_in_place(|| self.kernel.release_gone()) {
            Ok(0) if !self.enforcement.state.unknown => {}
            Ok(_) => self.reconcile().await,
            Err(error) => tracing::warn!(%error, "interfaces that are gone have entries"),
        }
    }

    /// Answers the CNI plugin's calls that can be answered.
    fn settle(&mut self) {
        let cluster = self.source.cluster();
        self.waiting
            .settle(&self.enforcement.state, cluster, &mut self.pods);
    }

    /// Has the API told what is not said there yet. Never waits for it.
    fn report(&self) {
        if let Some(cluster) = self.source.cluster() {
            self.reporting.report(self, cluster);
        }
    }

    /// Removes what agents of other versions left, once this one is in charge.
    fn supersede(&mut self) {
        // While an interface has only their programs, they stay.
        if !self.kernel.unguarded().is_empty() {
            return;
        }
        let Some(pins) = self.superseding.take() else {
            return;
        };
        match pins.remove_other_versions() {
            Ok(removed) => {
                for path in removed {
                    let path = path.display();
                    tracing::info!(%path, "removed what an agent of another version left");
                }
            }
            Err(error) => {
                tracing::error!(%error, "programs of another version are still attached");
                self.superseding = Some(pins);
            }
        }
    }

    /// What the programs counted, where it can be read.
    pub(crate) fn counters(&self) -> Option<Counters> {
        self.kernel
            .counters()
            .inspect_err(|error| tracing::warn!(%error, "the programs' counters cannot be read"))
            .ok()
    }

    /// Tells followers what the kernel could not tell.
    pub(crate) fn note_losses(&self, counters: Option<Counters>) {
        if let Some(counters) = counters {
            let lost = counters.of(counter::LOST_EVENT);
            self.observing.intake.lost_in_kernel(lost);
        }
    }
}
