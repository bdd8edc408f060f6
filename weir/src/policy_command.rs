//! `weir policy`: the policies in force, on this node and on all.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use kube::{Api, core::DynamicObject};
use serde_json::Value;
use weir_cluster::kubernetes::Resource;
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
            let progress = progress(&object.data["status"], generation)?;
            match progress {
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

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Everywhere(u64),
    Waiting(String),
}

/// How far a policy is, by its status. A refused one never gets there.
fn progress(status: &Value, generation: i64) -> Result<Progress> {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let valid = conditions
        .filter(|condition| condition["observedGeneration"].as_i64() == Some(generation))
        .find(|condition| condition["type"] == "Valid");
    match valid.map(|valid| (&valid["status"], &valid["message"])) {
        None => {
            return Ok(Progress::Waiting(
                "no agent has looked at it yet".to_owned(),
            ));
        }
        Some((status, message)) if status != "True" => {
            bail!("refused: {}", message.as_str().unwrap_or_default())
        }
        Some(_) => {}
    }
    let weir = &status["weir"];
    let number = |name: &str| weir[name].as_u64();
    match (number("nodesEnforced"), number("nodesTotal")) {
        (Some(enforced), Some(total))
            if enforced == total && weir["revision"].as_i64() == Some(generation) =>
        {
            Ok(Progress::Everywhere(total))
        }
        (Some(enforced), Some(total)) => Ok(Progress::Waiting(format!(
            "{enforced} of {total} nodes enforce it"
        ))),
        _ => bail!(
            "the cluster has more than 100 nodes, for which no node is counted: ask them with \
             `weir policy get`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_present_version_on_every_node_counts() {
        let status = |generation: i64, enforced: u64, valid: &str| {
            json!({
                "conditions": [{"type": "Valid", "status": valid, "message": "spec: wrong",
                    "observedGeneration": generation}],
                "weir": {"nodesEnforced": enforced, "nodesTotal": 2, "revision": generation},
            })
        };
        assert_eq!(
            progress(&status(3, 2, "True"), 3).unwrap(),
            Progress::Everywhere(2)
        );
        for waiting in [status(3, 1, "True"), status(2, 2, "True"), json!({})] {
            assert!(
                matches!(progress(&waiting, 3).unwrap(), Progress::Waiting(_)),
                "{waiting}"
            );
        }
        assert!(
            progress(&status(3, 2, "False"), 3)
                .unwrap_err()
                .to_string()
                .contains("spec: wrong")
        );
    }
}
