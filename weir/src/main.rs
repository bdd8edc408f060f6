//! The `weir` binary: the command line and the wiring behind it.
#![forbid(unsafe_code)]

mod agent_command;
mod ask;
mod cni_command;
mod crds_command;
mod diff_command;
mod endpoint_command;
mod explain_command;
mod gates;
mod kubernetes;
mod lab_command;
mod lint_command;
mod logging;
mod manifests;
mod manual_command;
mod observe_command;
mod policy_command;
mod proxy_command;
mod relay_command;
mod screen;
mod simulate_command;
mod status_command;
mod suggest_command;
mod takeover_command;
mod test_command;
mod ui_command;
mod webhook_command;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

const EXAMPLES: &str = "Examples:
  weir lab demo                                 watch a policy workshop happen on this machine
  weir lab up -f manifests/                     play a cluster of network namespaces
  weir simulate -f manifests/ --flows flows.jsonl
  weir explain -f manifests/ --from deploy/sleep --to svc/httpbin --port 8000 --http 'GET /ip'
  weir lint -f manifests/                       find mistakes in policies
  weir test policy-tests.yaml                   unit tests for policies
  weir diff -f old/ -f new/                     what other policies would change
  weir suggest --flows seen.jsonl               policies from recorded traffic
  weir observe --verdict DROPPED --why          what was denied, and why
  weir agent --cluster                          enforce on this node of a cluster
  weir status                                   how Weir is on this node
  weir status --context production              on every node of a cluster; also: kubectl weir status
  weir ui --lab lab                             a live map of the flows, in the browser
  weir relay --peer 192.0.2.1:4244              one address for the flows of all nodes
";

/// Kubernetes network policy that understands HTTP, without a sidecar.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXAMPLES)]
struct Weir {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Agent(Box<agent_command::AgentCommand>),
    Proxy(proxy_command::ProxyCommand),
    Takeover(takeover_command::TakeoverCommand),
    Lab(lab_command::LabCommand),
    Simulate(simulate_command::SimulateCommand),
    Explain(explain_command::ExplainCommand),
    Lint(lint_command::LintCommand),
    Test(test_command::TestCommand),
    Diff(diff_command::DiffCommand),
    Suggest(suggest_command::SuggestCommand),
    Observe(observe_command::ObserveCommand),
    Status(status_command::StatusCommand),
    Endpoint(endpoint_command::EndpointCommand),
    Policy(policy_command::PolicyCommand),
    Cni(cni_command::CniCommand),
    Crds(crds_command::CrdsCommand),
    Webhook(webhook_command::WebhookCommand),
    Ui(ui_command::UiCommand),
    Relay(relay_command::RelayCommand),
    Cleanup(agent_command::CleanupCommand),
    Completions(manual_command::CompletionsCommand),
    Man(manual_command::ManCommand),
    Version(manual_command::VersionCommand),
}

fn main() -> ExitCode {
    if weir_agent::cni::is_called() {
        return weir_agent::cni::main();
    }
    if weir_lab::kubectl::is_called() {
        return weir_lab::kubectl::main();
    }
    let weir = parsed();
    if let Err(error) = logging::start() {
        eprintln!("weir: {}", message(&error));
        return ExitCode::FAILURE;
    }
    let done = |()| ExitCode::SUCCESS;
    let result = match weir.command {
        Command::Agent(command) => command.run().map(done),
        Command::Proxy(command) => command.run().map(done),
        Command::Takeover(command) => command.run().map(done),
        Command::Lab(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Lint(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Diff(command) => return command.run(),
        Command::Suggest(command) => command.run(),
        Command::Observe(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Endpoint(command) => command.run(),
        Command::Policy(command) => command.run(),
        Command::Cni(command) => command.run().map(done),
        Command::Crds(command) => command.run(),
        Command::Webhook(command) => command.run(),
        Command::Ui(command) => command.run().map(done),
        Command::Relay(command) => command.run(),
        Command::Cleanup(command) => command.run().map(done),
        Command::Completions(command) => command.run().map(done),
        Command::Man(command) => command.run().map(done),
        Command::Version(command) => command.run().map(done),
    };
    result.unwrap_or_else(|error| {
        logging::last(&message(&error));
        ExitCode::FAILURE
    })
}

/// The command line, by the name under which it was called.
fn parsed() -> Weir {
    let command = match kubernetes::of_kubectl() {
        true => Weir::command().bin_name("kubectl weir"),
        false => Weir::command(),
    };
    let parsed = Weir::from_arg_matches(&command.get_matches());
    parsed.unwrap_or_else(|error| error.exit())
}

/// An error with its causes. Some errors say their cause themselves: it is not said twice.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let said = |outer: &'static str| message(&anyhow!("not permitted").context(outer));
        assert_eq!(said("cannot make it"), "cannot make it: not permitted");
        assert_eq!(said("make: not permitted"), "make: not permitted");
        let deep: anyhow::Result<()> = Err(anyhow!("c")).context("b: c").context("a");
        assert_eq!(message(&deep.unwrap_err()), "a: b: c");
    }
}
