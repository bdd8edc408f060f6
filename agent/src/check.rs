//! The self-check of a running agent: some of the kernel's live verdicts are derived once more
//! from the rules, and a difference is an error in the log and in the status.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;
use weir_abi::event::Event;
use weir_policy::{compile::Snapshot, model::PodName};
use weir_redirector::{
    Places, address,
    check::{Check, check},
};

/// Checks in a [`ROUND`] at most, so that a flood of new flows costs no more for it.
const BUDGET: u32 = 100;
const ROUND: Duration = Duration::from_secs(1);

/// What verdicts are checked against.
#[derive(Debug, Default)]
struct Basis {
    snapshot: Arc<Snapshot>,
    /// Pods by the indices of their endpoints.
    endpoints: HashMap<u16, PodName>,
}

/// The agent's end of the self-check: gives it what is in force, and reads what came of it.
#[derive(Debug)]
pub struct SelfChecked {
    basis: watch::Sender<Arc<Basis>>,
    counts: Arc<Counts>,
}

/// What came of the checks.
#[derive(Debug, Default)]
struct Counts {
    /// Verdicts that were checked.
    checked: AtomicU64,
    /// Those that the rules do not give.
    mismatches: AtomicU64,
}

/// Checks verdicts as they come.
#[derive(Debug)]
pub struct SelfCheck {
    basis: watch::Receiver<Arc<Basis>>,
    counts: Arc<Counts>,
    since: Instant,
    left: u32,
}

impl Basis {
    /// What is in force.
    fn new(snapshot: Arc<Snapshot>, places: &Places) -> Self {
        let endpoints = snapshot.endpoints.iter().filter_map(|endpoint| {
            let place = places.get(&endpoint.pod)?;
            Some((place.index, endpoint.pod.clone()))
        });
        Self {
            endpoints: endpoints.collect(),
            snapshot,
        }
    }
}

impl SelfChecked {
    /// Both ends.
    pub fn new() -> (Self, SelfCheck) {
        let (sender, basis) = watch::channel(Arc::default());
        let counts = Arc::<Counts>::default();
        let check = SelfCheck {
            basis,
            counts: Arc::clone(&counts),
            since: Instant::now(),
            left: BUDGET,
        };
        let checked = Self {
            basis: sender,
            counts,
        };
        (checked, check)
    }

    /// This comes into force.
    pub fn against(&self, snapshot: &Arc<Snapshot>, places: &Places) {
        let basis = Basis::new(Arc::clone(snapshot), places);
        self.basis.send_replace(Arc::new(basis));
    }

    /// What came of the checks so far.
    pub fn counts(&self) -> weir_link::tools::SelfCheck {
        weir_link::tools::SelfCheck {
            checked: self.counts.checked.load(Relaxed),
            mismatches: self.counts.mismatches.load(Relaxed),
        }
    }
}

impl SelfCheck {
    /// Checks a verdict, if the budget allows.
    pub fn sample(&mut self, event: &Event) {
        if event.is_failure() {
            return;
        }
        if self.since.elapsed() >= ROUND {
            (self.since, self.left) = (Instant::now(), BUDGET);
        }
        if self.left == 0 {
            return;
        }
        let basis = self.basis.borrow().clone();
        let Some(pod) = basis.endpoints.get(&event.endpoint) else {
            return;
        };
        match check(event, &basis.snapshot, pod) {
            Check::Unknown => return,
            Check::Agrees => {}
            Check::Differs(wanted) => {
                self.counts.mismatches.fetch_add(1, Relaxed);
                tracing::error!(
                    endpoint = %pod,
                    source = %address(event.source),
                    destination = %address(event.destination),
                    port = event.destination_port,
                    protocol = event.protocol,
                    revision = event.revision,
                    kernel = event.verdict,
                    rules = ?wanted,
                    "the kernel decided otherwise than the rules say"
                );
            }
        }
        self.left -= 1;
        self.counts.checked.fetch_add(1, Relaxed);
    }
}
