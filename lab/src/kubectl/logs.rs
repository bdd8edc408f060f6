//! `logs`: what a pod or a part of Weir has written.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::Scope;

const EXAMPLES: &str = "Examples:
  weir lab logs deploy/httpbin --tail 5
  weir lab logs web -c sidecar -f
  weir lab logs flows --tail 20          what was denied
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Logs {
    #[command(flatten)]
    scope: Scope,
    /// A pod, deploy/NAME, agent, proxy, flows or @world
    #[arg(default_value = "agent")]
    of: String,
    /// The container [default: the first]
    #[arg(short, long)]
    container: Option<String>,
    /// Only the last lines; -1 is all of them
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
}

// === impl Logs ===

impl Logs {
    pub fn run(self) -> Result<()> {
        let lines = match self.tail {
            -1 => "+1".to_owned(),
            lines @ 0.. => lines.to_string(),
            other => bail!("--tail {other}: a number of lines, or -1 for all of them"),
        };
        let lab = self.scope.open()?;
        let path = lab.container_log(&self.of, &self.scope.namespace, self.container.as_deref())?;
        if !path.exists() {
            bail!("{} has written no log", self.of);
        }
        // tail knows how to wait for more, on every file system.
        let mut tail = Command::new("tail");
        tail.args(["-n", &lines]);
        if self.follow {
            tail.arg("-F");
        }
        let error = tail.arg(&path).exec();
        Err(error).context("cannot run `tail`")
    }
}
