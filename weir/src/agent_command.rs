//! `weir agent`: keeps this node's kernel and proxy in step with the objects.

mod observing;
mod reporting;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use ipnet::IpNet;
use tokio::signal::unix::{SignalKind, signal};
use weir_agent::{Agent, Options, Origin, alone, cni::Chain};
use weir_link::Instance;
use weir_policy::model::HostPolicies;
use weir_redirector::{MapSize, MapSizes, Pins, Redirector};

use crate::{kubernetes, manifests::Named};
use observing::ObserveFlags;
use reporting::ReportFlags;

const EXAMPLES: &str = "Examples:
  weir agent --manifests /etc/weir/manifests
  weir agent --manifests ./manifests --node worker-1 --instance weir
  weir agent --manifests ./manifests --metrics 127.0.0.1:9965 --flow-log-all
  weir agent --cluster --node-name worker-1 --health 127.0.0.1:9878
  weir agent --cluster --kubeconfig ~/.kube/config
  weir agent --manifests ./manifests --map-size conntrack=131072,addresses=65536
";

/// Enforce policies on this node, from a cluster's API or from a folder of manifests; changes are
/// in force without a restart.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AgentCommand {
    /// Folder (or file) of manifests: Namespace, Pod, Node, Service, EndpointSlice, Endpoints and the
    /// policies
    #[arg(
        long,
        required_unless_present = "cluster",
        conflicts_with = "cluster",
        value_name = "PATH"
    )]
    manifests: Vec<PathBuf>,
    /// Watch the API of a cluster: the one that this pod runs in, or the one of the kubeconfig
    #[arg(long)]
    cluster: bool,
    /// kubeconfig of the cluster [default: the pod's service account, else KUBECONFIG, else
    /// ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "cluster")]
    kubeconfig: Option<PathBuf>,
    /// Name of this instance: names its pins, sockets and network namespaces
    #[arg(
        long = "instance",
        alias = "name",
        value_name = "NAME",
        default_value = "weir"
    )]
    name: String,
    /// Name of this node; pods of other nodes are peers only [default: the host's name]
    #[arg(
        long,
        visible_alias = "node-name",
        env = "NODE_NAME",
        value_name = "NAME"
    )]
    node: Option<String>,
    /// Answer probes on this address: /livez and /readyz
    #[arg(long, value_name = "ADDRESS")]
    health: Option<SocketAddr>,
    /// Keep the CNI plugin in the configuration in this folder, so that new pods start under policy
    #[arg(long, value_name = "FOLDER", requires_all = ["cluster", "cni_bin_dir"])]
    cni_conf_dir: Option<PathBuf>,
    /// Folder of the CNI plugins' programs, for --cni-conf-dir
    #[arg(long, value_name = "FOLDER", requires = "cni_conf_dir")]
    cni_bin_dir: Option<PathBuf>,
    /// Let pods start without policy while the agent is away
    #[arg(long, requires = "cni_conf_dir")]
    cni_open: bool,
    /// Room of a kernel map: endpoints, addresses, policy, services, backends or conntrack. Other
    /// sizes than before begin with empty maps
    #[arg(long, value_name = "NAME=ENTRIES", value_delimiter = ',')]
    map_size: Vec<MapSize>,
    /// Addresses of pods, beside `spec.podCIDRs` of Nodes: one whose pod is not known is nobody's of
    /// the world. May be given several times
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        env = "WEIR_POD_CIDRS"
    )]
    pod_cidr: Vec<IpNet>,
    /// Judge simple requests in the kernel, where `weir takeover` runs: the proxy then sees only
    /// connections with others
    #[arg(long, value_enum, default_value_t = Switch::Off, env = "WEIR_L7_KERNEL")]
    l7_kernel: Switch,
    /// What a pod is told whose packet its egress rules deny: nothing, or an ICMP error
    /// (administratively prohibited), so that it fails at once
    #[arg(
        long,
        value_enum,
        default_value_t = DenyResponse::None,
        env = "WEIR_POLICY_DENY_RESPONSE"
    )]
    policy_deny_response: DenyResponse,
    /// What becomes of policies that select nodes (`nodeSelector`): they are enforced, or only report
    /// what they would deny, or nothing
    #[arg(long, value_parser = host_policies(), default_value = "audit", env = "WEIR_HOST_POLICIES")]
    host_policies: HostPolicies,
    #[command(flatten)]
    cluster_name: Named,
    #[command(flatten)]
    observe: ObserveFlags,
    #[command(flatten)]
    reporting: ReportFlags,
}

/// Something that can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// How the mode of host policies is given.
pub fn host_policies() -> impl TypedValueParser<Value = HostPolicies> {
    PossibleValuesParser::new(HostPolicies::WORDS).try_map(|word| word.parse::<HostPolicies>())
}

/// What a denied pod is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DenyResponse {
    /// Nothing
    None,
    /// An ICMP error
    Icmp,
}

/// Remove everything an agent of this name has made: programs, maps, private networks, sockets.
#[derive(Debug, Args)]
pub struct CleanupCommand {
    /// Name of the instance
    #[arg(
        long = "instance",
        alias = "name",
        value_name = "NAME",
        default_value = "weir"
    )]
    name: String,
    /// Wait afterwards until told to stop, as the containers of a DaemonSet must
    #[arg(long)]
    hold: bool,
}

impl AgentCommand {
    pub fn run(self) -> Result<()> {
        let instance = Instance::new(&self.name)?;
        require_root("weir agent")?;
        weir_gate::descriptors::raise()?;
        let pins = Pins::new(instance.clone(), self.map_size.into_iter().collect());
        let node = match self.node {
            Some(node) => node,
            None => nix::unistd::gethostname()
                .context("the host's name cannot be read; give --node")?
                .to_string_lossy()
                .into_owned(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async move {
            let _alone = alone(&pins).await?;
            let origin = match self.cluster {
                true => Origin::Cluster(
                    kubernetes::client(self.kubeconfig.as_deref()).await?,
                    self.cluster_name.cluster_name,
                ),
                false => Origin::Manifests(self.manifests, self.cluster_name.cluster_name),
            };
            let chain = self
                .cni_conf_dir
                .zip(self.cni_bin_dir)
                .map(|(configs, programs)| Chain {
                    configs,
                    programs,
                    socket: instance.agent_socket(),
                    open_without_agent: self.cni_open,
                });
            let agent = Agent::start(Options {
                observe: self.observe.options(&instance),
                pins,
                origin,
                node,
                pod_ranges: self.pod_cidr,
                report: self.reporting.into(),
                host_policies: self.host_policies,
                kernel: weir_redirector::Options {
                    judges: self.l7_kernel == Switch::On,
                    answers: self.policy_deny_response == DenyResponse::Icmp,
                },
                health: self.health,
            })
            .await?;
            // Only now: a pod that starts finds an agent.
            if let Some(chain) = chain {
                tokio::spawn(async move {
                    if let Err(error) = chain.keep().await {
                        tracing::error!("new pods may start without policy: {error:#}");
                    }
                });
            }
            agent.run().await
        })
    }
}

impl CleanupCommand {
    pub fn run(self) -> Result<()> {
        let instance = Instance::new(&self.name)?;
        require_root("weir cleanup")?;
        Redirector::remove(&Pins::new(instance, MapSizes::default()))?;
        if self.hold {
            eprintln!("nothing of instance {} is left on this node", self.name);
            wait_for_the_end()?;
        }
        Ok(())
    }
}

fn wait_for_the_end() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

fn require_root(what: &str) -> Result<()> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "{what} needs root: it loads kernel programs and makes network namespaces; \
         nothing was changed"
    );
    Ok(())
}
