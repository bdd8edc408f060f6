//! How the demo looks: plain text, with colours on a terminal.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use owo_colors::{OwoColorize as _, Stream::Stdout};
use serde_json::Value;

use super::Outcome;
use super::steps::Check;
use weir_link::tools::Synced;

use crate::state::Pod;

pub fn opening(name: &str) {
    println!("A Kubernetes node on this machine, as lab {name:?}: pods are network namespaces,");
    println!("services are nftables rules, policy is enforced by weir agent and weir proxy.");
}

pub fn pods(pods: &[Pod]) {
    println!();
    for pod in pods {
        let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
        println!("  {:<42} {}", pod.id(), addresses.join(", "));
    }
}

pub fn step(number: usize, title: &str, text: &str) {
    let title = format!("{number}. {title}");
    println!("\n{}", title.if_supports_color(Stdout, |t| t.bold()));
    println!("{text}");
}

pub fn manifest(yaml: &str) {
    println!();
    for line in yaml.trim_end().lines() {
        let line = format!("    {line}");
        println!("{}", line.if_supports_color(Stdout, |t| t.cyan()));
    }
}

pub fn command(text: &str) {
    let line = format!("$ {text}");
    println!("\n{}", line.if_supports_color(Stdout, |t| t.bold()));
}

pub fn said(text: &str) {
    println!("{text}");
}

pub fn problems(report: &Synced) {
    for problem in &report.problems {
        println!("not in force as written: {problem}");
    }
}

pub fn outcome(check: &Check, outcome: &Outcome) {
    println!("  expected  {}", check.expected.text());
    match outcome.as_expected {
        true => println!(
            "  came      {}  {}",
            outcome.came,
            "as expected".if_supports_color(Stdout, |t| t.green())
        ),
        false => println!(
            "  came      {}  {}",
            outcome.came,
            "DIFFERENT".if_supports_color(Stdout, |t| t.red())
        ),
    }
    if let Some(explained) = &outcome.explained {
        why(check, explained);
    }
}

/// What Weir says of both ends. The end that denies is what people look for, so it comes alone.
fn why(check: &Check, explained: &Result<Value>) {
    let value = match explained {
        Ok(value) => value,
        Err(error) => return reason("asked", &format!("{error:#}")),
    };
    if value["verdict"] != check.expected.verdict() {
        let text = format!(
            "says {}, expected {}",
            value["verdict"],
            check.expected.verdict()
        );
        reason("verdict", &text.if_supports_color(Stdout, |t| t.red()));
    }
    let denied = |side: &&str| value[*side]["verdict"] != "allow";
    let sides = ["egress", "ingress"];
    let deciding: Vec<&str> = sides.iter().copied().filter(denied).collect();
    let shown = if deciding.is_empty() {
        sides.to_vec()
    } else {
        deciding
    };
    for side in shown {
        let text = value[side]["reason"].as_str().unwrap_or("no reason given");
        reason(side, &text);
        if let Some(nearest) = value[side]["nearest_miss"]["text"].as_str() {
            reason("nearest", &nearest);
        }
    }
}

fn reason(side: &str, text: &dyn Display) {
    let line = format!("  weir      {side}: {text}");
    println!("{}", line.if_supports_color(Stdout, |t| t.yellow()));
}

/// The heading of what was denied last.
pub fn last(words: &str) {
    println!("\nWhat was denied last, and why:");
    command(&format!("weir {words}"));
}

/// Where the same is to be seen in other ways.
pub fn where_to_look(name: &str, log: &Path, socket: Option<&Path>) {
    let rows = [
        ("map in a browser", format!("weir ui --lab {name}")),
        ("follow", format!("weir observe --lab {name} -f")),
        ("denials as a log", format!("grep DENY {}", log.display())),
        (
            "metrics",
            format!("weir lab exec --name {name} @node -- curl -s 127.0.0.1:9965/metrics"),
        ),
    ];
    println!("\nWhere to look while a lab is up (weir lab demo --keep leaves this one up):");
    for (what, how) in rows {
        println!("  {what:<17} {how}");
    }
    if let Some(socket) = socket {
        println!(
            "  {:<17} hubble observe --server unix://{}",
            "Hubble's client",
            socket.display()
        );
    }
}

pub fn closing(checks: usize, differences: usize, took: Duration, kept: Option<&String>) {
    let seconds = took.as_secs();
    println!();
    match differences {
        0 => println!("All {checks} checks came as expected, in {seconds} s."),
        some => println!("{some} of {checks} checks came differently, in {seconds} s."),
    }
    if let Some(name) = kept {
        println!("The lab is still up: weir lab down --name {name}");
    }
}
