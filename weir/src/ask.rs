//! Questions put to a running agent over its control socket.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use weir_link::{
    Instance,
    tools::{Asks, Client},
};

use crate::screen::{Output, emit, emit_json};

/// Which agent is asked.
#[derive(Debug, Clone, Args)]
pub struct WhichAgent {
    /// Name of the instance
    #[arg(long, default_value = "weir")]
    name: String,
    /// Ask the agent of this lab
    #[arg(long, conflicts_with = "name", value_name = "NAME")]
    lab: Option<String>,
}

impl WhichAgent {
    /// The answer to a question.
    pub fn ask<Q: Asks>(&self, question: Q) -> Result<Q::Answer> {
        match &self.lab {
            Some(lab) => of_lab(lab, question),
            None => of_instance(&self.name, question),
        }
    }
}

/// The answer of the agent of an instance.
pub fn of_instance<Q: Asks>(name: &str, question: Q) -> Result<Q::Answer> {
    Ok(Client::new(&Instance::new(name)?.agent_socket()).ask(question)?)
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
