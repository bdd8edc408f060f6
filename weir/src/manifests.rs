//! Manifests from the command line, as the commands without a cluster read them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use weir_cluster::{FolderSource, Reading, index::Options};
use weir_policy::model::World;

/// What a cluster would make of the manifests: workloads have pods, pods and services addresses.
const PLAYED: Options = Options {
    assign_addresses: true,
    expand_workloads: true,
};

/// Reads files and folders; what is not in force as written goes to standard error.
pub fn world(paths: &[PathBuf]) -> Result<World> {
    let reading = reading(paths)?;
    for problem in &reading.problems {
        eprintln!("{problem}");
    }
    Ok(reading.world)
}

/// Reads files and folders.
pub fn reading(paths: &[PathBuf]) -> Result<Reading> {
    for path in paths {
        if path != Path::new("-") && !path.exists() {
            bail!("{}: no such file or folder", path.display());
        }
    }
    let reading = FolderSource::new(paths.iter().cloned(), PLAYED).read();
    let fatal: Vec<String> = reading.fatal().map(ToString::to_string).collect();
    if !fatal.is_empty() {
        bail!("the manifests cannot be read:\n  {}", fatal.join("\n  "));
    }
    Ok(reading)
}
