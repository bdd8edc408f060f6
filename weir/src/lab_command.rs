//! `weir lab`: a Kubernetes node played on this machine, from the command line.

mod list;
mod run;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::agent_command::{DenyResponse, host_policies};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use weir_lab::kubectl::{Kubectl, Named, Shell, Verb, print_problems};
use weir_lab::{Lab, Part, Topology, UpOptions, workload};
use weir_policy::model::HostPolicies;

use crate::screen::many;

const EXAMPLES: &str = "Examples:
  weir lab up -f manifests/
  weir lab exec deploy/sleep -- curl -s httpbin:8000/headers
  weir lab apply -f policy.yaml
  weir lab delete netpol --all
  weir lab label ns dev team=blue
  weir lab run-pod probe --rm -l role=frontend -- curl -s httpbin:8000/ip
  weir lab rollout restart deploy/httpbin
  weir lab shell                      # a shell in which kubectl is the lab's
  weir lab ls
  weir lab list                       # all labs; WEIR_LAB says which one is meant
  weir lab logs agent -f
  weir lab down
  weir lab demo
  weir lab run --list
  weir lab run s0 --topology bridge
";

/// Play a Kubernetes node on this machine: pods are network namespaces, enforcement is real.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LabCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a lab from manifests and wait until all of it is in force
    Up(Up),
    /// Run the workshop's lab step by step, checked and explained
    Demo(Demo),
    /// Run a scenario: what is done, what must come, what came
    Run(run::Run),
    #[command(flatten)]
    Verb(Verb),
    /// A line of a text as it is typed after kubectl
    Kubectl(Kubectl),
    /// Open a shell in which kubectl is the lab's own
    Shell(Shell),
    /// List the pods
    Ls(list::Ls),
    /// List the labs that are up
    List(list::Labs),
    /// Start the agent or the proxy again, or make a Deployment's pods anew
    Restart(Restart),
    /// Take a lab down; nothing of it is left
    Down(Down),
    #[command(hide = true)]
    Workload(Workload),
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    lab: Named,
    /// Files and folders of manifests; - is standard input
    #[arg(short = 'f', long = "filename", required = true)]
    files: Vec<PathBuf>,
    /// How pods are joined to the node
    #[arg(long, value_enum, default_value_t = TopologyName::Routed)]
    topology: TopologyName,
    /// Namespace of objects that name none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Nodes: pods with `nodeName: lab-node2` are on the second one
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Judge simple requests in the kernel
    #[arg(long)]
    l7_kernel: bool,
    /// What a pod is told whose packet its egress rules deny
    #[arg(long, value_enum, default_value_t = DenyResponse::None)]
    policy_deny_response: DenyResponse,
    /// What becomes of policies that select nodes
    #[arg(long, value_parser = host_policies(), default_value = "audit")]
    host_policies: HostPolicies,
    /// A plain node, without agent and proxy
    #[arg(long, hide = true)]
    no_agent: bool,
}

#[derive(Debug, Args)]
struct Demo {
    /// Name of the lab that it is run in
    #[arg(
        long = "lab",
        alias = "name",
        value_name = "NAME",
        default_value = "demo"
    )]
    name: String,
    /// How pods are joined to the node
    #[arg(long, value_enum, default_value_t = TopologyName::Routed)]
    topology: TopologyName,
    /// Leave the lab up at the end
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TopologyName {
    /// A link and a route for each pod
    Routed,
    /// All pods on one bridge
    Bridge,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Debug, Args)]
struct Restart {
    #[command(flatten)]
    lab: Named,
    /// agent, proxy or deploy/NAME
    what: String,
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Debug, Args)]
struct Down {
    #[command(flatten)]
    lab: Named,
}

#[derive(Debug, Args)]
struct Workload {
    kind: String,
    #[arg(long)]
    pod: String,
    #[arg(long)]
    tcp: Vec<u16>,
    #[arg(long)]
    udp: Vec<u16>,
    #[arg(long)]
    sctp: Vec<u16>,
    #[arg(long)]
    zone: Option<PathBuf>,
    #[arg(long, allow_hyphen_values = true)]
    env: Vec<String>,
}

// === impl LabCommand ===

impl LabCommand {
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Up(up) => up.run(),
            Command::Demo(demo) => demo.run(),
            Command::Run(run) => run.run(),
            Command::Verb(verb) => verb.run(),
            Command::Kubectl(kubectl) => kubectl.run(),
            Command::Shell(shell) => shell.run(),
            Command::Ls(ls) => ls.run(),
            Command::List(ls) => ls.run(),
            Command::Restart(restart) => restart.run(),
            Command::Down(down) => {
                match Lab::remove(&down.lab.name)? {
                    true => println!("lab {} is down", down.lab.name),
                    false => println!("there is no lab {}", down.lab.name),
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Workload(workload) => workload.run(),
        }
    }
}

impl Up {
    fn run(self) -> Result<ExitCode> {
        let (lab, report) = Lab::up(UpOptions {
            name: self.lab.name.clone(),
            topology: self.topology.into(),
            manifests: self.files,
            namespace: self.namespace,
            weir: !self.no_agent,
            nodes: self.nodes,
            l7_kernel: self.l7_kernel,
            deny_icmp: self.policy_deny_response == DenyResponse::Icmp,
            host_policies: self.host_policies,
            ..UpOptions::default()
        })?;
        print_problems(&report);
        let pods = many(lab.pods()?.len(), "pod", "pods");
        lab.keep();
        let name = self.lab.name;
        match self.no_agent {
            true => println!("lab {name} is up: {pods}, without Weir"),
            false => println!("lab {name} is up: {pods}, policy in force"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Demo {
    fn run(self) -> Result<ExitCode> {
        match weir_lab::demo::run(self.name, self.topology.into(), self.keep)? {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(ExitCode::FAILURE),
        }
    }
}

impl From<TopologyName> for Topology {
    fn from(name: TopologyName) -> Self {
        match name {
            TopologyName::Routed => Topology::Routed,
            TopologyName::Bridge => Topology::Bridge,
        }
    }
}

impl Restart {
    fn run(self) -> Result<ExitCode> {
        let lab = Lab::open(&self.lab.name)?;
        match self.what.as_str() {
            "agent" => print_problems(&lab.restart(Part::Agent)?),
            "proxy" => print_problems(&lab.restart(Part::Proxy)?),
            "takeover" => print_problems(&lab.restart(Part::Takeover)?),
            other => {
                let (word, name) = other
                    .split_once('/')
                    .context("restart agent, proxy or deploy/NAME")?;
                let kind = weir_lab::kind_from_word(word)
                    .with_context(|| format!("there is no kind {word:?}"))?;
                print_problems(&lab.rollout_restart(&kind, &self.namespace, name)?.report);
            }
        }
        println!("{} restarted", self.what);
        Ok(ExitCode::SUCCESS)
    }
}

impl Workload {
    fn run(self) -> Result<ExitCode> {
        let env: BTreeMap<String, String> = self
            .env
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        workload::run(workload::Options {
            kind: self.kind,
            tcp: self.tcp,
            udp: self.udp,
            sctp: self.sctp,
            pod: self.pod,
            zone: self.zone.unwrap_or_default(),
            env,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
