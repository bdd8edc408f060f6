//! `weir status`: how this node's Weir is, at a glance.

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::Args;
use weir_link::tools::{Status, StatusOf, Unmanaged};

use crate::{
    ask::WhichAgent,
    screen::{self, Output, aside, bad, bold, doubtful, emit, emit_json, good},
};

const EXAMPLES: &str = "Examples:
  weir status                                   agent, proxy, endpoints, what is refused, maps
  weir status --wait                            until everything is well (for scripts)
  weir status -o json | jq .revision
  kubectl -n weir-system exec daemonset/weir -c agent -- /weir status

Exit code 0: all is well. 1: something is not.
";

/// Entries of a map in per cent of its room from which on it is told as nearly full.
const NEARLY: u64 = 80;
const AGAIN: Duration = Duration::from_millis(500);

/// Show how Weir is on this node; the exit code tells whether all is well.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusCommand {
    #[command(flatten)]
    agent: WhichAgent,
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
        let (status, faults) = loop {
            let status = self.agent.ask(StatusOf {});
            let faults = match &status {
                Ok(status) => faults(status),
                Err(error) => vec![format!("{error:#}")],
            };
            if faults.is_empty() || !self.wait || Instant::now() >= until {
                break (status, faults);
            }
            std::thread::sleep(AGAIN);
        };
        let status = status?;
        match self.output {
            Output::Json => emit_json(&status)?,
            Output::Text => emit(&text(&status, &faults))?,
        }
        Ok(match faults.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

/// What is not well.
fn faults(status: &Status) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(failure) = &status.failure {
        faults.push(format!("the last change is not in force: {failure}"));
    }
    match status.proxy.revision {
        None => {
            faults.push("no proxy is connected: flows that HTTP rules select fail".to_owned());
        }
        Some(_) if !status.proxy.listens => faults
            .push("connections that HTTP rules select find no listener of the proxy".to_owned()),
        Some(_) => {}
    }
    let lists = [
        ("refused", status.problems.len()),
        ("not under policy", status.unmanaged.len()),
    ];
    for (name, count) in lists.into_iter().filter(|(_, count)| *count > 0) {
        faults.push(format!("{count} {name}"));
    }
    for stale in &status.stale {
        faults.push(format!("{} are stale", stale.kind));
    }
    for map in &status.maps {
        if map.percent() >= NEARLY && map.map != "CONNTRACK" {
            faults.push(format!("map {} is nearly full", map.map));
        }
    }
    if status.self_check.mismatches > 0 {
        faults.push("the kernel decided otherwise than the rules say (self-check)".to_owned());
    }
    faults
}

fn text(status: &Status, faults: &[String]) -> String {
    let mut lines = vec![match faults.is_empty() {
        true => good("all is well"),
        false => bad(faults.join("; ")),
    }];
    lines.push(format!(
        "{}   revision {}, {} endpoints, {} policies, {} classes",
        bold("agent"),
        status.revision,
        status.endpoints,
        status.policies,
        status.classes,
    ));
    let proxy = &status.proxy;
    let open = proxy.counters.as_ref().map_or(0, |of| of.connections_open);
    lines.push(match proxy.revision {
        Some(revision) => format!(
            "{}   revision {revision}, process {}, {open} connections open",
            bold("proxy"),
            proxy.pid.unwrap_or(0),
        ),
        None => format!("{}   {}", bold("proxy"), bad("none is connected")),
    });
    lines.push(format!(
        "{}   {} verdicts of the kernel compared with the rules, {} differ",
        bold("check"),
        status.self_check.checked,
        status.self_check.mismatches,
    ));
    lines.extend(doubts(status));
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

/// A line for each thing that is not as it should be.
fn doubts(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    for problem in &status.problems {
        lines.push(format!("{} {problem}", bad("refused")));
    }
    for Unmanaged { pod, reason } in &status.unmanaged {
        lines.push(format!("{} {pod}: {reason}", bad("not under policy")));
    }
    for pod in &status.orphans {
        let why = "its object is gone, its interface is there: its policies stay";
        lines.push(format!("{} {pod}: {why}", doubtful("orphan")));
    }
    if let count @ 1.. = status.unowned {
        let why = "interfaces deny everything until they are gone: no pod is known at them";
        lines.push(format!("{} {count} {why}", doubtful("unowned")));
    }
    if let count @ 1.. = status.lookups_failed {
        let why = "times interfaces could not be looked up: what was in force stayed";
        lines.push(format!("{} {count} {why}", doubtful("look-ups")));
    }
    for stale in &status.stale {
        let since = Duration::from_secs(stale.since);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        lines.push(format!(
            "{} {} since {} s: {}; what was known stays in force",
            doubtful("stale"),
            stale.kind,
            now.saturating_sub(since).as_secs(),
            stale.reason,
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use weir_link::tools::{MapFill, Problem, ProxyStatus, SelfCheck, Stale};

    use super::*;

    fn well() -> Status {
        Status {
            revision: 3,
            endpoints: 2,
            policies: 1,
            classes: 4,
            proxy: ProxyStatus {
                revision: Some(3),
                pid: Some(7),
                listens: true,
                counters: None,
            },
            maps: vec![MapFill {
                map: "POLICY".into(),
                entries: 5,
                room: 100,
            }],
            self_check: SelfCheck {
                checked: 9,
                mismatches: 0,
            },
            ..Status::default()
        }
    }

    #[test]
    fn what_stays_without_an_object_is_told() {
        let status = Status {
            orphans: vec!["default/left".into()],
            unowned: 2,
            lookups_failed: 3,
            ..well()
        };
        let shown = text(&status, &faults(&status));
        for wanted in [
            "default/left: its object is gone",
            "2 interfaces deny",
            "3 times",
        ] {
            assert!(shown.contains(wanted), "{shown}");
        }
        assert!(!text(&well(), &[]).contains("object is gone"));
    }

    #[test]
    fn every_fault_is_told() {
        assert_eq!(faults(&well()), Vec::<String>::new());
        let faulty = |spoil: fn(&mut Status)| {
            let mut status = well();
            spoil(&mut status);
            let faults = faults(&status);
            assert_eq!(faults.len(), 1, "{status:?}: {faults:?}");
            let shown = text(&status, &faults);
            assert!(shown.contains(&faults[0]), "{shown}");
        };
        faulty(|of| of.failure = Some("no room".into()));
        faulty(|of| of.proxy.revision = None);
        faulty(|of| of.proxy.listens = false);
        faulty(|of| of.problems.push(Problem::default()));
        faulty(|of| of.unmanaged.push(Unmanaged::default()));
        faulty(|of| of.stale.push(Stale::default()));
        faulty(|of| of.maps[0].entries = 80);
        faulty(|of| of.self_check.mismatches = 1);
    }
}
