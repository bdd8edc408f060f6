//! The way in: bounded, and never waited for.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
    mpsc::{SyncSender, TrySendError},
};

use weir_abi::event::{Ended, Event};
use weir_link::proxy::L7Record;

use super::{QUEUE, QUEUED};
use crate::names::Directory;

/// Where events go in. Giving never waits: what does not fit is counted.
#[derive(Debug, Clone)]
pub struct Intake {
    pub(super) queue: SyncSender<Input>,
    pub(super) shared: Arc<Shared>,
    pub(super) idle: bool,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub names: Mutex<Arc<Directory>>,
    pub lost: AtomicU64,
    /// Requests that are on their way and not recorded yet.
    pub requests: AtomicU64,
    /// Bytes that they take.
    pub bytes: AtomicU64,
    pub lost_in_kernel: AtomicU64,
}

#[derive(Debug)]
pub(super) enum Input {
    Verdict(Event),
    Ended(Box<Ended>),
    Requests(Vec<L7Record>),
    /// Answered when everything before it is recorded.
    Flush(tokio::sync::oneshot::Sender<()>),
    /// New names, or something was lost: look.
    Look,
}

/// About how many bytes requests take.
pub(super) fn weight(requests: &[L7Record]) -> u64 {
    let all: usize = requests.iter().map(L7Record::weight).sum();
    all as u64
}

// === impl Shared ===

impl Shared {
    /// So many requests, of so many bytes, wait no more.
    pub(super) fn recorded(&self, count: u64, bytes: u64) {
        self.requests.fetch_sub(count, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

// === impl Intake ===

impl Intake {
    /// One that takes nothing in, where nothing is to be recorded.
    #[must_use]
    pub fn idle(self, idle: bool) -> Self {
        Self { idle, ..self }
    }

    /// A verdict of the kernel.
    pub fn verdict(&self, event: Event) {
        if !self.idle {
            self.send(Input::Verdict(event));
        }
    }

    /// The end of a flow.
    pub fn ended(&self, ended: Ended) {
        if !self.idle {
            self.send(Input::Ended(Box::new(ended)));
        }
    }

    /// Requests that the proxy judged.
    pub fn requests(&self, requests: Vec<L7Record>) {
        let count = requests.len() as u64;
        if self.idle || count == 0 {
            return;
        }
        let bytes = weight(&requests);
        let waiting = self.shared.requests.fetch_add(count, Relaxed);
        let held = self.shared.bytes.fetch_add(bytes, Relaxed);
        let full = waiting + count > QUEUE as u64 || held + bytes > QUEUED;
        if full || self.queue.try_send(Input::Requests(requests)).is_err() {
            self.shared.recorded(count, bytes);
            self.shared.lost.fetch_add(count, Relaxed);
        }
    }

    /// What numbers and addresses mean from now on.
    pub fn names(&self, names: Arc<Directory>) {
        *self
            .shared
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = names;
        // The thread looks at its next event at the latest.
        self.queue.try_send(Input::Look).ok();
    }

    /// How many events the kernel has lost since its programs were loaded.
    pub fn lost_in_kernel(&self, count: u64) {
        if self.shared.lost_in_kernel.swap(count, Relaxed) != count {
            self.queue.try_send(Input::Look).ok();
        }
    }

    /// Waits until everything that was given before is recorded.
    pub async fn flush(&self) {
        let (done, recorded) = tokio::sync::oneshot::channel();
        if self.queue.try_send(Input::Flush(done)).is_ok() {
            // The thread has ended: nothing waits any more.
            recorded.await.ok();
        }
    }

    fn send(&self, input: Input) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(input) {
            self.shared.lost.fetch_add(1, Relaxed);
        }
    }
}
