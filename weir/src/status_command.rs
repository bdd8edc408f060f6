//! `weir status`: how this node's Weir is, at a glance.

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::Args;
use weir_link::tools::{Status, StatusOf};
use weir_remote::Answers;

use crate::{
    ask::{Asked, WhichAgent},
    screen::{self, Output, aside, bad, bold, doubtful, good, many},
};

const EXAMPLES: &str = "Examples:
  weir status                                   agent, proxy, endpoints, what is refused, maps
  weir status --wait                            until everything is well (for scripts)
  weir status -o json | jq .revision
  weir status --context production              every node of a cluster
  weir status --lab lab                         a lab's first node

Exit code 0: all is well. 1: something is not.
";

const AGAIN: Duration = Duration::from_millis(500);

/// Show how Weir is on this node, or on all of a cluster; the exit code tells whether all is well.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusCommand {
    #[command(flatten)]
    agent: WhichAgent,
    /// Namespace that Weir is installed in, as --weir-namespace
    #[arg(short, long, conflicts_with_all = ["instance", "lab", "weir_namespace"])]
    namespace: Option<String>,
    /// Wait until all is well
    #[arg(long)]
    wait: bool,
    /// How long --wait waits at the most, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    timeout: u64,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl StatusCommand {
    pub fn run(self) -> Result<ExitCode> {
        let until = Instant::now() + Duration::from_secs(self.timeout);
        let agent = self.agent.or_in(self.namespace);
        let (asked, faults) = loop {
            let asked = agent.ask(StatusOf {});
            let faults = match &asked {
                Ok(asked) => faults(asked),
                Err(error) => vec![format!("{error:#}")],
            };
            if faults.is_empty() || !self.wait || Instant::now() >= until {
                break (asked, faults);
            }
            std::thread::sleep(AGAIN);
        };
        match asked? {
            Asked::One(status) => self.output.show(&status, || text(&status, &faults))?,
            Asked::Nodes(answers) => self.output.show(&answers, || nodes(&answers))?,
        }
        Ok(match faults.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

fn faults(asked: &Asked<Status>) -> Vec<String> {
    match asked {
        Asked::One(status) => status.faults(),
        Asked::Nodes(answers) => {
            let silent = answers.silent.iter();
            let silent = silent.map(|of| format!("{}: {}", of.node, of.error));
            let nodes = answers.nodes.iter().flat_map(|of| of.answer.faults());
            silent.chain(nodes).collect()
        }
    }
}

/// Node after node; those that do not answer first.
fn nodes(answers: &Answers<Status>) -> String {
    let head = |node: &str| format!("{}    {node}", bold("node"));
    let silent = answers.silent.iter();
    let silent = silent.map(|of| format!("{}\n{}\n", head(&of.node), bad(&of.error)));
    let nodes = answers.nodes.iter().map(|of| {
        let faults = of.answer.faults();
        format!("{}\n{}\n", head(&of.node), text(&of.answer, &faults))
    });
    silent.chain(nodes).collect::<Vec<_>>().join("\n")
}

fn text(status: &Status, faults: &[String]) -> String {
    let mut lines = vec![match faults.is_empty() {
        true => good("all is well"),
        false => bad(faults.join("; ")),
    }];
    lines.push(format!(
        "{}   revision {}, {}, {}, {}",
        bold("agent"),
        status.revision,
        many(status.endpoints, "endpoint", "endpoints"),
        many(status.policies, "policy", "policies"),
        many(status.classes, "class", "classes"),
    ));
    let proxy = &status.proxy;
    let open = proxy.counters.as_ref().map_or(0, |of| of.connections_open);
    lines.push(match proxy.revision {
        Some(revision) => format!(
            "{}   revision {revision}, process {}, {} open",
            bold("proxy"),
            proxy.pid.unwrap_or(0),
            many(open, "connection", "connections"),
        ),
        None => format!("{}   {}", bold("proxy"), bad("none is connected")),
    });
    lines.push(format!(
        "{}   {} verdicts of the kernel compared with the rules, {} differ",
        bold("check"),
        status.self_check.checked,
        status.self_check.mismatches,
    ));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    for doubt in status.doubts(now.unwrap_or_default().as_secs()) {
        let word = match doubt.grave {
            true => bad(doubt.word),
            false => doubtful(doubt.word),
        };
        lines.push(format!("{word} {}", doubt.text));
    }
    let rows: Vec<Vec<String>> = status
        .maps
        .iter()
        .map(|map| {
            vec![
                map.map.to_lowercase(),
                map.entries.to_string(),
                map.room.to_string(),
                format!("{} %", map.percent()),
            ]
        })
        .collect();
    let maps = screen::table(&["MAP", "ENTRIES", "ROOM", "FULL"], &rows);
    format!("{}\n{}", lines.join("\n"), aside(maps.trim_end()))
}
