//! One change, in its order: from objects to what is in force.
//!
//! ```text
//!  place ─▶ compile ─▶ proxies ─▶ acknowledged ─▶ observer and self-check ─▶ kernel
//!    ▲                                                                         │
//!    └───────────── again, while answers of DNS no longer count ◀──────────────┘
//! ```
//!
//! Proxies come first: they then judge by the new snapshot, and still serve what the kernel sends
//! them. A step that fails ends the change, and what was in force stays in force: a proxy that is
//! ahead of the kernel allows nothing that the new rules deny.

mod kernel;
mod state;

use std::{borrow::Cow, sync::Arc};

use tokio::sync::watch;
use weir_cluster::Reading;
use weir_link::proxy::frame::LinkError;
use weir_policy::{
    compile::{Compiler, Local, Snapshot},
    l7::L7Table,
    model::{HostPolicies, Pod, PodName, World},
};
use weir_redirector::Places;

use crate::{
    addresses::Addresses,
    names::{Learnt, counts},
    pods::Pods,
};

pub use kernel::Kernel;
pub use state::State;

/// The proxies of a node.
#[allow(
    async_fn_in_trait,
    reason = "the agent's one task awaits it; nothing sends it elsewhere"
)]
pub trait Proxies<K> {
    /// Gives every proxy what to judge by.
    ///
    /// # Errors
    /// It cannot be sent at all. What was sent before stays in force.
    fn send(&mut self, table: &L7Table) -> Result<(), LinkError>;

    /// Waits until the proxy in charge judges by a revision. `false` where there is none, or it
    /// takes too long: it then denies what it does not know, and never allows it.
    async fn acknowledged(&mut self, revision: u64, kernel: &mut K) -> bool;
}

/// Who shows and checks verdicts, and has to know by what they came about before the first of them.
pub trait Followers {
    /// This comes into force in a moment.
    fn follow(&self, world: &Arc<World>, snapshot: &Arc<Snapshot>, places: &Places);
}

/// What a change works on, beside the kernel and the proxies.
pub struct Sources<'a> {
    /// Pods of this node, and where they are.
    pub pods: &'a mut Pods,
    /// What names resolve to.
    pub names: &'a mut Learnt,
    /// The node's own addresses.
    pub addresses: &'a Addresses,
    /// Who is told before the kernel is switched.
    pub followers: &'a dyn Followers,
}

/// What came of a change.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// Everything is as it was.
    Unchanged,
    /// It is in force.
    InForce,
    /// It is not; [`State::failure`] says why.
    Failed,
}

/// Puts objects in force.
pub struct Enforcement {
    node: String,
    compiler: Compiler,
    host_policies: HostPolicies,
    /// What is in force.
    pub state: State,
    /// What the proxies were sent last, which tells whose answers count.
    pub table: Arc<L7Table>,
    /// The same, for who follows it.
    pub tables: watch::Sender<Arc<L7Table>>,
}

// === impl Enforcement ===

impl Enforcement {
    /// For a node on which a compiler's ids go on where an earlier agent's ended.
    pub fn new(node: &str, compiler: Compiler, host_policies: HostPolicies) -> Self {
        Self {
            node: node.to_owned(),
            compiler,
            host_policies,
            state: State::default(),
            table: Arc::default(),
            tables: watch::channel(Arc::default()).0,
        }
    }

    /// Puts objects and names in force. Answers that no longer count under the policies that are now
    /// in force are forgotten, and their addresses with them: each round takes away, so it ends.
    pub async fn put<K: Kernel>(
        &mut self,
        reading: &mut Reading,
        sources: &mut Sources<'_>,
        kernel: &mut K,
        proxies: &mut impl Proxies<K>,
    ) -> Changed {
        let mut outcome = Changed::Unchanged;
        loop {
            reading.world.names = sources.names.world();
            sources.addresses.put_into(&mut reading.world, &self.node);
            reading.world.host_policies = self.host_policies;
            self.state.unjudged = kernel.unjudged_devices();
            self.state.told(reading);
            match self.once(reading, sources, kernel, proxies).await {
                Ok(false) => {}
                Ok(true) => {
                    outcome = Changed::InForce;
                    self.state.told(reading);
                }
                Err(reason) => {
                    tracing::error!(reason, "the change is not in force");
                    self.state.failure = Some(reason);
                    return Changed::Failed;
                }
            }
            if !counts::forget_unasked(sources.names, &self.table, &self.state) {
                return outcome;
            }
        }
    }

    /// One round; tells whether anything changed.
    async fn once<K: Kernel>(
        &mut self,
        reading: &Reading,
        sources: &mut Sources<'_>,
        kernel: &mut K,
        proxies: &mut impl Proxies<K>,
    ) -> Result<bool, String> {
        let placed = sources.pods.place(reading, &self.node, kernel);
        let (places, mut unmanaged, orphans) = placed.map_err(|error| error.to_string())?;
        self.state.unknown = unmanaged.iter().any(|pod| pod.unknown);
        self.state.orphans = orphans.iter().map(Pod::id).collect();
        let world = with(&reading.world, orphans);
        if self.state.is(&world, &places) {
            return Ok(false);
        }
        sources.pods.learn(reading, &places);

        let snapshot = self.compiler.compile(&world, Local::Node(&self.node));
        let (world, snapshot) = (Arc::new(world.into_owned()), Arc::new(snapshot));
        let index = |pod: &PodName| Some(places.get(pod)?.index);
        let table = L7Table::new(&snapshot, index);

        let sent = proxies.send(&table);
        sent.map_err(|error| format!("the proxy's snapshot: {error}"))?;
        self.table = Arc::new(table);
        self.tables.send_replace(Arc::clone(&self.table));
        proxies.acknowledged(snapshot.revision, kernel).await;

        sources.followers.follow(&world, &snapshot, &places);
        let applied = kernel.apply(&snapshot, &reading.world.services, &places);
        let unattached = applied.map_err(|error| error.to_string())?;

        self.state.unjudged = kernel.unjudged_devices();
        self.state.unattached = !unattached.is_empty();
        unmanaged.extend(unattached);
        tracing::info!(
            revision = snapshot.revision,
            endpoints = places.len(),
            policies = world.policies.len(),
            refused = self.state.problems.len(),
            "in force"
        );
        self.state = State {
            world,
            snapshot,
            places,
            unmanaged,
            failure: None,
            ..std::mem::take(&mut self.state)
        };
        Ok(true)
    }
}

/// A world with pods whose object is gone.
fn with(world: &World, orphans: Vec<Pod>) -> Cow<'_, World> {
    if orphans.is_empty() {
        return Cow::Borrowed(world);
    }
    let mut world = world.clone();
    world.pods.extend(orphans);
    Cow::Owned(world)
}

#[cfg(test)]
mod tests;
