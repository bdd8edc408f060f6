//! `weir lab shell`: a shell in which `kubectl` is this lab's.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use super::Named;
use super::exec::cannot_run;
use crate::lab::Lab;

const EXAMPLES: &str = "Examples:
  weir lab shell                      then type what the text says: kubectl get pods
  weir lab shell -- bash commands.sh  a script of such commands
";

/// What this program answers to there: `hubble observe` is `weir observe`, of this lab.
const NAMES: [&str; 2] = ["kubectl", "hubble"];

/// A shell in which `kubectl` is the lab's own; with -- one command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Shell {
    #[command(flatten)]
    lab: Named,
    /// What to run in place of $SHELL, after --
    #[arg(last = true)]
    command: Vec<String>,
}

// === impl Shell ===

impl Shell {
    /// Becomes the shell.
    ///
    /// # Errors
    /// There is no such lab, or its folder takes no link.
    #[expect(clippy::disallowed_methods, reason = "the shell is the user's")]
    pub fn run(self) -> Result<ExitCode> {
        let lab = Lab::open(&self.lab.name)?;
        let bin = lab.bin();
        fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
        let program = env::current_exe().context("cannot find this program's own file")?;
        for name in NAMES {
            let link = bin.join(name);
            match symlink(&program, &link) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.with_context(|| format!("cannot make {}", link.display()))?,
            }
        }
        let mut path = bin.into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let (program, arguments) = match self.command.split_first() {
            Some((program, arguments)) => (program.clone().into(), arguments),
            None => {
                let shell = env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
                (shell, &[][..])
            }
        };
        let error = Command::new(&program)
            .args(arguments)
            .env("PATH", path)
            .env("WEIR_LAB", lab.name())
            .exec();
        eprintln!("weir lab shell: {}: {error}", program.display());
        Ok(cannot_run(&error))
    }
}
