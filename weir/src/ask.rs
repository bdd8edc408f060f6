//! Questions put to a running agent over its control socket.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use weir_redirector::Instance;

use crate::screen::{Output, emit, emit_json};

/// An agent that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

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
    /// The answer to a command without arguments.
    pub fn ask(&self, command: &str) -> Result<Value> {
        ask(&self.socket()?, &json!({"command": command}))
    }

    fn socket(&self) -> Result<PathBuf> {
        match &self.lab {
            Some(lab) => weir_lab::Lab::open(lab)?.agent_socket(),
            None => Ok(Instance::new(&self.name)?.agent_socket()),
        }
    }
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
    /// Asks a command, and shows the list of this name in its answer.
    pub fn show(self, command: &str, list: &str, text: impl Fn(&Value) -> String) -> Result<()> {
        let mut answer = self.agent.ask(command)?;
        if let (Some(namespace), Some(items)) = (&self.namespace, answer[list].as_array_mut()) {
            items.retain(|item| item["namespace"] == namespace.as_str());
        }
        match self.output {
            Output::Json => emit_json(&answer),
            Output::Text => Ok(emit(&text(&answer))?),
        }
    }
}

/// Asks the agent that listens at a path. A refusal is an error.
pub fn ask(path: &Path, question: &Value) -> Result<Value> {
    let mut stream = UnixStream::connect(path)
        .with_context(|| format!("no agent answers at {}", path.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .with_context(|| format!("the agent at {} does not answer", path.display()))?;
    let answer: Value = serde_json::from_str(&line)
        .with_context(|| format!("the agent at {} answers {line:?}", path.display()))?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        bail!("{error}");
    }
    Ok(answer)
}
