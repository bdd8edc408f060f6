//! kubectl's words for a lab: what a text says to type, without a cluster and without kubectl.
//!
//! ```text
//!  weir lab VERB          ─┐
//!  weir lab kubectl VERB   ├─▶ Verb ──▶ Lab (view, change, command)
//!  kubectl VERB (a link)  ─┘      └──▶ print: table, template, describe
//! ```
//!
//! Verbs, options and outputs follow kubectl's reference on kubernetes.io; what a lab has no use for
//! is refused, and not taken silently.

mod age;
mod changes;
mod debug;
mod describe;
mod edit;
mod exec;
mod forward;
mod get;
mod logs;
mod print;
mod rollout;
mod run_pod;
mod select;
mod shell;
mod table;
mod template;
mod words;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::lab::{Applied, Lab};

pub use shell::Shell;
pub use words::{Kubectl, is_called, main};

/// Which lab a command means.
#[derive(Debug, Clone, Args)]
pub struct Named {
    /// Which lab: several can be up at once
    #[arg(
        long = "lab",
        alias = "name",
        value_name = "NAME",
        env = "WEIR_LAB",
        default_value = "lab",
        hide_env_values = true
    )]
    pub name: String,
}

/// A lab, and the namespace of what is not said to be in another.
#[derive(Debug, Clone, Args)]
pub struct Scope {
    #[command(flatten)]
    lab: Named,
    /// The namespace of what names none
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

/// What is done with a lab's objects and pods.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Apply manifests, as kubectl does
    Apply(changes::Apply),
    /// Create what manifests describe, or a namespace
    Create(changes::Create),
    /// Open a shell on a node (node/NAME), with the machine's tools
    Debug(debug::Debug),
    /// Delete what manifests describe, or KIND NAME, or KIND --all
    Delete(changes::Delete),
    /// Show an object in sentences: pods, services, policies
    Describe(describe::Describe),
    /// Change an object in $EDITOR
    Edit(edit::Edit),
    /// Run a command in a pod (NS/POD, POD, deploy/NAME), or in @node or @world
    Exec(exec::Exec),
    /// Show objects: a table, YAML, JSON or what a template makes of them
    Get(get::Get),
    /// Set labels of an object (KEY=VALUE), or take them away (KEY-)
    Label(changes::Label),
    /// Show the log of a pod, the agent or the proxy
    Logs(logs::Logs),
    /// Merge a piece of JSON or YAML into an object, as kubectl patch --type merge does
    Patch(changes::Patch),
    /// Lead ports of this machine to a pod's
    PortForward(forward::PortForward),
    /// Restart a Deployment's pods, or wait until they are ready
    Rollout(rollout::Rollout),
    /// Make a pod; with -it or --rm for one command
    RunPod(run_pod::RunPod),
}

/// A verb with its words, where they are parsed by themselves.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl",
    bin_name = "kubectl",
    no_binary_name = true,
    about = "kubectl's words for a lab",
    after_help = words::EXAMPLES
)]
struct Alone {
    #[command(subcommand)]
    verb: Verb,
}

// === impl Scope ===

impl Scope {
    fn open(&self) -> Result<Lab> {
        Lab::open(&self.lab.name)
    }
}

// === impl Verb ===

impl Verb {
    /// Does it. What it shows goes to standard output.
    ///
    /// # Errors
    /// There is no such lab or object, or what was asked for cannot be.
    pub fn run(self) -> Result<ExitCode> {
        let done = |()| ExitCode::SUCCESS;
        match self {
            Verb::Apply(verb) => verb.run().map(done),
            Verb::Create(verb) => verb.run().map(done),
            Verb::Debug(verb) => verb.run(),
            Verb::Delete(verb) => verb.run().map(done),
            Verb::Describe(verb) => verb.run().map(done),
            Verb::Edit(verb) => verb.run().map(done),
            Verb::Exec(verb) => verb.run(),
            Verb::Get(verb) => verb.run().map(done),
            Verb::Label(verb) => verb.run().map(done),
            Verb::Logs(verb) => verb.run().map(done),
            Verb::Patch(verb) => verb.run().map(done),
            Verb::PortForward(verb) => verb.run().map(done),
            Verb::Rollout(verb) => verb.run().map(done),
            Verb::RunPod(verb) => verb.run(),
        }
    }
}

/// What became of each object, as kubectl prints it; what is refused goes where errors go.
pub fn print_changes(applied: &Applied) {
    for change in &applied.changes {
        match (change.what, change.resource.split_once('/')) {
            ("deleted", Some((kind, name))) => println!("{kind} \"{name}\" deleted"),
            (what, _) => println!("{} {what}", change.resource),
        }
    }
    print_problems(&applied.report);
}

/// What is not in force as written; the rest of the policies are.
pub fn print_problems(report: &weir_link::tools::Synced) {
    for problem in &report.problems {
        eprintln!("not in force as written: {}", problem.of_object());
    }
}
