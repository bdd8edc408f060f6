//! `weir policy`: the policies in force, on this node and on all.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use kube::{Api, core::DynamicObject};
use weir_cluster::kubernetes::{Progress, Resource, progress};
use weir_link::tools::{ListPolicies, Policies, Policy};

use crate::{
    ask::Listing,
    kubernetes,
    screen::{bad, good, table},
};

const EXAMPLES: &str = "Examples:
  weir policy get                               policies on this node, and what is refused of them
  weir policy get -o json
  weir policy wait get-headers -n default       until every node enforces its present version
  weir policy wait get-headers --cluster-wide --timeout 30
";

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
    /// List the policies of this node's agent
    Get(Listing),
    /// Wait until every node enforces the present version of a CiliumNetworkPolicy
    Wait(Wait),
}

#[derive(Debug, Args)]
struct Wait {
    /// Name of the policy
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
    /// kubeconfig of the cluster
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl PolicyCommand {
    pub fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Get(get) => {
                let narrow = |answer: &mut Policies, namespace: &str| {
                    answer.policies.retain(|of| of.namespace == namespace);
                };
                get.show(ListPolicies {}, narrow, listed)?;
                Ok(ExitCode::SUCCESS)
            }
            Action::Wait(wait) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(wait.run())
            }
        }
    }
}

fn listed(answer: &Policies) -> String {
    let row = |policy: &Policy| {
        let problems = policy.problems.iter();
        let refused: Vec<String> = problems
            .map(|problem| format!("{}: {}", problem.field, problem.reason))
            .collect();
        let state = match (refused.is_empty(), policy.audit) {
            (true, false) => good("in force"),
            (true, true) => good("audit"),
            (false, _) => bad(format!("refused: {}", refused.join("; "))),
        };
        vec![
            policy.kind.clone(),
            policy.namespace.clone(),
            policy.name.clone(),
            policy
                .generation
                .map_or_else(String::new, |number| number.to_string()),
            state,
        ]
    };
    let rows: Vec<Vec<String>> = answer.policies.iter().map(row).collect();
    table(&["KIND", "NAMESPACE", "NAME", "GENERATION", "STATE"], &rows)
}

impl Wait {
    async fn run(self) -> Result<ExitCode> {
        let kind = match self.cluster_wide {
            true => "CiliumClusterwideNetworkPolicy",
            false => "CiliumNetworkPolicy",
        };
        let resource = Resource::of_kind(kind).context("a kind that is watched")?;
        let client = kubernetes::client(self.kubeconfig.as_deref()).await?;
        let api: Api<DynamicObject> = match self.cluster_wide {
            true => Api::all_with(client, &resource.api()),
            false => Api::namespaced_with(client, &self.namespace, &resource.api()),
        };
        let until = Instant::now() + Duration::from_secs(self.timeout);
        loop {
            let object = api
                .get(&self.policy)
                .await
                .with_context(|| format!("cannot read {kind} {}", self.policy))?;
            let generation = object.metadata.generation.unwrap_or(0);
            let status = object
                .data
                .get("status")
                .unwrap_or(&serde_json::Value::Null);
            match progress(status, generation)? {
                Progress::Everywhere(nodes) => {
                    println!("generation {generation} is in force on {nodes} nodes");
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
