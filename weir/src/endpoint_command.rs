//! `weir endpoint`: the pods of this node, and what is in force for them.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_link::tools::{Endpoint, EndpointSide, Endpoints, ListEndpoints, Unmanaged};

use crate::{
    ask::{Listing, Part},
    screen::{bad, table},
};

const EXAMPLES: &str = "Examples:
  weir endpoint list
  weir endpoint list -n default -o json
  weir endpoint list deploy/sleep -o wide
  weir endpoint list --context production       of all nodes of a cluster
";

/// Show the pods that are under policy: of this node, or of all nodes of a cluster.
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
    pub fn run(self) -> Result<ExitCode> {
        let Action::List(list) = self.action;
        list.show(ListEndpoints {}, text)
    }
}

fn text(parts: &[Part<'_, Endpoints>], wide: bool) -> String {
    let join = |list: &mut dyn Iterator<Item = String>| list.collect::<Vec<_>>().join(", ");
    let side = |side: &EndpointSide| match (side.enforced, side.policies.is_empty()) {
        (true, true) => "default deny".to_owned(),
        (true, false) => join(&mut side.policies.iter().cloned()),
        (false, _) => "open".to_owned(),
    };
    let row = |node: Option<&str>, endpoint: &Endpoint| {
        let mut row = vec![
            endpoint.pod.namespace.clone(),
            match endpoint.orphan {
                true => format!("{} (orphan)", endpoint.pod.name),
                false => endpoint.pod.name.clone(),
            },
            join(&mut endpoint.addresses.iter().map(ToString::to_string)),
            endpoint.interface.clone(),
            side(&endpoint.ingress),
            side(&endpoint.egress),
        ];
        if let Some(node) = node {
            row.insert(2, node.to_owned());
        }
        if wide {
            let labels = endpoint.labels.iter().flatten();
            row.push(join(
                &mut labels.map(|(key, value)| format!("{key}={value}")),
            ));
        }
        row
    };
    let mut rows = Vec::new();
    for (node, answer) in parts {
        rows.extend(answer.endpoints.iter().map(|endpoint| row(*node, endpoint)));
    }
    rows.sort();
    let mut titles = vec![
        "NAMESPACE",
        "POD",
        "ADDRESSES",
        "INTERFACE",
        "INGRESS",
        "EGRESS",
    ];
    if parts.iter().any(|(node, _)| node.is_some()) {
        titles.insert(2, "NODE");
    }
    if wide {
        titles.push("LABELS");
    }
    let mut text = table(&titles, &rows);
    for Unmanaged { pod, reason } in parts.iter().flat_map(|(_, answer)| &answer.unmanaged) {
        text.push_str(&format!("{} {pod}: {reason}\n", bad("not under policy")));
    }
    text
}
