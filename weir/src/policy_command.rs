//! `weir policy`: the policies in force, on this node and on all.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use kube::{Api, api::ListParams, core::DynamicObject};
use weir_cluster::kubernetes::{Progress, Resource, progress};
use weir_link::tools::{ListPolicies, Policies, Policy};

use crate::{
    ask::{Listing, Part},
    kubernetes::Kubeconfig,
    screen::{bad, good, many, table},
};

const EXAMPLES: &str = "Examples:
  weir policy get                               policies on this node, and what is refused of them
  weir policy get -o json
  weir policy get cnp/get-headers -n default
  weir policy get --context production          and on how many nodes of a cluster
  weir policy wait get-headers -n default       until every node enforces its present version
  weir policy wait get-headers --cluster-wide --timeout 30
";

const CLUSTER_WIDE: &str = "CiliumClusterwideNetworkPolicy";
const AGAIN: Duration = Duration::from_millis(500);

/// Show policies as they are in force, or wait until one is.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PolicyCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List policies: of this node's agent, or of all of a cluster's
    Get(Listing),
    /// Wait until every node enforces the present version of a CiliumNetworkPolicy
    Wait(Wait),
}

#[derive(Debug, Args)]
struct Wait {
    /// Name of the policy: NAME, cnp/NAME or ccnp/NAME
    policy: String,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// It is a CiliumClusterwideNetworkPolicy
    #[arg(long, conflicts_with = "namespace")]
    cluster_wide: bool,
    /// How long to wait at the most, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    cluster: Kubeconfig,
}

impl PolicyCommand {
    pub fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Get(get) => get.show(ListPolicies {}, listed),
            Action::Wait(wait) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(wait.run())
            }
        }
    }
}

/// One row for a policy that all nodes have in the same state.
fn listed(parts: &[Part<'_, Policies>], wide: bool) -> String {
    let mut rows: BTreeMap<Vec<String>, Vec<(&str, u64)>> = BTreeMap::new();
    for (node, answer) in parts {
        for policy in &answer.policies {
            let nodes = rows.entry(row(policy)).or_default();
            nodes.push((node.unwrap_or_default(), answer.revision));
        }
    }
    let several = parts.iter().any(|(node, _)| node.is_some());
    let join = |list: Vec<String>| list.join(", ");
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(mut row, nodes)| {
            let state = row.pop().unwrap_or_default();
            if several {
                row.push(format!("{}/{}", nodes.len(), parts.len()));
            }
            if wide {
                let of = |(node, revision): &(&str, u64)| match several {
                    true => format!("{node} ({revision})"),
                    false => revision.to_string(),
                };
                row.push(join(nodes.iter().map(of).collect()));
            }
            row.push(state);
            row
        })
        .collect();
    let mut titles = vec!["KIND", "NAMESPACE", "NAME", "GENERATION"];
    if several {
        titles.push("NODES");
    }
    if wide {
        titles.push("REVISION");
    }
    titles.push("STATE");
    table(&titles, &rows)
}

fn row(policy: &Policy) -> Vec<String> {
    let problems = policy.problems.iter();
    let refused: Vec<String> = problems
        .map(|problem| format!("{}: {}", problem.field, problem.reason))
        .collect();
    let state = match (refused.is_empty(), policy.audit) {
        (true, false) => good("in force"),
        (true, true) => good("audit"),
        (false, _) => bad(format!("refused: {}", refused.join("; "))),
    };
    let generation = policy.generation.map(|number| number.to_string());
    vec![
        policy.kind.clone(),
        policy.namespace.clone(),
        policy.name.clone(),
        generation.unwrap_or_default(),
        state,
    ]
}

impl Wait {
    async fn run(self) -> Result<ExitCode> {
        let (word, policy) = self.policy.split_once('/').unwrap_or(("", &self.policy));
        let kind = match (word, self.cluster_wide) {
            ("", true) => CLUSTER_WIDE.to_owned(),
            ("", false) => "CiliumNetworkPolicy".to_owned(),
            (word, _) => weir_lab::kind_from_word(word)
                .filter(|kind| kind.starts_with("Cilium") && kind.ends_with("NetworkPolicy"))
                .with_context(|| format!("{word:?} is neither cnp nor ccnp"))?,
        };
        let resource = Resource::of_kind(&kind).context("a kind that is watched")?;
        let client = self.cluster.client().await?;
        let api: Api<DynamicObject> = match kind == CLUSTER_WIDE {
            true => Api::all_with(client, &resource.api()),
            false => Api::namespaced_with(client, &self.namespace, &resource.api()),
        };
        let until = Instant::now() + Duration::from_secs(self.timeout);
        let only = format!("metadata.name={policy}");
        loop {
            // The agent's own role may list policies, but get none by its name.
            let listed = api.list(&ListParams::default().fields(&only)).await;
            let listed = listed
                .map_err(|error| match error {
                    kube::Error::Api(status) => anyhow::Error::msg(status.message),
                    other => other.into(),
                })
                .with_context(|| format!("cannot read {kind} {policy}"))?;
            let mut items = listed.items.into_iter();
            let object = items
                .find(|object| object.metadata.name.as_deref() == Some(policy))
                .with_context(|| format!("there is no {kind} {policy}"))?;
            let generation = object.metadata.generation.unwrap_or(0);
            let status = object
                .data
                .get("status")
                .unwrap_or(&serde_json::Value::Null);
            match progress(status, generation)? {
                Progress::Everywhere(nodes) => {
                    println!(
                        "generation {generation} is in force on {}",
                        many(nodes, "node", "nodes")
                    );
                    return Ok(ExitCode::SUCCESS);
                }
                Progress::Waiting(what) if Instant::now() >= until => {
                    eprintln!("weir: after {} s: {what}", self.timeout);
                    return Ok(ExitCode::FAILURE);
                }
                Progress::Waiting(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}
