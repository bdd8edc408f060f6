//! The client of a cluster's API.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use kube::{
    Client, Config,
    config::{self, KubeConfigOptions},
};

/// Which cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct Kubeconfig {
    /// kubeconfig of the cluster [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context in it [default: its current one]
    #[arg(long, value_name = "CONTEXT", alias = "kube-context")]
    pub context: Option<String>,
}

impl Kubeconfig {
    /// A client of the cluster. Where nothing is said, by the user's own kubeconfig, else by the pod's
    /// service account.
    pub async fn client(&self) -> Result<Client> {
        let read = match (&self.kubeconfig, &self.context) {
            (Some(file), _) => Some(
                config::Kubeconfig::read_from(file)
                    .with_context(|| format!("cannot read the kubeconfig {}", file.display()))?,
            ),
            (None, Some(_)) => {
                Some(config::Kubeconfig::read().context("cannot read the kubeconfig")?)
            }
            (None, None) => None,
        };
        let config = match read {
            Some(read) => {
                let options = KubeConfigOptions {
                    context: self.context.clone(),
                    ..KubeConfigOptions::default()
                };
                Config::from_custom_kubeconfig(read, &options)
                    .await
                    .with_context(|| format!("{} names no cluster", self.described()))?
            }
            None => Config::infer()
                .await
                .context("no cluster: neither a service account nor a kubeconfig")?,
        };
        Client::try_from(config).context("no client for the cluster's API")
    }

    /// In a few words.
    pub fn described(&self) -> String {
        match (&self.context, &self.kubeconfig) {
            (Some(context), _) => format!("context {context}"),
            (None, Some(file)) => format!("the kubeconfig {}", file.display()),
            (None, None) => "the kubeconfig's cluster".to_owned(),
        }
    }
}

/// A client by a kubeconfig, for what runs in a cluster.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client> {
    let kubeconfig = Kubeconfig {
        kubeconfig: kubeconfig.map(Path::to_owned),
        context: None,
    };
    kubeconfig.client().await
}
