//! The client of a cluster's API, and the Weir of a cluster.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Args;
use kube::{
    Client, Config,
    config::{self, KubeConfigOptions},
};
use weir_remote::Remote;

/// Where the chart and the kustomize folders install.
const NAMESPACE: &str = "weir-system";

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

/// Whose Weir: a cluster's, reached by a kubeconfig.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "A cluster's Weir")]
pub struct Cluster {
    /// That of the kubeconfig's cluster, which any of the next three says, too
    #[arg(short = 'P', long, visible_alias = "port-forward")]
    remote: bool,
    #[command(flatten)]
    kubeconfig: Kubeconfig,
    /// Namespace that Weir is installed in [default: weir-system]
    #[arg(long, value_name = "NAMESPACE", alias = "kube-namespace")]
    weir_namespace: Option<String>,
}

impl Cluster {
    /// Whether the command line asks for a cluster.
    pub fn said(&self) -> bool {
        let Self {
            remote,
            kubeconfig,
            weir_namespace,
        } = self;
        *remote
            || kubeconfig.context.is_some()
            || kubeconfig.kubeconfig.is_some()
            || weir_namespace.is_some()
    }

    /// The same, with the namespace that a command's own `-n` says.
    pub fn or_in(self, namespace: Option<String>) -> Self {
        Self {
            weir_namespace: namespace.or(self.weir_namespace),
            ..self
        }
    }

    /// In a few words.
    pub fn described(&self) -> String {
        self.kubeconfig.described()
    }

    /// The cluster's Weir; it is not asked yet.
    pub async fn connect(&self) -> Result<Remote> {
        let namespace = self.weir_namespace.as_deref().unwrap_or(NAMESPACE);
        Ok(Remote::new(
            self.kubeconfig.client().await?,
            namespace.to_owned(),
        ))
    }
}

/// Whether this is `kubectl weir`, whose cluster is kubectl's.
pub fn of_kubectl() -> bool {
    let name = std::env::args_os().next();
    let name = name.as_deref().map(Path::new).and_then(Path::file_name);
    name == Some(OsStr::new("kubectl-weir"))
}
