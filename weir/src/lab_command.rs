//! `weir lab`: a Kubernetes node played on this machine, from the command line.

mod change;
mod list;
mod run;
mod run_pod;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::agent_command::DenyResponse;
use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use weir_lab::{Applied, Lab, Part, Topology, UpOptions, workload};
use weir_link::tools::Synced;

use crate::screen::many;

const EXAMPLES: &str = "Examples:
  weir lab up -f manifests/
  weir lab exec deploy/sleep -- curl -s httpbin:8000/headers
  weir lab apply -f policy.yaml
  weir lab delete netpol --all
  weir lab label ns dev team=blue
  weir lab run-pod probe --rm -l role=frontend -- curl -s httpbin:8000/ip
  weir lab rollout restart deploy/httpbin
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
    /// Run a command in a pod (NS/POD, POD, deploy/NAME), or in @node or @world
    Exec(Exec),
    /// Apply manifests, as kubectl does
    Apply(Apply),
    /// Delete what manifests describe, or KIND NAME, or KIND --all
    Delete(Delete),
    /// Set labels of an object (KEY=VALUE), or take them away (KEY-)
    Label(change::Label),
    /// Merge a piece of JSON or YAML into an object, as kubectl patch --type merge does
    Patch(change::Patch),
    /// Show objects as they are stored
    Get(change::Get),
    /// Restart a Deployment's pods: new ones with new addresses
    Rollout(change::Rollout),
    /// Make a pod for one command
    RunPod(run_pod::RunPod),
    /// List the pods
    Ls(list::Ls),
    /// List the labs that are up
    List(list::Labs),
    /// Show the log of the agent, the proxy or a pod
    Logs(Logs),
    /// Start the agent or the proxy again, or make a Deployment's pods anew
    Restart(Restart),
    /// Take a lab down; nothing of it is left
    Down(Down),
    #[command(hide = true)]
    Workload(Workload),
}

#[derive(Debug, Args)]
struct Named {
    /// Which lab: several can be up at once
    #[arg(
        long = "lab",
        alias = "name",
        value_name = "NAME",
        env = "WEIR_LAB",
        default_value = "lab",
        hide_env_values = true
    )]
    name: String,
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

#[derive(Debug, Args)]
struct Exec {
    #[command(flatten)]
    lab: Named,
    /// NS/POD, POD, deploy/NAME, NS/deploy/NAME, @node, @node2 or @world
    pod: String,
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The command, after --
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Debug, Args)]
struct Apply {
    #[command(flatten)]
    lab: Named,
    /// Files and folders of manifests; - is standard input
    #[arg(short = 'f', long = "filename", required = true)]
    files: Vec<PathBuf>,
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Debug, Args)]
struct Delete {
    #[command(flatten)]
    lab: Named,
    /// Delete what these manifests describe
    #[arg(short = 'f', long = "filename", conflicts_with_all = ["kind", "names", "all"])]
    files: Vec<PathBuf>,
    /// netpol, cnp, ccnp, po, deploy, svc, ns, ...; several with commas
    #[arg(required_unless_present = "files")]
    kind: Option<String>,
    names: Vec<String>,
    /// All of this kind in the namespace
    #[arg(long, conflicts_with = "names")]
    all: bool,
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Debug, Args)]
struct Logs {
    #[command(flatten)]
    lab: Named,
    /// agent, proxy, flows, @world or a pod
    #[arg(default_value = "agent")]
    of: String,
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
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
            Command::Exec(exec) => exec.run(),
            Command::Apply(apply) => {
                let lab = Lab::open(&apply.lab.name)?;
                print_changes(&lab.apply_paths(&apply.files, &apply.namespace)?);
                Ok(ExitCode::SUCCESS)
            }
            Command::Delete(delete) => delete.run(),
            Command::Label(label) => label.run(),
            Command::Patch(patch) => patch.run(),
            Command::Get(get) => get.run(),
            Command::Rollout(rollout) => rollout.run(),
            Command::RunPod(run_pod) => run_pod.run(),
            Command::Ls(ls) => ls.run(),
            Command::List(ls) => ls.run(),
            Command::Logs(logs) => logs.run(),
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

impl Exec {
    /// Becomes the command, so that its exit status and its signals are its own.
    fn run(self) -> Result<ExitCode> {
        let lab = Lab::open(&self.lab.name)?;
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let mut command = lab.command(&self.pod, &self.namespace, &words)?;
        let error = command.exec();
        eprintln!("weir lab exec: {}: {error}", self.command[0]);
        // As shells say it: 127 for a program that is not there, 126 for one that cannot be run.
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        Ok(ExitCode::from(if missing { 127 } else { 126 }))
    }
}

impl Delete {
    fn run(self) -> Result<ExitCode> {
        let lab = Lab::open(&self.lab.name)?;
        if !self.files.is_empty() {
            print_changes(&lab.delete_paths(&self.files, &self.namespace)?);
            return Ok(ExitCode::SUCCESS);
        }
        for word in self.kind.as_deref().unwrap_or_default().split(',') {
            let kind = weir_lab::kind_from_word(word)
                .with_context(|| format!("there is no kind {word:?}"))?;
            if self.all {
                let applied = lab.delete_all(&kind, &self.namespace)?;
                if applied.changes.is_empty() {
                    println!("No resources found");
                }
                print_changes(&applied);
            } else if self.names.is_empty() {
                bail!("name what to delete, or say --all");
            }
            for name in &self.names {
                print_changes(&lab.delete(&kind, &self.namespace, name)?);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Logs {
    fn run(self) -> Result<ExitCode> {
        let lab = Lab::open(&self.lab.name)?;
        let path = lab.log_path(&self.of, &self.namespace)?;
        if !path.exists() {
            bail!("{} has written no log", self.of);
        }
        if self.follow {
            // tail knows how to wait for more, on every file system.
            let mut tail = std::process::Command::new("tail");
            let error = tail.args(["-n", "+1", "-F"]).arg(&path).exec();
            return Err(error).context("cannot run `tail`");
        }
        let mut log = std::fs::File::open(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        std::io::copy(&mut log, &mut std::io::stdout().lock())?;
        Ok(ExitCode::SUCCESS)
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

fn print_changes(applied: &Applied) {
    for change in &applied.changes {
        match (change.what, change.resource.split_once('/')) {
            ("deleted", Some((kind, name))) => println!("{kind} \"{name}\" deleted"),
            (what, _) => println!("{} {what}", change.resource),
        }
    }
    print_problems(&applied.report);
}

/// What is refused goes where errors go; the rest of the policies are in force.
fn print_problems(report: &Synced) {
    for problem in &report.problems {
        eprintln!("not in force as written: {}", problem.of_object());
    }
}
