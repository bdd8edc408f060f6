//! `run-pod`, which is `kubectl run`: a pod with labels, there to stay or for one command.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::exec::Terminal;
use super::{Scope, print_changes};
use crate::lab::{Inside, RunPod as Made};

const EXAMPLES: &str = "Examples:
  weir lab run-pod probe --rm -l role=frontend -- curl -s httpbin:8000/ip
  weir lab run-pod -it --rm --image=busybox --restart=Never bb -- wget -qO- -T 5 flaskback:5000/blogs
  weir lab run-pod backend --image=nginx --labels app=webapp,role=backend --expose --port 80
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunPod {
    #[command(flatten)]
    scope: Scope,
    /// Name of the pod
    pod: String,
    #[arg(long, default_value = "busybox")]
    image: String,
    /// KEY=VALUE,KEY=VALUE [default: run=POD]
    #[arg(short, long, value_delimiter = ',')]
    labels: Vec<String>,
    /// NAME=VALUE for its containers
    #[arg(long)]
    env: Vec<String>,
    /// The port that it listens on
    #[arg(long)]
    port: Option<u16>,
    /// Make a service of the same name and port as well
    #[arg(long, requires = "port")]
    expose: bool,
    /// Whether it is started again when it ends: a pod here is not
    #[arg(long, value_parser = ["Never", "OnFailure", "Always"])]
    restart: Option<String>,
    /// Old texts have it; a pod is made in any case
    #[arg(long, hide = true, value_parser = ["run-pod/v1"])]
    generator: Option<String>,
    /// Take the pod away when the command ends
    #[arg(long)]
    rm: bool,
    /// What follows is a command, and no arguments: it is in any case
    #[arg(long = "command", hide = true)]
    is_command: bool,
    /// With this machine's tools, also where the image has busybox's
    #[arg(long)]
    machine: bool,
    /// Say nothing of the pod
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    terminal: Terminal,
    /// The command, after --; with -it and without one a shell
    #[arg(last = true)]
    command: Vec<String>,
}

// === impl RunPod ===

impl RunPod {
    /// Ends with the status of the command.
    pub fn run(self) -> Result<ExitCode> {
        let shell = self.terminal.stdin && self.command.is_empty();
        if self.rm && self.command.is_empty() && !shell {
            bail!("--rm needs a command, after --, or -it for a shell");
        }
        let lab = self.scope.open()?;
        if self.rm {
            // Ctrl-C is for the command; the pod must go all the same.
            crate::outlive_interrupts()?;
        }
        let namespace = &self.scope.namespace;
        let applied = lab.run_pod(&Made {
            name: self.pod.clone(),
            namespace: namespace.clone(),
            image: self.image.clone(),
            labels: pairs(&self.labels)?,
            env: pairs(&self.env)?,
            port: self.port,
            expose: self.expose,
        })?;
        if self.command.is_empty() && !shell {
            print_changes(&applied);
            return Ok(ExitCode::SUCCESS);
        }
        let words: Vec<&str> = match shell {
            true => vec!["sh"],
            false => self.command.iter().map(String::as_str).collect(),
        };
        let inside = Inside {
            machine: self.machine,
            ..Inside::pod(&self.pod, namespace)
        };
        let status = lab.command_in(&inside, &words).and_then(|mut command| {
            let ran = command.status();
            ran.with_context(|| format!("cannot run {}", words[0]))
        });
        if self.rm {
            lab.delete("Pod", namespace, &self.pod)?;
            if !self.quiet {
                println!("pod \"{}\" deleted", self.pod);
            }
        }
        let code = status?.code().and_then(|code| u8::try_from(code).ok());
        Ok(ExitCode::from(code.unwrap_or(1)))
    }
}

fn pairs(words: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |pair: &String| {
        let (key, value) = pair
            .split_once('=')
            .with_context(|| format!("{pair:?} is not KEY=VALUE"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}
