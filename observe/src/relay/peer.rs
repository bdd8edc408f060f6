//! One observer: connected, watched, and connected anew where it fails.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    Address, ClientTls, Timing,
    client::{self, Client},
};
use crate::api::observer::{GetNodesRequest, ServerStatusRequest};

/// How it stands with an observer.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// Not tried yet.
    New,
    /// It answers.
    Connected(Client),
    /// It does not, and why.
    Unavailable(String),
}

/// One observer.
#[derive(Debug)]
pub struct Peer {
    pub(super) address: Address,
    pub(super) tls: Option<ClientTls>,
    timing: Timing,
    link: watch::Sender<Link>,
    name: Mutex<Option<String>>,
    /// Told when a name is learnt.
    names: watch::Sender<()>,
    /// A request of a client has failed: look at once.
    doubt: Notify,
}

// === impl Peer ===

impl Peer {
    /// Connects from now on, until the task is ended.
    pub(super) fn start(
        address: Address,
        tls: Option<ClientTls>,
        timing: Timing,
        names: watch::Sender<()>,
    ) -> (Arc<Self>, tokio::task::AbortHandle) {
        let peer = Arc::new(Self {
            address,
            tls,
            timing,
            link: watch::Sender::new(Link::New),
            name: Mutex::default(),
            names,
            doubt: Notify::new(),
        });
        let task = tokio::spawn(Arc::clone(&peer).keep());
        (peer, task.abort_handle())
    }

    /// The node's name; the address as long as the name is not known.
    pub(super) fn name(&self) -> String {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        name.clone().unwrap_or_else(|| self.address.to_string())
    }

    /// Changes of [`Link`].
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// The link once it has been tried, waited for so long.
    pub(super) async fn tried(&self) -> Link {
        let mut link = self.link();
        let tried = link.wait_for(|link| !matches!(link, Link::New));
        match timeout(self.timing.answer, tried).await {
            Ok(Ok(link)) => link.clone(),
            _ => Link::Unavailable("it has not answered yet".into()),
        }
    }

    /// A request has failed on the connection: the observer may have gone.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    async fn keep(self: Arc<Self>) {
        let mut pause = self.timing.retry;
        loop {
            match self.connect().await {
                Ok(client) => {
                    let since = Instant::now();
                    match &*self.link.borrow() {
                        Link::New => {
                            tracing::debug!(peer = %self.address, node = self.name(), "observer connected")
                        }
                        _ => {
                            tracing::info!(peer = %self.address, node = self.name(), "observer connected again")
                        }
                    }
                    self.link.send_replace(Link::Connected(client.clone()));
                    let reason = self.watch(client).await;
                    tracing::warn!(peer = %self.address, node = self.name(), reason, "observer lost");
                    self.link.send_replace(Link::Unavailable(reason));
                    // One that answers and fails in turn is not asked in a tight loop.
                    if since.elapsed() > self.timing.retry_most {
                        pause = self.timing.retry;
                    }
                }
                Err(reason) => {
                    let again = matches!(&*self.link.borrow(), Link::Unavailable(before) if *before == reason);
                    if !again {
                        tracing::warn!(peer = %self.address, reason, "no observer answers");
                    }
                    self.link.send_replace(Link::Unavailable(reason));
                }
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(self.timing.retry_most);
        }
    }

    async fn connect(&self) -> Result<Client, String> {
        let Timing { probe, answer, .. } = self.timing;
        let connecting = async {
            let tls = self.tls.as_ref();
            let mut client = client::watched(&self.address, tls, (probe, answer)).await?;
            let nodes = client.get_nodes(GetNodesRequest {}).await;
            let nodes = nodes.map_err(|status| client::reason(&status))?;
            // A relay behind this one has several: it is called by its address.
            if let [node] = nodes.into_inner().nodes.as_slice()
                && self.name() != node.name
            {
                *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.name.clone());
                self.names.send_replace(());
            }
            Ok(client)
        };
        let connected = timeout(answer, connecting).await;
        connected.unwrap_or_else(|_| Err(format!("no answer within {answer:?}")))
    }

    /// Asks again and again whether it is there; gives the reason why not.
    async fn watch(&self, mut client: Client) -> String {
        loop {
            tokio::select! {
                () = sleep(self.timing.probe) => {}
                () = self.doubt.notified() => {}
            }
            let asked = client.server_status(ServerStatusRequest {});
            match timeout(self.timing.answer, asked).await {
                Ok(Ok(_)) => {}
                Ok(Err(status)) => return client::reason(&status),
                Err(_) => return format!("no answer within {:?}", self.timing.answer),
            }
        }
    }
}

/// A time between the half and the whole of it, so that many do not try at once.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0);
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}
