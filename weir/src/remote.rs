//! A cluster's Weir, from wherever its API is reached: agents are asked by running `weir` in their
//! containers, observers over the API's port-forward. docs/decisions/0043-a-cluster-from-afar.md says why.

mod agents;
mod observers;
mod stream;
mod words;

use std::{ffi::OsStr, path::Path};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::{Api, Client, api::ListParams};

use crate::kubernetes::Kubeconfig;

pub use agents::Answers;
pub use words::Words;

/// Where the chart and the kustomize folders install.
const NAMESPACE: &str = "weir-system";

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

/// The Weir of a cluster.
#[derive(Clone)]
pub struct Remote {
    client: Client,
    namespace: String,
}

/// Whether this is `kubectl weir`, whose cluster is kubectl's.
pub fn of_kubectl() -> bool {
    let name = std::env::args_os().next();
    let name = name.as_deref().map(Path::new).and_then(Path::file_name);
    name == Some(OsStr::new("kubectl-weir"))
}

// === impl Cluster ===

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

    /// Connects to the cluster's API, at the first question.
    pub async fn connect(&self) -> Result<Remote> {
        let namespace = self.weir_namespace.as_deref().unwrap_or(NAMESPACE);
        Ok(Remote {
            client: self.kubeconfig.client().await?,
            namespace: namespace.to_owned(),
        })
    }
}

// === impl Remote ===

impl Remote {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pods of a part of Weir.
    async fn pods_of(&self, component: &str) -> Result<Vec<Pod>> {
        let labels = format!("app.kubernetes.io/name=weir,app.kubernetes.io/component={component}");
        let params = ListParams::default().labels(&labels);
        let listed = self.pods().list(&params).await;
        let listed = listed.with_context(|| {
            format!(
                "cannot list the pods of Weir in namespace {}",
                self.namespace
            )
        })?;
        Ok(listed.items)
    }

    /// The agents' pods, one for each node: while one takes over from another, the one that is ready.
    async fn agents(&self) -> Result<Vec<Pod>> {
        let mut pods = self.pods_of("agent").await?;
        if pods.is_empty() {
            bail!(
                "no agent of Weir in namespace {}: --weir-namespace says where it is",
                self.namespace
            );
        }
        pods.sort_by_key(|pod| (node(pod).to_owned(), !ready(pod)));
        pods.dedup_by(|second, first| !node(first).is_empty() && node(second) == node(first));
        Ok(pods)
    }
}

/// The node that a pod is on; empty where it has none yet.
fn node(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|of| of.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|of| of.type_ == "Ready" && of.status == "True")
}

/// What follows a flag on the command line of a container.
fn argument<'p>(spec: &'p PodSpec, container: &str, flag: &str) -> Option<&'p str> {
    let container = spec.containers.iter().find(|of| of.name == container)?;
    let mut words = container.args.iter().flatten();
    words.find(|word| *word == flag)?;
    words.next().map(String::as_str)
}
