//! The CNI plugin `weir-cni`: chained behind the node's own plugins, it has a pod's policy in
//! force before the pod's first process starts.
//!
//! It is this same program under another name; what it does is ask the agent. Where the agent is
//! away the pod does not start, and the container runtime tries again: with `"agentAway": "open"`
//! it starts, and is under policy once the agent has found it.
//!
//! Protocol: CNI Specification 1.1.0 (containernetworking/cni, SPEC.md).

mod chain;
mod protocol;

pub use chain::{Chain, Insertion};

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde_json::Value;
use weir_link::tools::{
    Alive, Asks, Attach, Attached, Attachment, Client, ClientError, Detach, Keep,
};
use weir_redirector::network::veth;

use protocol::{Call, Fault, addresses};

/// Name under which runtimes call the plugin.
pub const NAME: &str = "weir-cni";
/// How long an agent that is away is waited for; the runtime then tries again by itself.
const AWAY: Duration = Duration::from_secs(10);
/// How long an agent that is there may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Whether this process was called as the plugin.
pub fn is_called() -> bool {
    let name = std::env::args_os().next();
    name.is_some_and(|name| {
        Path::new(&name)
            .file_name()
            .is_some_and(|name| name == NAME)
    })
}

/// Serves one call.
#[expect(
    clippy::disallowed_methods,
    reason = "a CNI plugin is told by its environment"
)]
pub fn main() -> ExitCode {
    let call = Call::read(&|name| std::env::var(name).ok(), &mut io::stdin());
    let version = call
        .as_ref()
        .map_or_else(|_| "1.0.0".to_owned(), |call| call.version.clone());
    match call.and_then(|call| serve(&call)) {
        Ok(answer) => {
            if let Some(answer) = answer {
                print(&answer);
            }
            ExitCode::SUCCESS
        }
        Err(fault) => {
            print(&fault.json(&version));
            ExitCode::FAILURE
        }
    }
}

/// Where nobody reads, nobody is told.
fn print(answer: &Value) {
    writeln!(io::stdout(), "{answer}").ok();
}

fn serve(call: &Call) -> Result<Option<Value>, Fault> {
    match call.command.as_str() {
        "VERSION" => Ok(Some(protocol::versions())),
        "ADD" => add(call).map(Some),
        "CHECK" => check(call).map(|()| None),
        "DEL" => {
            // The pod goes in any case; the agent notices by itself that its interface is gone.
            let container = call.container.clone();
            if let Err(fault) = ask(call, Duration::ZERO, Detach { container }) {
                eprintln!("weir-cni: {fault}");
            }
            Ok(None)
        }
        "GC" => {
            let containers = call.valid_containers()?;
            ask(call, Duration::ZERO, Keep { containers })?;
            Ok(None)
        }
        "STATUS" => match ask(call, Duration::ZERO, Alive {}) {
            Ok(_) => Ok(None),
            Err(fault) => Err(Fault::new(protocol::NOT_AVAILABLE, fault.to_string())),
        },
        other => Err(Fault::new(
            protocol::INVALID_ENVIRONMENT,
            format!("CNI_COMMAND: `{}` is not a command", other.escape_debug()),
        )),
    }
}

fn add(call: &Call) -> Result<Value, Fault> {
    let previous = call.previous()?;
    let Some(pod) = call.pod() else {
        // Not Kubernetes' doing: no policy can select it.
        eprintln!("weir-cni: not a pod (no K8S_POD_NAME): passed on");
        return Ok(previous);
    };
    let netns = call.netns()?;
    let interface = veth::host_side(netns, Some(&call.interface)).map_err(|error| {
        Fault::new(
            protocol::NO_VETH,
            format!("{pod}: {error}: Weir works with veth-based networks"),
        )
    })?;
    let attachment = Attachment {
        container: call.container.clone(),
        pod: pod.clone(),
        uid: call.argument("K8S_POD_UID").unwrap_or_default().to_owned(),
        interface,
        netns: netns.to_owned(),
        addresses: addresses(&previous)?,
    };
    match ask(call, AWAY, Attach(attachment)) {
        Ok(_) => Ok(previous),
        Err(fault) if fault.agent_away && call.open_without_agent() => {
            eprintln!("weir-cni: {pod} starts without policy: {fault}");
            Ok(previous)
        }
        Err(fault) => Err(fault),
    }
}

fn check(call: &Call) -> Result<(), Fault> {
    call.previous()?;
    if call.pod().is_none() {
        return Ok(());
    }
    let container = call.container.clone();
    ask(call, AWAY, Attached { container }).map(drop)
}

/// Asks the agent; waits for one that is away.
fn ask<Q: Asks>(call: &Call, patience: Duration, question: Q) -> Result<Q::Answer, Fault> {
    let client = Client::new(&call.socket())
        .patient(patience)
        .answer_within(ANSWER);
    client.ask(question).map_err(|error| match error {
        ClientError::Refused { reason } => Fault::new(
            protocol::TRY_AGAIN,
            format!("the Weir agent refuses: {reason}"),
        ),
        away => Fault::away(format!("the Weir agent is away: {away}")),
    })
}
