//! `exec`: a command in a pod, with the tools of its image.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Scope;
use crate::lab::Inside;

const EXAMPLES: &str = "Examples:
  weir lab exec deploy/sleep -- curl -s httpbin:8000/headers
  weir lab exec -it bb1 -- nc -vlkp 8888 -e /bin/sh
  weir lab exec --machine bb1 -- nc -4 -zv bb2 8888
  weir lab exec @world -- curl -s http://172.18.0.2:30080/
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Exec {
    #[command(flatten)]
    scope: Scope,
    /// NS/POD, POD, deploy/NAME, NS/deploy/NAME, @node, @node2 or @world
    pod: String,
    /// The container, whose image says which tools there are [default: the first]
    #[arg(short, long)]
    container: Option<String>,
    /// With this machine's tools, also where the image has busybox's
    #[arg(long)]
    machine: bool,
    #[command(flatten)]
    terminal: Terminal,
    /// The command, after --
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// A command in a lab has the terminal and the input of who types it, so that these say nothing new.
#[derive(Debug, Args)]
pub struct Terminal {
    /// Pass standard input on: it is passed on in any case
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give it the terminal: it has it in any case
    #[arg(short = 't', long)]
    pub tty: bool,
}

// === impl Exec ===

impl Exec {
    /// Becomes the command, so that its exit status and its signals are its own.
    pub fn run(self) -> Result<ExitCode> {
        let lab = self.scope.open()?;
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let inside = Inside {
            target: &self.pod,
            namespace: &self.scope.namespace,
            container: self.container.as_deref(),
            machine: self.machine,
        };
        let error = lab.command_in(&inside, &words)?.exec();
        eprintln!("weir lab exec: {}: {error}", self.command[0]);
        Ok(cannot_run(&error))
    }
}

/// As shells say it: 127 for a program that is not there, 126 for one that cannot be run.
pub fn cannot_run(error: &std::io::Error) -> ExitCode {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    ExitCode::from(if missing { 127 } else { 126 })
}
