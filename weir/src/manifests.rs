//! Manifests from the command line, as the commands without a cluster read them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use weir_cluster::{FolderSource, Reading, index::Options};
use weir_policy::model::{ClusterName, World};

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

/// Reads files and folders; what is not in force as written goes to standard error.
pub fn world(paths: &[PathBuf], cluster: &Named) -> Result<World> {
    let reading = reading(paths, cluster)?;
    for problem in &reading.problems {
        eprintln!("{problem}");
    }
    Ok(reading.world)
}

/// Reads files and folders.
pub fn reading(paths: &[PathBuf], cluster: &Named) -> Result<Reading> {
    for path in paths {
        if path != Path::new("-") && !path.exists() {
            bail!("{}: no such file or folder", path.display());
        }
    }
    let reading = FolderSource::new(paths.iter().cloned(), cluster.played()).read();
    let fatal: Vec<String> = reading.fatal().map(ToString::to_string).collect();
    if !fatal.is_empty() {
        bail!("the manifests cannot be read:\n  {}", fatal.join("\n  "));
    }
    Ok(reading)
}
