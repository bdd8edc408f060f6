//! The agent's view of its proxies: which one gets new connections, and what it reports.

mod choice;

use std::{collections::BTreeMap, os::fd::OwnedFd, time::Duration};

use weir_link::proxy::{
    AgentEnd, CountersSnapshot, Event, EventKind, Hello, Learned, ProxyId, frame::LinkError,
};
use weir_policy::l7::L7Table;

use crate::change::{self, Kernel};
use choice::{Candidate, Choice, choose};

/// How long a change waits for the proxy. Past it the kernel is switched all the same: a proxy
/// that lags denies what it does not know, and never allows it.
const ACK: Duration = Duration::from_secs(5);

/// The proxies.
pub struct Proxies {
    link: AgentEnd,
    connected: BTreeMap<ProxyId, Proxy>,
    /// The one whose listeners get new connections, and the revision it judges by.
    active: Option<(ProxyId, u64)>,
    /// Connections that found no listener, as counted when this proxy was in charge already.
    unheard: Option<(ProxyId, u64)>,
    /// Lately they found none, though a proxy was in charge.
    unreached: bool,
    /// What names resolve to, not taken in yet.
    learnt: Vec<Learned>,
    /// Counters of the active one.
    pub counters: Option<CountersSnapshot>,
}

/// A connected proxy.
struct Proxy {
    hello: Hello,
    /// Until it is put in charge.
    listeners: Option<Vec<OwnedFd>>,
    /// The revision that it judges by.
    revision: Option<u64>,
    draining: bool,
}

impl Proxies {
    /// No proxy yet.
    pub fn new(link: AgentEnd) -> Self {
        Self {
            link,
            connected: BTreeMap::new(),
            active: None,
            unheard: None,
            unreached: false,
            learnt: Vec::new(),
            counters: None,
        }
    }

    /// The revision that the active proxy judges by.
    pub fn revision(&self) -> Option<u64> {
        self.active.map(|(_, revision)| revision)
    }

    /// Whether new connections find the listeners of the active proxy.
    pub fn listens(&self) -> bool {
        self.active.is_some() && !self.unreached
    }

    /// Looks whether new connections found no listener (`unheard` counts them) while one proxy was in
    /// charge all the time since the last look. Its listeners are put in charge anew then.
    pub fn hear(&mut self, unheard: u64) {
        let now = self.active.map(|(id, _)| (id, unheard));
        self.unreached = match (self.unheard, now) {
            (Some((before, counted)), Some((id, count))) => before == id && count > counted,
            _ => false,
        };
        self.unheard = now;
        if let (true, Some((id, _))) = (self.unreached, now) {
            tracing::error!(
                "connections find no listener of the proxy in charge: it shall connect anew"
            );
            self.link.recall(id);
        }
    }

    /// Process id of the active proxy.
    pub fn pid(&self) -> Option<u32> {
        let (id, _) = self.active?;
        Some(self.connected.get(&id)?.hello.pid)
    }

    /// The next report of a proxy. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.link.next().await
    }

    /// What names resolve to, as proxies have told since the last call.
    pub fn take_learnt(&mut self) -> Vec<Learned> {
        std::mem::take(&mut self.learnt)
    }

    /// Tells the proxies that what was learnt under a ticket is enforced.
    pub fn enforced(&self, ticket: u64) {
        self.link.enforced(ticket);
    }

    /// Takes a report of a proxy.
    pub fn handle(&mut self, event: Event, kernel: &mut impl Kernel) {
        match event.kind {
            EventKind::Connected { hello, listeners } => {
                tracing::info!(pid = hello.pid, version = hello.version, "proxy connected");
                let proxy = Proxy {
                    hello,
                    listeners: Some(listeners),
                    revision: None,
                    draining: false,
                };
                self.connected.insert(event.proxy, proxy);
            }
            EventKind::Ack { revision } => {
                if let Some(proxy) = self.connected.get_mut(&event.proxy) {
                    proxy.revision = Some(revision);
                }
                if let Some((_, at)) = self.active.as_mut().filter(|(id, _)| *id == event.proxy) {
                    *at = revision;
                }
                self.choose(kernel);
            }
            // The observer takes them where they come in.
            EventKind::Flows(_) => {}
            EventKind::Counters(counters) => {
                if self.active.is_some_and(|(id, _)| id == event.proxy) {
                    self.counters = Some(*counters);
                }
            }
            EventKind::Learned(learned) => self.learnt.push(learned),
            EventKind::Draining => {
                tracing::info!("proxy is draining");
                if let Some(proxy) = self.connected.get_mut(&event.proxy) {
                    proxy.draining = true;
                }
                self.choose(kernel);
            }
            EventKind::Disconnected => {
                self.connected.remove(&event.proxy);
                if self.active.is_some_and(|(id, _)| id == event.proxy) {
                    tracing::warn!("the proxy is gone: new connections that L7 rules select fail");
                    self.active = None;
                    if let Err(error) = kernel.set_proxy_ready(false) {
                        tracing::error!(%error, "the programs do not know that the proxy is gone");
                    }
                    self.choose(kernel);
                }
            }
        }
    }

    /// Puts the right proxy in charge. Before its first acknowledgement one has no policy.
    fn choose(&mut self, kernel: &mut impl Kernel) {
        let candidates = self.connected.iter().map(|(id, proxy)| Candidate {
            id: *id,
            started: proxy.hello.started,
            draining: proxy.draining,
            ready: proxy.revision.is_some(),
            listeners: proxy.listeners.is_some(),
        });
        match choose(self.active.map(|(id, _)| id), candidates) {
            Choice::Keep => {}
            Choice::Recall(proxy) => self.link.recall(proxy),
            Choice::Switch(proxy) => self.switch(proxy, kernel),
        }
    }

    fn switch(&mut self, id: ProxyId, kernel: &mut impl Kernel) {
        let Some(proxy) = self.connected.get_mut(&id) else {
            return;
        };
        let (Some(revision), Some(listeners)) = (proxy.revision, proxy.listeners.take()) else {
            return;
        };
        for (listener, info) in listeners.iter().zip(&proxy.hello.listeners) {
            if let Err(error) = kernel.listen(info, listener) {
                tracing::error!(%error, direction = %info.direction, "the proxy's listener is not in use");
            }
        }
        if self.active.is_none()
            && let Err(error) = kernel.set_proxy_ready(true)
        {
            tracing::error!(%error, "the programs do not know that the proxy listens");
        }
        tracing::info!(pid = proxy.hello.pid, revision, "the proxy is in charge");
        self.active = Some((id, revision));
    }
}

impl<K: Kernel> change::Proxies<K> for Proxies {
    fn send(&mut self, table: &L7Table) -> Result<(), LinkError> {
        self.link.send_snapshot(table)
    }

    async fn acknowledged(&mut self, revision: u64, kernel: &mut K) -> bool {
        let deadline = tokio::time::Instant::now() + ACK;
        while !self.connected.is_empty() {
            if self.revision().is_some_and(|at| at >= revision) {
                return true;
            }
            match tokio::time::timeout_at(deadline, self.link.next()).await {
                Ok(Some(event)) => self.handle(event, kernel),
                Ok(None) | Err(_) => {
                    tracing::warn!(revision, "the proxy has not acknowledged");
                    return false;
                }
            }
        }
        false
    }
}
