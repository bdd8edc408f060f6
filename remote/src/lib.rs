//! A cluster's Weir, from wherever its API is reached: agents are asked by running `weir` in their
//! containers, observers over the API's port-forward. docs/decisions/0043-a-cluster-from-afar.md says
//! why.
#![forbid(unsafe_code)]

mod agents;
mod lists;
mod names;
mod observers;
mod stream;
mod words;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::{Api, Client, api::ListParams};

pub use agents::{Answered, Answers, Silent};
pub use names::{Entry, List, Names};
pub use words::Words;

/// The Weir of a cluster.
#[derive(Clone)]
pub struct Remote {
    client: Client,
    namespace: String,
}

// === impl Remote ===

impl Remote {
    /// The Weir that is installed in a namespace.
    pub fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

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
