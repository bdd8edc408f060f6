//! The agent's view of its proxies: which one gets new connections, and what it reports.

use std::{collections::BTreeMap, os::fd::OwnedFd, time::Duration};

use weir_observe::Intake;
use weir_proxy::{
    counters::CountersSnapshot,
    dns::learn::Learned,
    link::{
        agent::{AgentEnd, Event, EventKind, ProxyId},
        protocol::Hello,
    },
};
use weir_redirector::Redirector;

/// How long a change waits for the proxy. Past it the kernel is switched all the same: a proxy
/// that lags denies what it does not know, and never allows it.
const ACK: Duration = Duration::from_secs(5);

/// The proxies.
pub struct ProxyState {
    /// Connected, with the listeners of those that have not acknowledged a snapshot yet.
    connected: BTreeMap<ProxyId, (Hello, Option<Vec<OwnedFd>>)>,
    /// The one whose listeners get new connections, and the revision it judges by.
    active: Option<(ProxyId, u64)>,
    /// What names resolve to, not taken in yet.
    pub learnt: Vec<Learned>,
    /// Counters of the active one.
    pub counters: Option<CountersSnapshot>,
    intake: Intake,
}

impl ProxyState {
    /// No proxy yet; what they report of requests goes to `intake`.
    pub fn new(intake: Intake) -> Self {
        Self {
            connected: BTreeMap::new(),
            active: None,
            learnt: Vec::new(),
            counters: None,
            intake,
        }
    }

    /// The revision that the active proxy judges by.
    pub fn revision(&self) -> Option<u64> {
        self.active.map(|(_, revision)| revision)
    }

    /// Process id of the active proxy.
    pub fn pid(&self) -> Option<u32> {
        let (id, _) = self.active?;
        Some(self.connected.get(&id)?.0.pid)
    }

    /// Takes a report of a proxy.
    pub fn handle(&mut self, event: Event, redirector: &mut Redirector) {
        match event.kind {
            EventKind::Connected { hello, listeners } => {
                tracing::info!(pid = hello.pid, version = hello.version, "proxy connected");
                self.connected.insert(event.proxy, (hello, Some(listeners)));
            }
            EventKind::Ack { revision } => self.acknowledged(event.proxy, revision, redirector),
            EventKind::Flows(flows) => {
                let requests = flows.into_iter().map(super::flows::request);
                self.intake.requests(requests.collect());
            }
            EventKind::Counters(counters) => {
                if self.active.is_some_and(|(id, _)| id == event.proxy) {
                    self.counters = Some(*counters);
                }
            }
            EventKind::Learned(learned) => self.learnt.push(learned),
            EventKind::Draining => tracing::info!("proxy is draining"),
            EventKind::Disconnected => {
                self.connected.remove(&event.proxy);
                if self.active.is_some_and(|(id, _)| id == event.proxy) {
                    tracing::warn!(
                        "the proxy is gone: new connections that HTTP rules select fail"
                    );
                    self.active = None;
                    if let Err(error) = redirector.set_proxy_ready(false) {
                        tracing::error!(%error, "the programs do not know that the proxy is gone");
                    }
                }
            }
        }
    }

    /// The first acknowledgement puts a proxy in charge: before it, it has no policy.
    fn acknowledged(&mut self, proxy: ProxyId, revision: u64, redirector: &mut Redirector) {
        let Some((hello, listeners)) = self.connected.get_mut(&proxy) else {
            return;
        };
        if self.active.is_some_and(|(newest, _)| newest > proxy) {
            return;
        }
        for (listener, info) in listeners.take().iter().flatten().zip(&hello.listeners) {
            if let Err(error) = redirector.listen(info.direction, info.v6, info.udp, listener) {
                tracing::error!(%error, direction = %info.direction, "the proxy's listener is not in use");
            }
        }
        if self.active.is_none()
            && let Err(error) = redirector.set_proxy_ready(true)
        {
            tracing::error!(%error, "the programs do not know that the proxy listens");
        }
        self.active = Some((proxy, revision));
    }

    /// Waits until the active proxy judges by a revision, if there is one.
    pub async fn wait_for(
        &mut self,
        revision: u64,
        link: &mut AgentEnd,
        redirector: &mut Redirector,
    ) -> bool {
        let deadline = tokio::time::Instant::now() + ACK;
        while !self.connected.is_empty() {
            if self.revision().is_some_and(|at| at >= revision) {
                return true;
            }
            match tokio::time::timeout_at(deadline, link.next()).await {
                Ok(Some(event)) => self.handle(event, redirector),
                Ok(None) | Err(_) => {
                    tracing::warn!(revision, "the proxy has not acknowledged");
                    return false;
                }
            }
        }
        false
    }
}
