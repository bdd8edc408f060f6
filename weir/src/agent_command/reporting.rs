//! What an agent tells the API of a cluster, as its flags say.

use clap::Args;
use weir_agent::ReportOptions;

/// What the API of a cluster is told, and by whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reporting")]
pub struct ReportFlags {
    /// Name of the agent's own pod: its DaemonSet tells which nodes shall enforce a policy; else
    /// all nodes count
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
    /// Namespace of the agent's own pod
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pod_namespace: Option<String>,
    /// Tell pods that are not under policy by a condition, too; the agent needs the right to patch
    /// pods' status
    #[arg(long, requires = "cluster")]
    pod_conditions: bool,
}

impl From<ReportFlags> for ReportOptions {
    fn from(flags: ReportFlags) -> Self {
        Self {
            pod_name: flags.pod_name,
            pod_namespace: flags.pod_namespace,
            pod_conditions: flags.pod_conditions,
        }
    }
}
