//! `weir endpoint`: the pods of this node, and what is in force for them.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    ask::Listing,
    screen::{bad, table},
};

const EXAMPLES: &str = "Examples:
  weir endpoint list
  weir endpoint list -n default -o json
";

/// Show the pods of this node that are under policy.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EndpointCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them: in which directions policies select them, and which
    List(Listing),
}

impl EndpointCommand {
    pub fn run(self) -> Result<()> {
        let Action::List(list) = self.action;
        list.show("endpoints", "endpoints", text)
    }
}

fn text(answer: &Value) -> String {
    let list = |value: &Value| {
        let all = value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        all.collect::<Vec<_>>().join(", ")
    };
    let side = |side: &Value| match (side["enforced"].as_bool(), list(&side["policies"])) {
        (Some(true), policies) if policies.is_empty() => "default deny".to_owned(),
        (Some(true), policies) => policies,
        _ => "open".to_owned(),
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let endpoints = answer["endpoints"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = endpoints
        .map(|endpoint| {
            vec![
                word(&endpoint["namespace"]),
                match endpoint["orphan"].as_bool() {
                    Some(true) => format!("{} (orphan)", word(&endpoint["name"])),
                    _ => word(&endpoint["name"]),
                },
                list(&endpoint["addresses"]),
                word(&endpoint["interface"]),
                side(&endpoint["ingress"]),
                side(&endpoint["egress"]),
            ]
        })
        .collect();
    let titles = [
        "NAMESPACE",
        "POD",
        "ADDRESSES",
        "INTERFACE",
        "INGRESS",
        "EGRESS",
    ];
    let mut text = table(&titles, &rows);
    for pod in answer["unmanaged"].as_array().into_iter().flatten() {
        let (pod, reason) = (word(&pod["pod"]), word(&pod["reason"]));
        text.push_str(&format!("{} {pod}: {reason}\n", bad("not under policy")));
    }
    text
}
