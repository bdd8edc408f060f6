//! Where the agent's objects come from: a folder of manifests, or a cluster.

use std::path::PathBuf;

use anyhow::{Result, bail};
use kube::Client;
use weir_cluster::{
    FolderSource, Reading,
    folder::Changes,
    index::Options,
    kubernetes::{ClusterSource, PolicyState, Stale},
};
use weir_policy::model::ClusterName;

/// What an agent is told to read, and the cluster's own name.
pub enum Origin {
    /// Files and folders of manifests.
    Manifests(Vec<PathBuf>, ClusterName),
    /// The API of a cluster.
    Cluster(Client, ClusterName),
}

/// Objects, as they are read again and again.
#[derive(Debug)]
pub enum Source {
    Folder {
        source: FolderSource,
        changes: Changes,
    },
    Cluster(ClusterSource),
}

impl Source {
    /// Starts to watch. A cluster's objects can be read once [`Self::synced`] returns.
    pub fn start(origin: Origin) -> Result<Self> {
        match origin {
            Origin::Manifests(paths, cluster) => {
                for path in &paths {
                    anyhow::ensure!(path.exists(), "{}: no such file or folder", path.display());
                }
                let source = FolderSource::new(
                    paths,
                    Options {
                        cluster,
                        ..Options::default()
                    },
                );
                let changes = source.watch()?;
                Ok(Self::Folder { source, changes })
            }
            Origin::Cluster(client, cluster) => {
                Ok(Self::Cluster(ClusterSource::start(client, cluster)))
            }
        }
    }

    /// Waits until all objects are known: what is not known must not be enforced as nothing.
    pub async fn synced(&self) {
        let Self::Cluster(source) = self else {
            return;
        };
        while !source.synced() {
            for (kind, reason) in source.waiting() {
                tracing::debug!(kind, reason, "waiting for the API server");
            }
            source.changed().await;
        }
    }

    /// Waits until something changed since the last call. Cancel safe.
    pub async fn changed(&mut self) -> Result<()> {
        match self {
            Self::Folder { changes, .. } => match changes.changed().await {
                Some(()) => Ok(()),
                None => bail!("the manifests are no longer watched"),
            },
            Self::Cluster(source) => {
                source.changed().await;
                Ok(())
            }
        }
    }

    /// The objects as they are now.
    pub fn read(&mut self) -> Reading {
        match self {
            Self::Folder { source, .. } => source.read(),
            Self::Cluster(source) => source.read(),
        }
    }

    /// The cluster, where it is one.
    pub fn cluster(&self) -> Option<&ClusterSource> {
        match self {
            Self::Folder { .. } => None,
            Self::Cluster(source) => Some(source),
        }
    }

    /// Policies as the API shows them.
    pub fn policies(&self) -> Vec<PolicyState> {
        self.cluster()
            .map(ClusterSource::policies)
            .unwrap_or_default()
    }

    /// Kinds of the API that are not up to date.
    pub fn stale(&self) -> Vec<Stale> {
        self.cluster().map(ClusterSource::stale).unwrap_or_default()
    }
}
