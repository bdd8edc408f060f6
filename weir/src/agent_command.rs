//! `weir agent`: keeps this node's kernel and proxy in step with the objects.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use weir_redirector::Instance;

use crate::agent::{Agent, ObserveOptions};

const EXAMPLES: &str = "Examples:
  weir agent --manifests /etc/weir/manifests
  weir agent --manifests ./manifests --node worker-1 --name weir
  weir agent --manifests ./manifests --metrics 127.0.0.1:9965 --flow-log-all
";

/// Enforce the policies of a folder of manifests on this node; changes are in force without a restart.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AgentCommand {
    /// Folder (or file) of manifests: Namespace, Pod, Node, Service, EndpointSlice and the policies
    #[arg(long, required = true, value_name = "PATH")]
    manifests: Vec<PathBuf>,
    /// Name of this instance: names its pins, sockets and network namespaces
    #[arg(long, default_value = "weir")]
    name: String,
    /// Name of this node; pods of other nodes are peers only [default: the host's name]
    #[arg(long)]
    node: Option<String>,
    #[command(flatten)]
    observe: ObserveOptions,
}

/// Remove everything an agent of this name has made: programs, maps, private networks, sockets.
#[derive(Debug, Args)]
pub struct CleanupCommand {
    /// Name of the instance
    #[arg(long, default_value = "weir")]
    name: String,
}

impl AgentCommand {
    pub fn run(self) -> Result<()> {
        require_root("weir agent")?;
        let instance = Instance::new(&self.name)?;
        let node = match self.node {
            Some(node) => node,
            None => nix::unistd::gethostname()
                .context("the host's name cannot be read; give --node")?
                .to_string_lossy()
                .into_owned(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async move {
            let agent = Agent::start(instance, self.manifests, node, &self.observe).await?;
            agent.run().await
        })
    }
}

impl CleanupCommand {
    pub fn run(self) -> Result<()> {
        require_root("weir cleanup")?;
        weir_redirector::Redirector::remove(&Instance::new(&self.name)?)?;
        Ok(())
    }
}

fn require_root(what: &str) -> Result<()> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "{what} needs root: it loads kernel programs and makes network namespaces; \
         nothing was changed"
    );
    Ok(())
}
