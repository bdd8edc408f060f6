//! Questions put to a running agent over its control socket.

use anyhow::{Error, Result};
use clap::Args;
use serde::Serialize;
use weir_link::{
    Instance,
    tools::{Asks, Client, ClientError},
};

use crate::screen::{Output, emit, emit_json};

/// The instance that is asked where nothing is said.
pub const INSTANCE: &str = "weir";

/// Where an agent may be that is not on this machine under that name.
const ELSEWHERE: &str = "no agent of that name runs on this machine; a cluster's is asked by \
                         `kubectl -n weir-system exec daemonset/weir -c agent -- /weir status`, a lab's with \
                         --lab NAME (`weir lab list`)";

/// Which agent is asked.
#[derive(Debug, Clone, Args)]
pub struct WhichAgent {
    /// Name of the instance [default: weir]
    #[arg(long)]
    name: Option<String>,
    /// Ask the agent of this lab [env: WEIR_LAB, where nothing else says whose]
    #[arg(long, conflicts_with = "name", value_name = "NAME")]
    lab: Option<String>,
}

impl WhichAgent {
    /// The answer to a question.
    pub fn ask<Q: Asks>(&self, question: Q) -> Result<Q::Answer> {
        let lab = self.lab.clone().or_else(|| match self.name {
            Some(_) => None,
            None => lab_of_environment(),
        });
        match lab {
            Some(lab) => of_lab(&lab, question),
            None => of_instance(self.name.as_deref().unwrap_or(INSTANCE), question),
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

/// The answer of the agent of an instance.
pub fn of_instance<Q: Asks>(name: &str, question: Q) -> Result<Q::Answer> {
    let asked = Client::new(&Instance::new(name)?.agent_socket()).ask(question);
    asked.map_err(|error| match error {
        ClientError::Away { .. } => Error::new(error).context(ELSEWHERE),
        other => other.into(),
    })
}

/// The answer of the agent of a lab.
pub fn of_lab<Q: Asks>(lab: &str, question: Q) -> Result<Q::Answer> {
    Ok(Client::new(&weir_lab::Lab::open(lab)?.agent_socket()?).ask(question)?)
}

/// What to list, and how.
#[derive(Debug, Args)]
pub struct Listing {
    #[command(flatten)]
    agent: WhichAgent,
    /// Only those of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl Listing {
    /// Asks, keeps what is of the namespace asked for, and shows it.
    pub fn show<Q: Asks>(
        self,
        question: Q,
        narrow: impl Fn(&mut Q::Answer, &str),
        text: impl Fn(&Q::Answer) -> String,
    ) -> Result<()>
    where
        Q::Answer: Serialize,
    {
        let mut answer = self.agent.ask(question)?;
        if let Some(namespace) = &self.namespace {
            narrow(&mut answer, namespace);
        }
        match self.output {
            Output::Json => emit_json(&answer),
            Output::Text => Ok(emit(&text(&answer))?),
        }
    }
}
