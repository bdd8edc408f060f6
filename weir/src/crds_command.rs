//! `weir crds`: the CustomResourceDefinitions of policies, and what they name, that a cluster does not
//! have yet.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;

const EXAMPLES: &str = "Examples:
  weir crds | kubectl apply --server-side -f -
  weir crds --output deploy/crds      one file each, as in the source tree
  weir crds --json-schema --output deploy/schemas    for editors: docs/ci.md
";

/// Print the definitions of CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and CiliumCIDRGroup
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
    /// JSON Schemas for editors and checks of manifests, which know no other fields than those of
    /// the definitions
    #[arg(long, requires = "output")]
    json_schema: bool,
}

impl CrdsCommand {
    pub fn run(self) -> Result<ExitCode> {
        if let (true, Some(folder)) = (self.json_schema, &self.output) {
            for (path, schema) in weir_policy::schema::for_editors() {
                write(&folder.join(path), &format!("{schema}\n"))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
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
            write(&path, &format!("{head}{text}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a file without a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}
