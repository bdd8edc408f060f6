//! Starting the processes of a lab: detached, inside a netns, with a log file.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::host::enter::Entrance;
use crate::host::process::Process;

/// Starts a program that goes on when we end.
pub fn detached<A: AsRef<OsStr>>(
    program: &Path,
    arguments: &[A],
    entrance: Entrance,
    log: &Path,
) -> Result<Process> {
    let open = || {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(open()?)
        .stderr(open()?);
    entrance.detached().apply(&mut command);
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pid = child.id().cast_signed();
    Process::of(pid).with_context(|| format!("{} ended at once", program.display()))
}

/// The end of a log: what died says there why.
pub fn log_tail(path: &Path) -> String {
    let log = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    if lines.is_empty() {
        return format!("{} is empty", path.display());
    }
    let tail = &lines[lines.len().saturating_sub(8)..];
    format!("--- {} ---\n{}", path.display(), tail.join("\n"))
}
