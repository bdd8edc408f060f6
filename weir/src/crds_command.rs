//! `weir crds`: the CustomResourceDefinitions of the policies that a cluster does not have yet.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

const EXAMPLES: &str = "Examples:
  weir crds | kubectl apply --server-side -f -
  weir crds --output deploy/crds      one file each, as in the source tree
";

/// Print the definitions of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy
///
/// For clusters without Cilium. They take every field of Cilium's own definitions and drop none,
/// so that the agent sees, and refuses aloud, what it cannot honour. Do not apply them where a
/// real Cilium runs: it owns the ones that are there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CrdsCommand {
    /// Write a file for each into this folder instead
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl CrdsCommand {
    pub fn run(self) -> Result<ExitCode> {
        for definition in weir_policy::schema::definitions() {
            let text = serde_yaml_ng::to_string(&definition)?;
            let Some(folder) = &self.output else {
                print!("---\n{text}");
                continue;
            };
            let name = definition["spec"]["names"]["plural"].as_str();
            let name = name.context("a definition without a name")?;
            let path = folder.join(format!("{name}.yaml"));
            let head =
                "# Made by `weir crds --output deploy/crds` from policy/src/schema: do not edit.\n";
            fs::write(&path, format!("{head}{text}"))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
