//! `weir endpoint`: the pods of this node, and what is in force for them.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    ask::WhichAgent,
    screen::{Output, bad, emit, emit_json, table},
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
    List(List),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    agent: WhichAgent,
    /// Only pods of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl EndpointCommand {
    pub fn run(self) -> Result<()> {
        let Action::List(list) = self.action;
        let mut answer = list.agent.ask("endpoints")?;
        if let (Some(namespace), Some(endpoints)) =
            (&list.namespace, answer["endpoints"].as_array_mut())
        {
            endpoints.retain(|endpoint| endpoint["namespace"] == namespace.as_str());
        }
        match list.output {
            Output::Json => emit_json(&answer),
            Output::Text => Ok(emit(&text(&answer))?),
        }
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
                word(&endpoint["name"]),
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
