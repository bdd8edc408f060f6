//! Questions put to running agents: of this node, of a lab, or of a cluster.

use anyhow::{Error, Result};
use clap::Args;
use weir_link::{
    Instance,
    tools::{Asks, Client, ClientError},
};

use crate::remote::{self, Answers, Cluster, Remote, Words};

/// The instance that is asked where nothing is said.
pub const INSTANCE: &str = "weir";

/// Where an agent may be that is not on this machine under that name.
const ELSEWHERE: &str = "no agent of that name runs on this machine; a cluster's are asked with --context NAME \
                         (or `kubectl weir`), a lab's with --lab NAME (`weir lab list`)";

/// Which agent is asked.
#[derive(Debug, Clone, Args)]
pub struct WhichAgent {
    /// Instance on this machine [default: weir]
    #[arg(long, alias = "name", value_name = "NAME", conflicts_with_all = ["remote", "context", "kubeconfig", "weir_namespace"])]
    instance: Option<String>,
    /// Ask the agent of this lab [env: WEIR_LAB, where nothing else says whose]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["instance", "remote", "context", "kubeconfig", "weir_namespace"])]
    lab: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
}

/// What was answered: by one agent, or by those of a cluster.
pub enum Asked<A> {
    /// By the agent of this node, or of a lab.
    One(A),
    /// By node.
    Nodes(Answers<A>),
}

// === impl WhichAgent ===

impl WhichAgent {
    /// The same, with the namespace that Weir is in by a command's own `-n`.
    pub fn or_in(self, namespace: Option<String>) -> Self {
        Self {
            cluster: self.cluster.or_in(namespace),
            ..self
        }
    }

    /// Whether anything says which agent is meant.
    pub fn said(&self) -> bool {
        self.is_remote()
            || self.instance.is_some()
            || self.lab.is_some()
            || lab_of_environment().is_some()
    }

    /// The answer of every agent that is meant.
    pub fn ask<Q: Words>(&self, question: Q) -> Result<Asked<Q::Answer>> {
        match self.is_remote() {
            true => self
                .remotely(async |remote| remote.ask_all(&question).await)
                .map(Asked::Nodes),
            false => self.ask_here(question).map(Asked::One),
        }
    }

    /// The answer of one of them, where each would say the same.
    pub fn ask_one<Q: Words>(&self, question: Q) -> Result<Q::Answer> {
        match self.is_remote() {
            true => self.remotely(async |remote| remote.ask_one(&question).await),
            false => self.ask_here(question),
        }
    }

    fn is_remote(&self) -> bool {
        let here = self.instance.is_some() || self.lab.is_some();
        self.cluster.said() || remote::of_kubectl() && !here
    }

    fn remotely<A>(&self, ask: impl AsyncFnOnce(Remote) -> Result<A>) -> Result<A> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async { ask(self.cluster.connect().await?).await })
    }

    fn ask_here<Q: Asks>(&self, question: Q) -> Result<Q::Answer> {
        let lab = self.lab.clone().or_else(|| match self.instance {
            Some(_) => None,
            None => lab_of_environment(),
        });
        match lab {
            Some(lab) => {
                Ok(Client::new(&weir_lab::Lab::open(&lab)?.agent_socket()?).ask(question)?)
            }
            None => of_instance(self.instance.as_deref().unwrap_or(INSTANCE), question),
        }
    }
}

/// The lab that is meant where the command line names nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "clap takes what it reads there for a flag, which conflicts with others"
)]
pub fn lab_of_environment() -> Option<String> {
    std::env::var("WEIR_LAB").ok().filter(|lab| !lab.is_empty())
}

fn of_instance<Q: Asks>(name: &str, question: Q) -> Result<Q::Answer> {
    let asked = Client::new(&Instance::new(name)?.agent_socket()).ask(question);
    asked.map_err(|error| match error {
        ClientError::Away { .. } => Error::new(error).context(ELSEWHERE),
        other => other.into(),
    })
}
