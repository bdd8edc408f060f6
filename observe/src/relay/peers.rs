//! Which observers there are: told once, read from a file, or found by a name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use tokio::{sync::watch, task::AbortHandle};

use super::{Address, AddressError, ClientTls, Timing, peer::Peer};

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

/// Why the addresses in a file are of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A line is no address.
    #[error("{path}, line {line}: {source}")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
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

/// The addresses in a file, one a line; `#` begins a comment.
///
/// # Errors
/// [`FileError`] where it cannot be read or a line is no address.
pub fn file(path: &Path) -> Result<BTreeSet<Address>, FileError> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
        path: shown(),
        source,
    })?;
    let mut found = BTreeSet::new();
    for (line, number) in text.lines().zip(1..) {
        let address = line.split('#').next().unwrap_or_default().trim();
        if address.is_empty() {
            continue;
        }
        found.insert(address.parse().map_err(|source| FileError::Line {
            path: shown(),
            line: number,
            source,
        })?);
    }
    Ok(found)
}

/// The addresses that a name stands for now: a headless service's are those of its pods.
///
/// # Errors
/// Where the name cannot be resolved.
pub async fn names(host: &str, port: u16) -> std::io::Result<BTreeSet<Address>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    Ok(found
        .map(|address| Address::Tcp(address.ip().to_canonical().to_string(), port))
        .collect())
}
