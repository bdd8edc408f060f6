//! The observers that are asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::{sync::watch, task::AbortHandle};

use super::{Address, ClientTls, Timing, peer::Peer};

/// The observers of now.
#[derive(Debug)]
pub struct Peers {
    tls: Option<ClientTls>,
    timing: Timing,
    all: watch::Sender<BTreeMap<Address, Kept>>,
    names: watch::Sender<()>,
}

#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub peer: Arc<Peer>,
    task: AbortHandle,
}

// === impl Peers ===

impl Peers {
    /// None yet; `tls` is used for those on the network.
    pub fn new(tls: Option<ClientTls>, timing: Timing) -> Self {
        Self {
            tls,
            timing,
            all: watch::Sender::default(),
            names: watch::Sender::new(()),
        }
    }

    /// These from now on: new ones are connected, those that are gone are left. Needs a runtime of
    /// tokio.
    pub fn set(&self, wanted: &BTreeSet<Address>) {
        self.all.send_if_modified(|all| {
            let before = all.len();
            all.retain(|address, kept| {
                let stays = wanted.contains(address);
                if !stays {
                    tracing::info!(peer = %address, "observer is no longer one of the peers");
                    kept.task.abort();
                }
                stays
            });
            let mut changed = all.len() != before;
            for address in wanted {
                if !all.contains_key(address) {
                    let names = self.names.clone();
                    let (peer, task) =
                        Peer::start(address.clone(), self.tls.clone(), self.timing, names);
                    all.insert(address.clone(), Kept { peer, task });
                    changed = true;
                }
            }
            changed
        });
    }

    pub(super) fn timing(&self) -> Timing {
        self.timing
    }

    /// Those of now.
    pub(super) fn all(&self) -> Vec<Arc<Peer>> {
        let all = self.all.borrow();
        all.values().map(|kept| Arc::clone(&kept.peer)).collect()
    }

    /// Tells when a node's name is learnt.
    pub(super) fn names(&self) -> watch::Receiver<()> {
        self.names.subscribe()
    }

    /// Changes of them.
    pub(super) fn changes(&self) -> watch::Receiver<BTreeMap<Address, Kept>> {
        self.all.subscribe()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for kept in self.all.borrow().values() {
            kept.task.abort();
        }
    }
}
