//! `weir simulate`: verdicts on flows, from manifests alone.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use serde_json::json;
use weir_gate::lines::Lines;
use weir_policy::verdict::Simulator;

use crate::manifests::{self, Played};

const EXAMPLES: &str = r#"Examples:
  weir simulate -f manifests/ --flows flows.jsonl
  echo '{"from":"default/sleep","to":"default/httpbin","protocol":"TCP","port":80,
         "http":{"method":"GET","path":"/ip"}}' | tr -d '\n' | weir simulate -f manifests/ --flows -
"#;

/// Judge flows offline: one JSON flow a line in, one JSON verdict a line out, in the same order.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateCommand {
    /// Manifests: files or folders
    #[arg(short = 'f', long = "filename", alias = "file", required = true, value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    played: Played,
    /// Flows, one JSON object a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    flows: PathBuf,
}

impl SimulateCommand {
    pub fn run(self) -> Result<ExitCode> {
        let reading = manifests::reading(&self.files, &self.played)?;
        let mut lines = Lines::open(&self.flows)?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut simulator = Simulator::new(&reading.world);
        while let Some((line, _)) = lines.read()? {
            let answer = match simulator.judge_line(line.trim()) {
                Ok(verdict) => json!(verdict),
                Err(error) => json!({"error": error.to_string()}),
            };
            writeln!(out, "{answer}")?;
        }
        out.flush()?;
        reading.whole()?;
        Ok(ExitCode::SUCCESS)
    }
}
