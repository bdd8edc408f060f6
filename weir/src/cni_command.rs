//! `weir cni`: the CNI plugin's place on this node.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_agent::cni::{Chain, Insertion};
use weir_link::Instance;

const EXAMPLES: &str = "Examples:
  weir cni install                              put weir-cni behind the node's own CNI plugins
  weir cni remove                               take it out again
  weir cni install --cni-conf-dir /host/etc/cni/net.d --cni-bin-dir /host/opt/cni/bin
";

/// Have new pods start under policy: put the CNI plugin into this node's CNI configuration, or
/// take it out. `weir agent --cni-conf-dir` does it by itself.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CniCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Install the program and put it into the configuration
    Install(CniOptions),
    /// Take it out of the configuration, and the program away
    Remove(CniOptions),
}

#[derive(Debug, Args)]
struct CniOptions {
    /// Folder of the CNI plugins' programs
    #[arg(long, default_value = "/opt/cni/bin", value_name = "FOLDER")]
    cni_bin_dir: PathBuf,
    /// Folder of the CNI configuration
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "FOLDER")]
    cni_conf_dir: PathBuf,
    /// Let pods start without policy while the agent is away
    #[arg(long)]
    cni_open: bool,
    /// Name of the instance
    #[arg(
        long = "instance",
        alias = "name",
        value_name = "NAME",
        default_value = "weir"
    )]
    name: String,
}

impl CniCommand {
    pub fn run(self) -> Result<()> {
        match self.action {
            Action::Install(options) => {
                let chain = options.chain()?;
                chain.install()?;
                match chain.insert()? {
                    Insertion::Inserted(file) => println!("inserted into {}", file.display()),
                    Insertion::Kept => println!("already there"),
                    Insertion::Nothing => anyhow::bail!(
                        "no CNI configuration in {}: install a CNI first",
                        chain.configs.display()
                    ),
                }
            }
            Action::Remove(options) => {
                options.chain()?.remove()?;
                println!("removed");
            }
        }
        Ok(())
    }
}

impl CniOptions {
    fn chain(self) -> Result<Chain> {
        Ok(Chain {
            programs: self.cni_bin_dir,
            configs: self.cni_conf_dir,
            socket: Instance::new(&self.name)?.agent_socket(),
            open_without_agent: self.cni_open,
        })
    }
}
