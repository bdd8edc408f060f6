//! Manifests from the command line, as the commands without a cluster read them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use weir_cluster::{FolderSource, Reading, folder::STDIN, index::Options};
use weir_policy::{
    model::ClusterName,
    objects::{DEFAULT_NAMESPACE, dns_label},
};

/// The cluster's own name, which selectors may ask for.
#[derive(Debug, Clone, Args)]
pub struct Named {
    /// Name of the cluster, as selectors write it: `io.cilium.k8s.policy.cluster`
    #[arg(long, value_name = "NAME", default_value_t)]
    pub cluster_name: ClusterName,
}

/// What a cluster would know beside the manifests.
#[derive(Debug, Clone, Args)]
pub struct Played {
    #[command(flatten)]
    cluster: Named,
    /// Namespace of the objects that name none
    #[arg(long, value_name = "NAMESPACE", default_value = DEFAULT_NAMESPACE, value_parser = namespace)]
    namespace: String,
}

fn namespace(text: &str) -> Result<String, String> {
    dns_label(text).map(|()| text.to_owned())
}

impl Named {
    /// With the namespace that objects have in the API.
    pub fn played(self) -> Played {
        Played {
            cluster: self,
            namespace: DEFAULT_NAMESPACE.to_owned(),
        }
    }
}

impl Played {
    /// What a cluster would make of the manifests: workloads have pods, pods and services addresses.
    fn options(&self) -> Options {
        Options {
            assign_addresses: true,
            expand_workloads: true,
            cluster: self.cluster.cluster_name.clone(),
        }
    }
}

/// Reads files and folders; what is not in force as written, and what was not read, goes to standard
/// error. Whoever says something about the world ends with [`Reading::whole`].
pub fn reading(paths: &[PathBuf], played: &Played) -> Result<Reading> {
    let reading = source(paths, played)?.read();
    for problem in &reading.problems {
        eprintln!("{problem}");
    }
    Ok(reading)
}

/// Files and folders to be read.
pub fn source(paths: &[PathBuf], played: &Played) -> Result<FolderSource> {
    for path in paths {
        if path != Path::new(STDIN) && !path.exists() {
            bail!("{}: no such file or folder", path.display());
        }
    }
    let source = FolderSource::new(paths.iter().cloned(), played.options());
    Ok(source.offline(played.namespace.clone()))
}
