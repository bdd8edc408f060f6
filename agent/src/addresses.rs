//! What this node takes for its own addresses, by which devices it is reached, and which addresses
//! are pods': kept up to date, and put into the world beside what objects tell.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use weir_policy::model::{Node, World};
use weir_redirector::network::{
    addresses::{self, Changes},
    devices::{self, Device},
};

/// Local routes change without a word, and a message may be lost: so often all is read anew.
const AGAIN: Duration = Duration::from_secs(10);
/// Interfaces come with several addresses, one after the other, and each change is a snapshot: the
/// first is read at once, those after it together.
const TOGETHER: Duration = Duration::from_millis(200);

/// What the node has, as it was read last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    prefixes: BTreeSet<IpNet>,
    /// Followed for [`Addresses::changed`] alone: who attaches to them reads them anew.
    devices: BTreeSet<Device>,
    /// Why it could not be read since.
    pub fault: Option<Arc<str>>,
}

/// Follows the node's addresses.
#[derive(Debug)]
pub struct Addresses {
    known: watch::Receiver<Known>,
    pod_ranges: Vec<IpNet>,
}

impl Addresses {
    /// Reads them for the first time, and follows them from now on. `pod_ranges`: prefixes of
    /// pods' addresses, beside those of nodes.
    ///
    /// # Errors
    /// Where they cannot be read: without them a policy that denies the node denies nothing.
    pub async fn start(pod_ranges: Vec<IpNet>) -> Result<Self> {
        let (prefixes, devices) = read()
            .await
            .context("this node's addresses cannot be read")?;
        let (sender, known) = watch::channel(Known {
            prefixes,
            devices,
            fault: None,
        });
        tokio::spawn(keep(sender));
        Ok(Self { known, pod_ranges })
    }

    /// Those of a node that has none.
    #[cfg(test)]
    pub fn fixed() -> Self {
        let (_, known) = watch::channel(Known::default());
        Self {
            known,
            pod_ranges: Vec::new(),
        }
    }

    /// Waits until they are others than before. Cancel safe.
    pub async fn changed(&mut self) {
        if self.known.changed().await.is_err() {
            // Only where the runtime ends.
            std::future::pending::<()>().await;
        }
    }

    /// Why what is known is not what the node has now.
    pub fn fault(&self) -> Option<Arc<str>> {
        self.known.borrow().fault.clone()
    }

    /// Adds to a world what is known of this node.
    pub fn put_into(&self, world: &mut World, node: &str) {
        let prefixes = self.known.borrow().prefixes.iter().copied().collect();
        world.pod_ranges.extend(&self.pod_ranges);
        match world.nodes.iter_mut().find(|of| of.name == node) {
            Some(own) => own.prefixes = prefixes,
            None => world.nodes.push(Node {
                name: node.to_owned(),
                prefixes,
                ..Node::default()
            }),
        }
    }
}

/// Reads them whenever they may have changed. What cannot be read stays as it was.
async fn keep(sender: watch::Sender<Known>) {
    let mut changes = None;
    loop {
        // Listening begins before reading: nothing is missed in between.
        if changes.is_none() {
            changes = Changes::follow()
                .inspect_err(|error| tracing::warn!(%error, "changes of this node's addresses are not told: they are read every few seconds"))
                .ok();
        }
        take(&sender, read().await);
        sleep(TOGETHER).await;
        if wait(&mut changes).await.is_none() {
            changes = None;
        }
    }
}

/// Waits for a change, or for the next time; `None`: nobody tells of changes.
async fn wait(changes: &mut Option<Changes>) -> Option<()> {
    let Some(changes) = changes else {
        sleep(AGAIN).await;
        return None;
    };
    // Nothing was told in time: it is read all the same.
    timeout(AGAIN, changes.changed()).await.unwrap_or(Some(()))
}

type Read = (BTreeSet<IpNet>, BTreeSet<Device>);

async fn read() -> io::Result<Read> {
    Ok((addresses::read().await?, devices::read().await?))
}

fn take(sender: &watch::Sender<Known>, read: io::Result<Read>) {
    sender.send_if_modified(|known| {
        let before = known.clone();
        match read {
            Ok((prefixes, devices)) => {
                *known = Known {
                    prefixes,
                    devices,
                    fault: None,
                }
            }
            Err(error) => known.fault = Some(error.to_string().into()),
        }
        if let (None, Some(fault)) = (&before.fault, &known.fault) {
            tracing::error!(%fault, "this node's addresses cannot be read: those that it had stay in force");
        }
        *known != before
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(list: &[&str]) -> BTreeSet<IpNet> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_was() {
        let (sender, known) = watch::channel(Known::default());
        take(&sender, Ok((prefixes(&["172.18.0.2/32"]), BTreeSet::new())));
        take(&sender, Err(io::ErrorKind::OutOfMemory.into()));
        let failed = known.borrow().clone();
        assert_eq!(failed.prefixes, prefixes(&["172.18.0.2/32"]));
        assert!(failed.fault.is_some());
        take(&sender, Ok((prefixes(&["172.18.0.3/32"]), BTreeSet::new())));
        assert_eq!(known.borrow().prefixes, prefixes(&["172.18.0.3/32"]));
        assert!(known.borrow().fault.is_none());
    }

    #[test]
    fn the_world_has_the_node_with_what_it_has_now() {
        let (sender, known) = watch::channel(Known::default());
        let addresses = Addresses {
            known,
            pod_ranges: prefixes(&["10.244.0.0/16"]).into_iter().collect(),
        };
        let mut world = World::default();
        for own in ["169.254.1.1/32", "10.244.0.1/32"] {
            take(&sender, Ok((prefixes(&[own]), BTreeSet::new())));
            addresses.put_into(&mut world, "n");
            assert_eq!(world.nodes.len(), 1);
            assert_eq!(world.nodes[0].prefixes, [own.parse().unwrap()]);
            assert_eq!(world.pod_ranges, prefixes(&["10.244.0.0/16"]));
        }
    }
}
