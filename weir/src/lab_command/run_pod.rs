//! `weir lab run-pod`: a pod with labels, there for one command, as `kubectl run --rm` makes it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use weir_lab::Lab;

use super::Named;

#[derive(Debug, Args)]
pub struct RunPod {
    #[command(flatten)]
    lab: Named,
    /// Name of the pod
    pod: String,
    #[arg(long, default_value = "busybox")]
    image: String,
    /// KEY=VALUE,KEY=VALUE [default: run=POD]
    #[arg(short, long, value_delimiter = ',')]
    labels: Vec<String>,
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Take the pod away when the command ends
    #[arg(long)]
    rm: bool,
    /// The command, after --
    #[arg(last = true)]
    command: Vec<String>,
}

impl RunPod {
    /// Ends with the status of the command.
    pub fn run(self) -> Result<ExitCode> {
        if self.rm && self.command.is_empty() {
            bail!("--rm needs a command, after --");
        }
        let labels: BTreeMap<String, String> = self
            .labels
            .iter()
            .map(|pair| {
                let (key, value) = pair
                    .split_once('=')
                    .with_context(|| format!("{pair:?} is not KEY=VALUE"))?;
                Ok((key.to_owned(), value.to_owned()))
            })
            .collect::<Result<_>>()?;
        let lab = Lab::open(&self.lab.name)?;
        if self.rm {
            // Ctrl-C is for the command; the pod must go all the same.
            weir_lab::outlive_interrupts()?;
        }
        lab.run_pod(&weir_lab::RunPod {
            name: self.pod.clone(),
            namespace: self.namespace.clone(),
            image: self.image.clone(),
            labels,
        })?;
        if self.command.is_empty() {
            println!("pod/{} created", self.pod);
            return Ok(ExitCode::SUCCESS);
        }
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let status = lab
            .command(&self.pod, &self.namespace, &words)
            .and_then(|mut command| {
                command
                    .status()
                    .with_context(|| format!("cannot run {}", self.command[0]))
            });
        if self.rm {
            lab.delete("Pod", &self.namespace, &self.pod)?;
            println!("pod \"{}\" deleted", self.pod);
        }
        let code = status?.code().and_then(|code| u8::try_from(code).ok());
        Ok(ExitCode::from(code.unwrap_or(1)))
    }
}
