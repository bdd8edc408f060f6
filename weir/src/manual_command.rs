//! What other programs want to know of the command line: `weir completions`, `weir man`, `weir version`.

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{
    Weir,
    screen::{Output, emit},
};

const SHELLS: &str = "Examples:
  source <(weir completions bash)
  weir completions zsh > \"${fpath[1]}/_weir\"
  weir completions fish > ~/.config/fish/completions/weir.fish
";

/// Print what a shell completes commands and options by
#[derive(Debug, Args)]
#[command(after_help = SHELLS)]
pub struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

impl CompletionsCommand {
    pub fn run(self) -> Result<()> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Weir::command(), "weir", &mut text);
        Ok(emit(&String::from_utf8(text)?)?)
    }
}

/// Write a manual page for each command: weir.1, weir-lint.1
#[derive(Debug, Args)]
pub struct ManCommand {
    /// The folder that they go into
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
}

impl ManCommand {
    pub fn run(self) -> Result<()> {
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.output)?;
            clap_mangen::generate_to(Weir::command(), &self.output)
        };
        write().with_context(|| format!("cannot write into {}", self.output.display()))
    }
}

/// Print the version
#[derive(Debug, Args)]
pub struct VersionCommand {
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl VersionCommand {
    pub fn run(self) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        let told = serde_json::json!({"version": version});
        self.output.show(&told, || format!("weir {version}"))
    }
}
