//! Telling the agent what names resolve to, and waiting until that is enforced.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// How long an answer waits for the kernel. Past it the client gets it all the same: what it
/// cannot reach yet is denied, never allowed.
const ENFORCED: Duration = Duration::from_secs(2);

/// What a name resolves to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Number by which the agent says that it is enforced.
    pub ticket: u64,
    /// The name that was asked for, in lower case and without a final dot.
    pub name: String,
    /// Its addresses, and for how many seconds each.
    pub addresses: Vec<(IpAddr, u32)>,
}

/// Those who wait, by ticket.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashMap<u64, oneshot::Sender<()>>>);

/// Tells the agent; one for all workers.
#[derive(Debug, Clone)]
pub struct Teller {
    queue: mpsc::Sender<Learned>,
    waiting: Arc<Waiting>,
    next: Arc<AtomicU64>,
}

impl Waiting {
    /// The agent says that a ticket is enforced.
    pub fn done(&self, ticket: u64) {
        let waiting = self.lock().remove(&ticket);
        // Whoever waited may have given up.
        waiting.and_then(|waiting| waiting.send(()).ok());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller {
    /// A teller, what it tells, and who waits.
    pub fn channel() -> (Self, mpsc::Receiver<Learned>, Arc<Waiting>) {
        let (queue, told) = mpsc::channel(256);
        let waiting = Arc::<Waiting>::default();
        let teller = Self {
            queue,
            waiting: Arc::clone(&waiting),
            // Tickets of a proxy before this one may still be answered.
            next: Arc::new(AtomicU64::new(u64::from(std::process::id()) << 32)),
        };
        (teller, told, waiting)
    }

    /// Tells the agent and waits until it is enforced; `false` if that took too long.
    pub async fn tell(&self, name: String, addresses: Vec<(IpAddr, u32)>) -> bool {
        if addresses.is_empty() {
            return true;
        }
        let ticket = self.next.fetch_add(1, Relaxed);
        let (sender, done) = oneshot::channel();
        self.waiting.lock().insert(ticket, sender);
        let told = async {
            let learned = Learned {
                ticket,
                name,
                addresses,
            };
            self.queue.send(learned).await.is_ok() && done.await.is_ok()
        };
        let enforced = tokio::time::timeout(ENFORCED, told).await == Ok(true);
        self.waiting.lock().remove(&ticket);
        enforced
    }
}
