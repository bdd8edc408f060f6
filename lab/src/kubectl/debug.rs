//! `debug node/NAME`: a shell on a node, to look at its log of denials.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::exec::{Terminal, cannot_run};
use super::{Scope, select};
use crate::host::view;
use crate::lab::Inside;
use crate::node::Node;

const EXAMPLES: &str = "Examples:
  weir lab debug node/lab-node -it --image=ubuntu
  weir lab debug node/lab-node -- grep DENY /host/var/log/weir/flows.log
";

/// The node's netns is entered; its files are this machine's, also below /host, where the log of flows is in
/// /host/var/log/weir and where the VPC CNI's agent has its own.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Debug {
    #[command(flatten)]
    scope: Scope,
    /// node/NAME
    #[arg(value_name = "node/NAME")]
    node: String,
    /// Where a cluster's tools would come from; here they are this machine's
    #[arg(long)]
    image: Option<String>,
    #[command(flatten)]
    terminal: Terminal,
    /// What to run in place of a shell, after --
    #[arg(last = true)]
    command: Vec<String>,
}

// === impl Debug ===

impl Debug {
    /// Becomes the shell.
    pub fn run(self) -> Result<ExitCode> {
        let lab = self.scope.open()?;
        let words = [self.node.clone()];
        let (kind, name) = select::only_object(&words)?;
        if kind != "Node" {
            bail!("{}: node/NAME is meant; into a pod leads `exec`", self.node);
        }
        let objects = lab.view()?;
        let asked = select::Asked {
            kind,
            names: vec![name.to_owned()],
        };
        select::find(&objects, &asked, None)?;
        let second = Node::by_name(name).is_some_and(|node| node != Node::FIRST);
        let (target, log) = match second {
            false => ("@node", "flows"),
            true => ("@node2", "flows2"),
        };
        let log = lab.log_path(log, "default")?;
        let command: Vec<&str> = match self.command.is_empty() {
            true => vec!["sh"],
            false => self.command.iter().map(String::as_str).collect(),
        };
        eprintln!("on {name}: what was denied is in /host/var/log/weir/flows.log");
        let mut command = lab.command_in(&Inside::pod(target, "default"), &command)?;
        view::enter(&log).context("the node's files cannot be shown")?;
        let error = command.exec();
        eprintln!("weir lab debug: {error}");
        Ok(cannot_run(&error))
    }
}
