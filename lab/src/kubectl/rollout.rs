//! `rollout restart` and `rollout status`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use super::{Scope, print_changes, print_problems, select};
use crate::object::kind;

/// Between two looks at the pods.
const AGAIN: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "Examples:
  weir lab rollout restart deploy/httpbin
  weir lab rollout status deployment/catalog -n catalog --timeout=2m
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rollout {
    #[command(flatten)]
    scope: Scope,
    #[arg(value_enum)]
    action: Action,
    /// KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "KIND/NAME")]
    words: Vec<String>,
    /// How long `status` waits: 30s, 2m; 0 is without end
    #[arg(long, default_value = "2m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    /// New pods with new addresses
    Restart,
    /// Wait until the pods are ready and under policy
    Status,
}

fn duration(text: &str) -> Result<Duration, String> {
    let span = match text {
        "0" => return Ok(Duration::ZERO),
        _ => text.parse::<jiff::SignedDuration>(),
    };
    span.ok()
        .and_then(|span| Duration::try_from(span).ok())
        .ok_or_else(|| format!("{text:?} is no duration, such as 30s or 2m"))
}

// === impl Rollout ===

impl Rollout {
    pub fn run(self) -> Result<()> {
        let (kind, name) = select::only_object(&self.words)?;
        if !kind::owns_pods(&kind) {
            bail!(
                "{kind} {name} has no pods that are rolled out: deployment, statefulset, daemonset"
            );
        }
        match self.action {
            Action::Restart => {
                let lab = self.scope.open()?;
                print_changes(&lab.rollout_restart(&kind, &self.scope.namespace, name)?);
                Ok(())
            }
            Action::Status => self.wait(&kind, name),
        }
    }

    fn wait(&self, kind: &str, name: &str) -> Result<()> {
        let lab = self.scope.open()?;
        let namespace = self.scope.namespace.as_str();
        let deadline = Instant::now() + self.timeout;
        let mut told = String::new();
        let owner = format!("{} {name:?}", kind.to_lowercase());
        loop {
            let (ready, wanted) = lab.ready(kind, namespace, name)?;
            if ready == wanted {
                break;
            }
            let waiting = format!(
                "Waiting for {owner} rollout to finish: {ready} of {wanted} updated replicas are available..."
            );
            if waiting != told {
                println!("{waiting}");
                told = waiting;
            }
            if !self.timeout.is_zero() && Instant::now() > deadline {
                bail!("timed out waiting for {owner}: {ready} of {wanted} pods are ready");
            }
            std::thread::sleep(AGAIN);
        }
        print_problems(&lab.sync().context("its policy")?);
        println!("{owner} successfully rolled out");
        Ok(())
    }
}
