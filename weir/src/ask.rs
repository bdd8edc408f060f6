//! Questions put to running agents: of this node, of a lab, or of a cluster.

use std::process::ExitCode;

use anyhow::{Error, Result, bail};
use clap::Args;
use weir_link::{
    Instance,
    tools::{Asks, Client, ClientError},
};
use weir_remote::{Answers, Entry, List, Names, Remote, Words};

use crate::{
    kubernetes::{self, Cluster},
    screen::{Listed, bad},
};

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
        self.cluster.said() || kubernetes::of_kubectl() && !here
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

/// What to list, and how.
#[derive(Debug, Args)]
pub struct Listing {
    /// Only these: NAME, KIND/NAME or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    agent: WhichAgent,
    /// Only those of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// Those of every namespace, which is so where none is named
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Listed,
}

/// One agent's part of a list, with its node where there are several.
pub type Part<'a, A> = (Option<&'a str>, &'a A);

// === impl Listing ===

impl Listing {
    /// Asks, keeps what is asked for, and shows it. A node that does not answer is named, and makes the
    /// exit code 1.
    pub fn show<Q: Words>(
        self,
        question: Q,
        text: impl Fn(&[Part<'_, Q::Answer>], bool) -> String,
    ) -> Result<ExitCode>
    where
        Q::Answer: List,
    {
        let namespace = self.namespace.as_deref();
        let mut names = Names::new(&self.names, namespace, weir_lab::kind_from_word);
        let mut keep = |entry: Entry<'_>| names.hold(entry);
        let mut asked = self.agent.ask(question)?;
        match &mut asked {
            Asked::One(answer) => answer.keep(&mut keep),
            Asked::Nodes(answers) => {
                for of in &mut answers.nodes {
                    of.answer.keep(&mut keep);
                }
            }
        }
        if let Some(missing) = names.missing() {
            bail!("{missing:?} not found");
        }
        match &asked {
            Asked::One(answer) => {
                self.output
                    .show(answer, |wide| text(&[(None, answer)], wide))?;
                Ok(ExitCode::SUCCESS)
            }
            Asked::Nodes(answers) => {
                let parts: Vec<Part<'_, Q::Answer>> = answers
                    .nodes
                    .iter()
                    .map(|of| (Some(of.node.as_str()), &of.answer))
                    .collect();
                self.output.show(answers, |wide| text(&parts, wide))?;
                for silent in &answers.silent {
                    eprintln!("{} {}: {}", bad("no answer"), silent.node, silent.error);
                }
                Ok(match answers.silent.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                })
            }
        }
    }
}
