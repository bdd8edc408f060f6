//! Objects from a cluster's API: listed once, then watched.
//!
//! One task watches one kind and puts what it hears into the [`Store`]; whoever waits for
//! [`ClusterSource::changed`] is told, and reads the world again. What is not known is never taken
//! for nothing:
//!
//! | what happens | what is in force |
//! |---|---|
//! | the API server is away | everything as it was; the kind is *stale* since then |
//! | the server forgot our place (410, "too old") | everything as it was, until the new list is whole |
//! | an object cannot be understood | its last good version; a policy that never had one: its stand-in, which denies |
//! | a kind is not installed (404) | none of it, and it is asked for again |
//! | a kind is not listed yet | nothing is read: see [`ClusterSource::synced`] |

mod kinds;
mod progress;
pub mod report;
mod review;
mod shallow;
mod store;
mod watch;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use kube::Client;
use tokio::{sync::Notify, task::JoinSet};
use weir_policy::model::{ClusterName, PodName};

pub use kinds::{RESOURCES, Resource};
pub use progress::{Progress, progress};
pub use review::{Reviewed, review};
pub use shallow::Shallow;
pub use store::{PolicyState, Store};

use crate::{
    index::Options,
    reading::{Reading, SourceProblem},
};

/// How long changes gather before they are told: a rollout changes many objects at once.
const QUIET: Duration = Duration::from_millis(10);

/// A cluster's objects. Its watches end when it is dropped.
#[derive(Debug)]
pub struct ClusterSource {
    shared: Arc<Shared>,
    options: Options,
    _watches: JoinSet<()>,
}

/// What the watches and the reader share.
#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    changed: Notify,
    /// A kind is in step again: the server answers.
    back: Notify,
}

/// A kind that is not up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// Plural name of the kind, as in RBAC.
    pub kind: &'static str,
    /// When it was last in step.
    pub since: SystemTime,
    /// What the server said last.
    pub reason: String,
}

impl ClusterSource {
    /// Starts to watch every kind that policy depends on. `cluster` is the cluster's own name.
    pub fn start(client: Client, cluster: ClusterName) -> Self {
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::new(SystemTime::now())),
            changed: Notify::new(),
            back: Notify::new(),
        });
        let mut watches = JoinSet::new();
        for resource in RESOURCES {
            watches.spawn(watch::watch(client.clone(), resource, Arc::clone(&shared)));
        }
        Self {
            shared,
            options: Options {
                cluster,
                ..Options::default()
            },
            _watches: watches,
        }
    }

    /// Waits until something changed since the last call.
    ///
    /// Cancel safe: a change is not lost if the future is dropped.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
        // INVARIANT: nothing is awaited between the news and this line that could lose it: who
        // drops the future here is told again.
        let again = Again(&self.shared.changed);
        tokio::time::sleep(QUIET).await;
        std::mem::forget(again);
    }

    /// Whether every kind has been listed whole once.
    pub fn synced(&self) -> bool {
        self.shared.lock().waiting().is_empty()
    }

    /// Kinds that were never listed whole, with what stands in the way.
    pub fn waiting(&self) -> Vec<(&'static str, String)> {
        self.shared.lock().waiting()
    }

    /// Kinds that were in step once and are not now.
    pub fn stale(&self) -> Vec<Stale> {
        self.shared.lock().stale()
    }

    /// Whether a pod of this name and uid (empty: any) is known.
    pub fn knows(&self, pod: &PodName, uid: &str) -> bool {
        self.shared.lock().knows_pod(pod, uid)
    }

    /// `metadata.uid` of a pod.
    pub fn uid_of_pod(&self, pod: &PodName) -> Option<String> {
        self.shared.lock().uid_of_pod(pod)
    }

    /// Policies with what is said of them in the API.
    pub fn policies(&self) -> Vec<PolicyState> {
        self.shared.lock().policies()
    }

    /// The objects as they are known.
    ///
    /// Interfaces and network namespaces that pods name in annotations do not count here: whoever
    /// may create a pod could take another's.
    pub fn read(&self) -> Reading {
        let store = self.shared.lock();
        let (world, mut placements) = store.index().world(&self.options);
        let mut problems = store.problems();
        let missing = store.index().missing_groups(&world);
        let missing = missing.flat_map(|(_, found)| found);
        problems.extend(missing.map(|problem| SourceProblem::at(String::new(), problem)));
        drop(store);
        for placement in &mut placements {
            (placement.interface, placement.netns) = (None, None);
        }
        Reading {
            world,
            placements,
            problems,
        }
    }
}

/// Puts a change back that was taken but not told.
struct Again<'n>(&'n Notify);

impl Drop for Again<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
