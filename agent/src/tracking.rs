//! How much is tracked, counted by a thread of its own: the connection table may have a million entries,
//! and whoever asks for metrics or a status must not keep the agent from a change.
//!
//! Of many who ask at once one counting is for all, and after one the thread rests nine times as long
//! as it took. Who does not get a new count in time is told the last one.

use std::{
    io,
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    time::{Duration, Instant},
};

use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};
use weir_observe::calm;
use weir_redirector::Tracked;

/// Who asks waits this long for a new count.
const FRESH: Duration = Duration::from_secs(2);
/// Who asks while so many wait is told the last count.
const ASKING: usize = 256;
/// The thread rests so many times as long as it has counted.
const REST: u32 = 9;

/// The way to the counts.
#[derive(Debug, Clone)]
pub struct Tracking {
    asks: SyncSender<oneshot::Sender<()>>,
    last: watch::Receiver<Tracked>,
}

// === impl Tracking ===

impl Tracking {
    /// Starts the thread, which has `count` count; it ends with the last of these.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(mut count: impl FnMut() -> Tracked + Send + 'static) -> io::Result<Self> {
        let (asks, asked) = sync_channel::<oneshot::Sender<()>>(ASKING);
        let (counted, last) = watch::channel(Tracked::default());
        let serve = move || {
            calm::yield_to_traffic();
            while let Ok(first) = asked.recv() {
                let waiting: Vec<_> = std::iter::once(first).chain(asked.try_iter()).collect();
                let began = Instant::now();
                counted.send_replace(count());
                let took = began.elapsed();
                for who in waiting {
                    // Who waited may have gone.
                    who.send(()).ok();
                }
                std::thread::sleep(took * REST);
            }
        };
        let thread = std::thread::Builder::new().name("weir-tracking".into());
        thread.spawn(serve)?;
        Ok(Self { asks, last })
    }

    /// Waits for a count that begins from now on, for a while.
    pub async fn fresh(&self) {
        let (sender, counted) = oneshot::channel();
        match self.asks.try_send(sender) {
            Ok(()) => drop(timeout(FRESH, counted).await),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// The last count. Never waits.
    pub fn last(&self) -> Tracked {
        *self.last.borrow()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::channel,
    };

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_are_told_one_count() {
        let counts = Arc::new(AtomicU64::new(0));
        let (let_go, held) = channel::<()>();
        let counting = Arc::clone(&counts);
        let tracking = Tracking::start(move || {
            // Stands for a table that is walked.
            held.recv().ok();
            let flows = counting.fetch_add(1, Relaxed) + 1;
            Tracked { entries: 9, flows }
        });
        let tracking = tracking.expect("a thread");
        let ask = || {
            let tracking = tracking.clone();
            tokio::spawn(async move { tracking.fresh().await })
        };
        let one = ask();
        // The last count is there at once, whatever is being counted.
        assert_eq!(tracking.last(), Tracked::default());
        let_go.send(()).expect("a thread");
        one.await.expect("told");
        assert_eq!(tracking.last().flows, 1);
        let asking: Vec<_> = (0..100).map(|_| ask()).collect();
        // Each of them has asked when this has its turn.
        tokio::task::yield_now().await;
        for _ in 0..2 {
            let_go.send(()).expect("a thread");
        }
        for each in asking {
            each.await.expect("told");
        }
        assert!(counts.load(Relaxed) <= 3, "{counts:?}");
    }
}
