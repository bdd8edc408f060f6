//! `weir endpoint`: the pods of this node, and what is in force for them.

use anyhow::Result;
use clap::{Args, Subcommand};
use weir_link::tools::{Endpoint, EndpointSide, Endpoints, ListEndpoints, Unmanaged};

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
        let narrow = |answer: &mut Endpoints, namespace: &str| {
            answer.endpoints.retain(|of| of.pod.namespace == namespace);
        };
        list.show(ListEndpoints {}, narrow, text)
    }
}

fn text(answer: &Endpoints) -> String {
    let join = |list: &mut dyn Iterator<Item = String>| list.collect::<Vec<_>>().join(", ");
    let side = |side: &EndpointSide| match (side.enforced, side.policies.is_empty()) {
        (true, true) => "default deny".to_owned(),
        (true, false) => join(&mut side.policies.iter().cloned()),
        (false, _) => "open".to_owned(),
    };
    let row = |endpoint: &Endpoint| {
        vec![
            endpoint.pod.namespace.clone(),
            match endpoint.orphan {
                true => format!("{} (orphan)", endpoint.pod.name),
                false => endpoint.pod.name.clone(),
            },
            join(&mut endpoint.addresses.iter().map(ToString::to_string)),
            endpoint.interface.clone(),
            side(&endpoint.ingress),
            side(&endpoint.egress),
        ]
    };
    let rows: Vec<Vec<String>> = answer.endpoints.iter().map(row).collect();
    let titles = [
        "NAMESPACE",
        "POD",
        "ADDRESSES",
        "INTERFACE",
        "INGRESS",
        "EGRESS",
    ];
    let mut text = table(&titles, &rows);
    for Unmanaged { pod, reason } in &answer.unmanaged {
        text.push_str(&format!("{} {pod}: {reason}\n", bad("not under policy")));
    }
    text
}
