//! `weir lab run`: a scenario from beginning to end.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use weir_lab::scenario::{self, Options, Telling};

use super::{Output, TopologyName};

#[derive(Debug, Args)]
pub struct Run {
    /// A built-in scenario, or the folder of one
    #[arg(required_unless_present = "list")]
    scenario: Option<String>,
    /// List the built-in scenarios
    #[arg(long)]
    list: bool,
    /// Name of its lab [default: the scenario's name]
    #[arg(long = "lab", alias = "name", value_name = "NAME")]
    name: Option<String>,
    /// How pods are joined to the node
    #[arg(long, value_enum, default_value_t = TopologyName::Routed)]
    topology: TopologyName,
    /// Leave the lab up at the end
    #[arg(long)]
    keep: bool,
    /// How to tell what came
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Run {
    /// Fails when anything came differently.
    pub fn run(self) -> Result<ExitCode> {
        if self.list {
            for (name, title) in scenario::list()? {
                println!("{name:12} {title}");
            }
            return Ok(ExitCode::SUCCESS);
        }
        let name = self.scenario.context("name a scenario")?;
        let loaded = scenario::load(&name)?;
        let options = Options {
            lab: self.name.unwrap_or_else(|| loaded.name.clone()),
            topology: self.topology.into(),
            keep: self.keep,
            telling: match self.output {
                Output::Json => Telling::Nothing,
                _ => Telling::Checks,
            },
            program: None,
        };
        let outcome = scenario::run(loaded, &options)?;
        if let Output::Json = self.output {
            println!("{}", serde_json::to_string_pretty(&outcome)?);
        }
        Ok(match outcome.differences {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}
