//! `weir status`: how this node's Weir is, at a glance.

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::Args;
use serde_json::Value;

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
            let status = self.agent.ask("status");
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
fn faults(status: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(failure) = status["failure"].as_str() {
        faults.push(format!("the last change is not in force: {failure}"));
    }
    if status["proxy"]["revision"].is_null() {
        faults.push("no proxy is connected: flows that HTTP rules select fail".to_owned());
    }
    if status["proxy"]["revision"].is_u64() && status["proxy"]["listens"] == false {
        faults.push("connections that HTTP rules select find no listener of the proxy".to_owned());
    }
    for (name, list) in [("refused", "problems"), ("not under policy", "unmanaged")] {
        let count = status[list].as_array().map_or(0, Vec::len);
        if count > 0 {
            faults.push(format!("{count} {name}"));
        }
    }
    for stale in status["stale"].as_array().into_iter().flatten() {
        faults.push(format!("{} are stale", word(&stale["kind"])));
    }
    for map in status["maps"].as_array().into_iter().flatten() {
        if fill(map) >= NEARLY && map["map"] != "CONNTRACK" {
            faults.push(format!("map {} is nearly full", word(&map["map"])));
        }
    }
    if status["self_check"]["mismatches"].as_u64() > Some(0) {
        faults.push("the kernel decided otherwise than the rules say (self-check)".to_owned());
    }
    faults
}

fn text(status: &Value, faults: &[String]) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let mut lines = vec![match faults.is_empty() {
        true => good("all is well"),
        false => bad(faults.join("; ")),
    }];
    lines.push(format!(
        "{}   revision {}, {} endpoints, {} policies, {} classes",
        bold("agent"),
        number(&status["revision"]),
        number(&status["endpoints"]),
        number(&status["policies"]),
        number(&status["classes"]),
    ));
    let proxy = &status["proxy"];
    lines.push(match proxy["revision"].as_u64() {
        Some(revision) => format!(
            "{}   revision {revision}, process {}, {} connections open",
            bold("proxy"),
            number(&proxy["pid"]),
            number(&proxy["counters"]["connections_open"]),
        ),
        None => format!("{}   {}", bold("proxy"), bad("none is connected")),
    });
    let check = &status["self_check"];
    lines.push(format!(
        "{}   {} verdicts of the kernel compared with the rules, {} differ",
        bold("check"),
        number(&check["checked"]),
        number(&check["mismatches"]),
    ));
    for problem in status["problems"].as_array().into_iter().flatten() {
        let place = [
            &problem["file"],
            &problem["object"],
            &problem["field"],
            &problem["reason"],
        ];
        let said: Vec<&str> = place
            .into_iter()
            .map(word)
            .filter(|word| !word.is_empty())
            .collect();
        lines.push(format!("{} {}", bad("refused"), said.join(": ")));
    }
    for pod in status["unmanaged"].as_array().into_iter().flatten() {
        let (pod, reason) = (word(&pod["pod"]), word(&pod["reason"]));
        lines.push(format!("{} {pod}: {reason}", bad("not under policy")));
    }
    for pod in status["orphans"].as_array().into_iter().flatten() {
        let why = "its object is gone, its interface is there: its policies stay";
        lines.push(format!("{} {}: {why}", doubtful("orphan"), word(pod)));
    }
    if let Some(count @ 1..) = status["unowned"].as_u64() {
        let why = "interfaces deny everything until they are gone: no pod is known at them";
        lines.push(format!("{} {count} {why}", doubtful("unowned")));
    }
    if let Some(count @ 1..) = status["lookups_failed"].as_u64() {
        let why = "times interfaces could not be looked up: what was in force stayed";
        lines.push(format!("{} {count} {why}", doubtful("look-ups")));
    }
    for stale in status["stale"].as_array().into_iter().flatten() {
        let since = Duration::from_secs(number(&stale["since"]));
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        lines.push(format!(
            "{} {} since {} s: {}; what was known stays in force",
            doubtful("stale"),
            word(&stale["kind"]),
            now.saturating_sub(since).as_secs(),
            word(&stale["reason"]),
        ));
    }
    let rows: Vec<Vec<String>> = status["maps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|map| {
            let percent = format!("{} %", fill(map));
            vec![
                word(&map["map"]).to_lowercase(),
                number(&map["entries"]).to_string(),
                number(&map["room"]).to_string(),
                percent,
            ]
        })
        .collect();
    let maps = screen::table(&["MAP", "ENTRIES", "ROOM", "FULL"], &rows);
    format!("{}\n{}", lines.join("\n"), aside(maps.trim_end()))
}

fn fill(map: &Value) -> u64 {
    let number = |name: &str| map[name].as_u64().unwrap_or(0);
    number("entries") * 100 / number("room").max(1)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn well() -> Value {
        json!({
            "failure": null, "revision": 3, "endpoints": 2, "policies": 1, "classes": 4,
            "proxy": {"revision": 3, "pid": 7, "listens": true, "counters": {"connections_open": 1}},
            "problems": [], "unmanaged": [], "stale": [],
            "maps": [{"map": "POLICY", "entries": 5, "room": 100}],
            "self_check": {"checked": 9, "mismatches": 0},
        })
    }

    #[test]
    fn what_stays_without_an_object_is_told() {
        let mut status = well();
        status["orphans"] = json!(["default/left"]);
        (status["unowned"], status["lookups_failed"]) = (json!(2), json!(3));
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
        let faulty = |path: &str, value: Value| {
            let mut status = well();
            *status.pointer_mut(path).unwrap() = value;
            let faults = faults(&status);
            assert_eq!(faults.len(), 1, "{path}: {faults:?}");
            let shown = text(&status, &faults);
            assert!(shown.contains(&faults[0]), "{shown}");
        };
        faulty("/failure", json!("no room"));
        faulty("/proxy/revision", Value::Null);
        faulty("/proxy/listens", json!(false));
        faulty(
            "/problems",
            json!([{"object": "o", "field": "f", "reason": "r"}]),
        );
        faulty("/unmanaged", json!([{"pod": "a/b", "reason": "r"}]));
        faulty(
            "/stale",
            json!([{"kind": "pods", "since": 1, "reason": "away"}]),
        );
        faulty("/maps/0/entries", json!(80));
        faulty("/self_check/mismatches", json!(1));
    }
}
