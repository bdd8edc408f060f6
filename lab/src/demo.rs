//! The Cilium workshop's lab as a guided run: the scenario `s4` with everything that is applied, and
//! where to look at the same in a lab of one's own.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::lab::Lab;
use crate::scenario::{self, Options, Telling};
use crate::state::Topology;

/// The scenario that is shown.
const SCENARIO: &str = "s4";

/// Runs the demo in a lab of this name and takes it down again, unless it is kept; true when
/// everything came as expected.
pub fn run(name: String, topology: Topology, keep: bool) -> Result<bool> {
    let loaded = scenario::load(SCENARIO)?;
    println!("A Kubernetes node on this machine, as lab {name:?}: pods are network namespaces,");
    println!("services are nftables rules, policy is enforced by weir agent and weir proxy.\n");
    let options = Options {
        lab: name,
        topology,
        keep,
        telling: Telling::Everything,
        program: None,
    };
    let outcome = scenario::run_and(loaded, &options, |lab| {
        last_denials(lab, &options.lab)?;
        where_to_look(lab, &options.lab)
    })?;
    Ok(outcome.differences == 0)
}

/// What was denied last, as a user asks for it.
fn last_denials(lab: &Lab, name: &str) -> Result<()> {
    let line =
        format!("observe --lab {name} --verdict DROPPED --type policy-verdict,l7 --last 4 --why");
    println!("\nWhat was denied last, and why:");
    scenario::command_line(&format!("weir {line}"));
    let status = Command::new(lab.program()?)
        .args(line.split(' '))
        .status()
        .context("cannot run weir observe")?;
    anyhow::ensure!(status.success(), "weir observe failed");
    Ok(())
}

/// Where the same is to be seen in other ways.
fn where_to_look(lab: &Lab, name: &str) -> Result<()> {
    let log = lab.log_path("flows", "default")?;
    let mut rows = vec![
        ("map in a browser", format!("weir ui --lab {name}")),
        ("follow", format!("weir observe --lab {name} -f")),
        ("denials as a log", format!("grep DENY {}", log.display())),
        (
            "metrics",
            format!("weir lab exec --lab {name} @node -- curl -s 127.0.0.1:9965/metrics"),
        ),
    ];
    if let Some(socket) = lab.observers()?.first() {
        let server = socket.display();
        rows.push((
            "Hubble's client",
            format!("hubble observe --server unix://{server}"),
        ));
    }
    println!("\nWhere to look while a lab is up (weir lab demo --keep leaves this one up):");
    for (what, how) in rows {
        println!("  {what:<17} {how}");
    }
    Ok(())
}
