//! The client of a cluster's API.

use std::path::Path;

use anyhow::{Context as _, Result};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A client by a kubeconfig; without one by the pod's service account, else by the user's own.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client> {
    let config = match kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file)
                .with_context(|| format!("cannot read the kubeconfig {}", file.display()))?;
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("the kubeconfig {} names no cluster", file.display()))?
        }
        None => Config::infer()
            .await
            .context("no cluster: neither a service account nor a kubeconfig")?,
    };
    Client::try_from(config).context("no client for the cluster's API")
}
