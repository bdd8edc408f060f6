//! `weir diff`: what another set of policies would change.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use weir_gate::lines::Lines;
use weir_policy::{
    diff::{Diff, RecordedDiff, diff, recorded},
    record::{self, Recorded},
    verdict::Outcome,
};

use crate::{
    logging,
    manifests::{self, Played},
    message,
    screen::{Output, aside, bad, bold, doubtful, good},
};

const EXAMPLES: &str = "Examples:
  weir diff -f old/ -f new/
  weir diff -f main/policies/ -f branch/policies/ --with workloads/
  hubble observe --last 100000 -o jsonpb > seen.jsonl
  weir diff -f old/ -f new/ --flows seen.jsonl --exit-code

Without --flows, every pair of differently labelled pods is asked for the ports and requests that
the policies mention, and for one that they do not. With it, for the traffic that was recorded.
";

/// Say which pairs, ports and requests get another verdict under other manifests.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DiffCommand {
    /// The old manifests, then the new ones: a file or folder each
    #[arg(
        short = 'f',
        long = "filename",
        alias = "file",
        required = true,
        value_name = "PATH"
    )]
    files: Vec<PathBuf>,
    /// Manifests that both sides have: workloads, namespaces
    #[arg(long, value_name = "PATH", num_args = 1..)]
    with: Vec<PathBuf>,
    #[command(flatten)]
    played: Played,
    /// Recorded flows (`hubble observe -o jsonpb`); `-` is standard input
    #[arg(long, value_name = "FILE")]
    flows: Option<PathBuf>,
    /// Exit with 1 where anything changes; errors exit with 2 in any case
    #[arg(long)]
    exit_code: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Something changes, with --exit-code.
const CHANGED: u8 = 1;
/// It is not known what changes: as `diff` and `git diff` have it.
const ERROR: u8 = 2;

impl DiffCommand {
    pub fn run(self) -> ExitCode {
        self.compare().unwrap_or_else(|error| {
            logging::last(&message(&error));
            ExitCode::from(ERROR)
        })
    }

    fn compare(self) -> Result<ExitCode> {
        let [old, new] = self.files.as_slice() else {
            bail!("give -f twice: the old manifests, then the new ones");
        };
        let side = |path: &PathBuf| {
            let mut paths = vec![path.clone()];
            paths.extend(self.with.iter().cloned());
            manifests::reading(&paths, &self.played)
        };
        let (before, after) = (side(old)?, side(new)?);
        let (old, new) = (&before.world, &after.world);
        let changed = match &self.flows {
            Some(path) => {
                let found = recorded(old, new, &read_flows(path)?);
                if found.judged == 0 {
                    bail!("{}", none_judged(&found, path).trim_end());
                }
                self.emit(&found, &of_recorded(&found))?;
                !found.changes.is_empty()
            }
            None => {
                let found = diff(old, new);
                let unknown = not_asked(&found);
                if found.is_empty() && !found.not_asked.is_empty() {
                    bail!("{}", unknown.trim_end());
                }
                eprint!("{unknown}");
                for rule in &found.peers_not_asked {
                    eprintln!(
                        "what {rule} changes is not known in full: not both manifests have the \
                         workloads of all its peers"
                    );
                }
                self.emit(&found, &of_pairs(&found))?;
                !found.is_empty()
            }
        };
        before.whole()?;
        after.whole()?;
        Ok(match self.exit_code && changed {
            true => ExitCode::from(CHANGED),
            false => ExitCode::SUCCESS,
        })
    }

    fn emit(&self, found: &impl Serialize, text: &str) -> Result<()> {
        self.output.show(found, || text.to_owned())
    }
}

/// Recorded flows, one a line; what says nothing to policy is passed over.
pub fn read_flows(path: &Path) -> Result<Vec<Recorded>> {
    let mut lines = Lines::open(path)?.kept();
    let mut flows = Vec::new();
    while let Some((line, place)) = lines.read()? {
        if line.trim().is_empty() {
            continue;
        }
        let flow = record::read(&line).with_context(|| place)?;
        flows.extend(flow);
    }
    Ok(flows)
}

/// The policies that were not asked about, and what is missing; empty where there are none.
fn not_asked(found: &Diff) -> String {
    let lines = found.not_asked.iter().map(|policy| {
        format!(
            "what {policy} changes is not known: no workload that it selects is in both manifests\n"
        )
    });
    match found.not_asked.is_empty() {
        true => String::new(),
        false => lines.chain([WITH.to_owned()]).collect(),
    }
}

const WITH: &str = "give the workloads: --with PATH\n";

fn none_judged(found: &RecordedDiff, path: &Path) -> String {
    match found.not_judged {
        0 => format!("{}: there is no flow to judge", path.display()),
        flows => format!(
            "none of {flows} recorded flows could be judged: their pods are not in both manifests\n{WITH}"
        ),
    }
}

fn of_pairs(found: &Diff) -> String {
    let mut text = String::new();
    for (side, groups) in [("old", &found.only_in_old), ("new", &found.only_in_new)] {
        if !groups.is_empty() {
            text.push_str(&aside(format!(
                "only in the {side} manifests: {}\n",
                groups.join("; ")
            )));
        }
    }
    for change in &found.changes {
        let (last, others) = match change.from.split_last() {
            Some(split) => split,
            None => continue,
        };
        for from in others {
            text.push_str(&format!("{}\n", bold(from)));
        }
        text.push_str(&bold(format!("{last} -> {}\n", change.to)));
        for kind in &change.verdicts {
            text.push_str(&format!(
                "  {}  {}\n",
                turn(kind.before, kind.after),
                kind.flows.join(", ")
            ));
        }
    }
    match found.is_empty() {
        true => text + &good(format!("nothing changes ({} questions)", found.questions)),
        false => text,
    }
}

fn of_recorded(found: &RecordedDiff) -> String {
    let mut text = String::new();
    for change in &found.changes {
        text.push_str(&format!(
            "{}  {:>6}x  {} -> {}  {}\n    {}\n",
            turn(change.before, change.after),
            change.count,
            change.from,
            change.to,
            change.flow,
            aside(&change.reason)
        ));
    }
    let flows: usize = found.changes.iter().map(|change| change.count).sum();
    text.push_str(&format!(
        "{flows} of {} recorded flows change",
        found.judged
    ));
    if found.not_judged > 0 {
        text.push_str(&format!(
            "; {} could not be judged: their pods are not in the manifests",
            found.not_judged
        ));
    }
    text
}

/// `allow -> deny`, in the colour of what is new and in a column of its own.
fn turn(before: Outcome, after: Outcome) -> String {
    let text = format!("{:<22}", format!("{before} -> {after}"));
    match after {
        Outcome::Allow => good(text),
        Outcome::HttpDeny => doubtful(text),
        Outcome::Deny => bad(text),
    }
}
