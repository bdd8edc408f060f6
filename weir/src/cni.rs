//! The CNI plugin `weir-cni`: chained behind the node's own plugins, it has a pod's policy in
//! force before the pod's first process starts.
//!
//! It is this same program under another name; what it does is ask the agent. Where the agent is
//! away the pod does not start, and the container runtime tries again: with `"agentAway": "open"`
//! it starts, and is under policy once the agent has found it.
//!
//! Protocol: CNI Specification 1.1.0 (containernetworking/cni, SPEC.md).

pub mod chain;
mod protocol;

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use weir_redirector::network::veth;

use protocol::{Call, Fault, addresses};

/// Name under which runtimes call the plugin.
pub const NAME: &str = "weir-cni";
/// How long an agent that is away is waited for; the runtime then tries again by itself.
const AWAY: Duration = Duration::from_secs(10);
/// How long an agent that is there may take.
const ANSWER: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

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
                println!("{answer}");
            }
            ExitCode::SUCCESS
        }
        Err(fault) => {
            println!("{}", fault.json(&version));
            ExitCode::FAILURE
        }
    }
}

fn serve(call: &Call) -> Result<Option<Value>, Fault> {
    match call.command.as_str() {
        "VERSION" => Ok(Some(protocol::versions())),
        "ADD" => add(call).map(Some),
        "CHECK" => check(call).map(|()| None),
        "DEL" => {
            // The pod goes in any case; the agent notices by itself that its interface is gone.
            if let Err(fault) = ask(
                call,
                Duration::ZERO,
                &json!({"command": "detach", "container": call.container}),
            ) {
                eprintln!("weir-cni: {fault}");
            }
            Ok(None)
        }
        "GC" => {
            let containers = call.valid_containers()?;
            ask(
                call,
                Duration::ZERO,
                &json!({"command": "keep", "containers": containers}),
            )?;
            Ok(None)
        }
        "STATUS" => match ask(call, Duration::ZERO, &json!({"command": "alive"})) {
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
    let Some((namespace, name)) = call.pod() else {
        // Not Kubernetes' doing: no policy can select it.
        eprintln!("weir-cni: not a pod (no K8S_POD_NAME): passed on");
        return Ok(previous);
    };
    let netns = call.netns()?;
    let interface = veth::host_side(netns, Some(&call.interface)).map_err(|error| {
        Fault::new(
            protocol::NO_VETH,
            format!("{namespace}/{name}: {error}: Weir works with veth-based networks"),
        )
    })?;
    let attachment = json!({
        "command": "attach",
        "container": call.container,
        "namespace": namespace,
        "name": name,
        "uid": call.argument("K8S_POD_UID").unwrap_or_default(),
        "interface": interface,
        "netns": netns,
        "addresses": addresses(&previous)?,
    });
    match ask(call, AWAY, &attachment) {
        Ok(_) => Ok(previous),
        Err(fault) if fault.agent_away && call.open_without_agent() => {
            eprintln!("weir-cni: {namespace}/{name} starts without policy: {fault}");
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
    ask(
        call,
        AWAY,
        &json!({"command": "attached", "container": call.container}),
    )
    .map(drop)
}

/// Asks the agent; waits for one that is away.
fn ask(call: &Call, patience: Duration, question: &Value) -> Result<Value, Fault> {
    let socket = call.socket();
    let until = Instant::now() + patience;
    let stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() >= until => {
                return Err(Fault::away(format!(
                    "the Weir agent is away ({}: {error})",
                    socket.display()
                )));
            }
            Err(_) => thread::sleep(AGAIN),
        }
    };
    let answer = exchange(stream, question)
        .map_err(|error| Fault::away(format!("the Weir agent does not answer: {error}")))?;
    match answer["ok"].as_bool() {
        Some(true) => Ok(answer),
        _ => {
            let reason = answer["error"].as_str().unwrap_or("it does not say why");
            Err(Fault::new(
                protocol::TRY_AGAIN,
                format!("the Weir agent refuses: {reason}"),
            ))
        }
    }
}

fn exchange(mut stream: UnixStream, question: &Value) -> io::Result<Value> {
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(1 << 20)).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(io::Error::from)
}

/// Where the agent of the node's instance listens.
pub fn default_socket() -> PathBuf {
    PathBuf::from("/run/weir/weir/agent.sock")
}
