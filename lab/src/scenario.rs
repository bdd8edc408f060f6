//! Scenarios: a folder with manifests and a `scenario.yaml` that says what to do and what must come.
//!
//! ```text
//!  format ──▶ run ──▶ check ──▶ came        place: {pod NAME} and -4/-6 in commands
//!               └──▶ show
//! ```
//!
//! What is done is written as `weir lab` commands and carried out by them, so that a reader can
//! type each step by hand. What is checked are commands of the pods, with real packets.

mod came;
mod check;
mod format;
mod place;
mod run;
mod show;
mod why;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use weir_cluster::folder::read_text;

pub use format::{Family, Scenario, Step};
pub use run::{Options, Played, Stage, Stepped, Telling, run, run_and};
pub use show::command_line;

/// Name of a scenario, and its files by their place in its folder.
type BuiltIn = (&'static str, &'static [(&'static str, &'static str)]);

const BUILT_IN: &[BuiltIn] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));
const FILE: &str = "scenario.yaml";

/// A scenario that was read, and the folder that its commands run in.
#[derive(Debug)]
pub struct Loaded {
    pub name: String,
    pub scenario: Scenario,
    pub folder: Folder,
}

/// A folder on disk; one that was written for a built-in scenario goes with this value.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    ours: bool,
}

/// The built-in scenarios: name and title.
pub fn list() -> Result<Vec<(&'static str, String)>> {
    BUILT_IN
        .iter()
        .map(|(name, files)| {
            Ok((
                *name,
                format::read(built_in_file(name, files)?, name)?.title,
            ))
        })
        .collect()
}

/// A built-in scenario by name, or one of the disk by the path of its folder.
pub fn load(what: &str) -> Result<Loaded> {
    if let Some((name, files)) = BUILT_IN.iter().find(|(name, _)| *name == what) {
        let place = format!("{name}/{FILE}");
        let scenario = format::read(built_in_file(name, files)?, &place)?;
        let folder = Folder::write(name, files)?;
        return Ok(Loaded {
            name: (*name).to_owned(),
            scenario,
            folder,
        });
    }
    let path = Path::new(what);
    if !path.is_dir() {
        let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        bail!(
            "{what} is neither a folder nor a built-in scenario ({})",
            names.join(", ")
        );
    }
    let path = fs::canonicalize(path).with_context(|| format!("cannot find {what}"))?;
    let file = path.join(FILE);
    let text = read_text(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = path.file_name().unwrap_or_default();
    Ok(Loaded {
        name: name.to_string_lossy().into_owned(),
        scenario: format::read(&text, &file.display().to_string())?,
        folder: Folder { path, ours: false },
    })
}

fn built_in_file(name: &str, files: &[(&str, &'static str)]) -> Result<&'static str> {
    let found = files.iter().find(|(path, _)| *path == FILE);
    found
        .map(|(_, text)| *text)
        .with_context(|| format!("{name} has no {FILE}"))
}

// === impl Folder ===

impl Folder {
    fn write(name: &str, files: &[(&str, &str)]) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("weir-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        let what = || format!("cannot write {}", path.display());
        // Fails where something is: a folder that everybody can write to is no place to trust.
        fs::create_dir(&path).with_context(what)?;
        let folder = Self {
            path: path.clone(),
            ours: true,
        };
        for (file, text) in files {
            let file = path.join(file);
            let parent = file.parent().unwrap_or(&path);
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&file, text))
                .with_context(what)?;
        }
        Ok(folder)
    }

    /// Leaves the files where they are.
    pub fn keep(&mut self) {
        self.ours = false;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.ours {
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_scenarios_are_right() {
        assert!(!BUILT_IN.is_empty());
        for (name, _) in list().unwrap() {
            let loaded = load(name).unwrap();
            for manifest in &loaded.scenario.manifests {
                assert!(
                    loaded.folder.path.join(manifest).exists(),
                    "{name}: {manifest}"
                );
            }
            let path = loaded.folder.path.clone();
            drop(loaded);
            assert!(!path.exists());
        }
    }
}
