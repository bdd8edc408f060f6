//! Manifests from the command line, as the commands without a cluster read them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use weir_cluster::{FolderSource, Reading, folder::STDIN, index::Options};
use weir_policy::model::ClusterName;

/// The cluster's own name, which selectors may ask for.
#[derive(Debug, Clone, Args)]
pub struct Named {
    /// Name of the cluster, as selectors write it: `io.cilium.k8s.policy.cluster`
    #[arg(long, value_name = "NAME", default_value_t)]
    pub cluster_name: ClusterName,
}

impl Named {
    /// What a cluster would make of the manifests: workloads have pods, pods and services addresses.
    pub fn played(&self) -> Options {
        Options {
            assign_addresses: true,
            expand_workloads: true,
            cluster: self.cluster_name.clone(),
        }
    }
}

/// Reads files and folders; what is not in force as written, and what was not read, goes to standard
/// error. Whoever says something about the world ends with [`Reading::whole`].
pub fn reading(paths: &[PathBuf], cluster: &Named) -> Result<Reading> {
    let reading = source(paths, cluster)?.read();
    for problem in &reading.problems {
        eprintln!("{problem}");
    }
    Ok(reading)
}

/// Files and folders to be read.
pub fn source(paths: &[PathBuf], cluster: &Named) -> Result<FolderSource> {
    for path in paths {
        if path != Path::new(STDIN) && !path.exists() {
            bail!("{}: no such file or folder", path.display());
        }
    }
    Ok(FolderSource::new(paths.iter().cloned(), cluster.played()))
}
