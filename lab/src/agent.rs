//! The real `weir agent` and `weir proxy` of a lab: starting them and speaking with the agent.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use weir_link::tools::{Asks, Client, ClientError, Explain, Sync, Synced};
use weir_policy::{explain::Explanation, verdict::Flow};

use crate::host::enter::Entrance;
use crate::host::process::{self, Process};
use crate::layout::Layout;
use crate::spawn;
use crate::state::{NodeState, State};

/// Loading programs takes seconds on a slow machine; past this something is wrong.
const START: Duration = Duration::from_secs(60);
/// Where a node's metrics are, in its netns.
const METRICS: &str = "127.0.0.1:9965";
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// Between two questions whether the proxy has come.
const AGAIN: Duration = Duration::from_millis(20);

/// Which of the processes of Weir.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Agent,
    Proxy,
    /// Only where the kernel judges requests.
    Takeover,
}

// === impl Part ===

impl Part {
    pub fn word(self) -> &'static str {
        match self {
            Part::Agent => "agent",
            Part::Proxy => "proxy",
            Part::Takeover => "takeover",
        }
    }

    pub fn process(self, node: &mut NodeState) -> &mut Option<Process> {
        match self {
            Part::Agent => &mut node.agent,
            Part::Proxy => &mut node.proxy,
            Part::Takeover => &mut node.takeover,
        }
    }
}

/// Starts the agent or the proxy in a node's netns unless it runs.
pub fn start(layout: &Layout, state: &mut State, index: usize, part: Part) -> Result<()> {
    let (l7_kernel, deny_icmp) = (state.l7_kernel, state.deny_icmp);
    let host_policies = state.host_policies.clone();
    let place = &mut state.nodes[index];
    let node = place.node;
    if part.process(place).is_some_and(Process::is_alive) {
        return Ok(());
    }
    let instance = layout.instance(node)?;
    let manifests = layout.manifests();
    let mut arguments = vec![part.word().into(), "--name".into(), instance.name().into()];
    if part == Part::Agent {
        arguments.push("--manifests".into());
        arguments.push(manifests.into_os_string());
        arguments.push("--node".into());
        arguments.push(node.name().into());
        arguments.push("--flow-log".into());
        arguments.push(layout.log(&format!("flows{}", node.suffix())).into());
        if l7_kernel {
            arguments.extend(["--l7-kernel".into(), "on".into()]);
        }
        if deny_icmp {
            arguments.extend(["--policy-deny-response".into(), "icmp".into()]);
        }
        if !host_policies.is_empty() {
            arguments.extend(["--host-policies".into(), host_policies.into()]);
        }
        // Each node's netns has a loopback of its own.
        arguments.extend(["--metrics".into(), METRICS.into()]);
    }
    let started = spawn::detached(
        &state.program,
        &arguments,
        Entrance::netns(&layout.node_netns(node))?,
        &layout.log(&format!("{}{}", part.word(), node.suffix())),
    )?;
    *part.process(place) = Some(started);
    Ok(())
}

/// Waits until the agent answers: its netns and programs are there then.
pub fn wait_ready(layout: &Layout, node: &NodeState) -> Result<()> {
    connect(layout, node)
        .map(drop)
        .map_err(|error| with_logs(layout, &error))
}

/// Makes the agent read its sources now and waits until all of it is in force. A proxy that runs
/// must acknowledge it too; one that died is only reported.
pub fn sync(layout: &Layout, state: &State) -> Result<Synced> {
    let mut reports = Vec::new();
    for node in &state.nodes {
        reports.push(sync_node(layout, node)?);
    }
    let endpoints = reports.iter().map(|report| report.endpoints).sum();
    let proxy = reports.iter().all(|report| report.proxy);
    // Objects are the same everywhere, and so are the problems with them.
    let first = reports.into_iter().next().unwrap_or_default();
    Ok(Synced {
        endpoints,
        proxy,
        ..first
    })
}

fn sync_node(layout: &Layout, node: &NodeState) -> Result<Synced> {
    let deadline = Instant::now() + ANSWER;
    loop {
        let report = ask(layout, node, Sync {}).map_err(|error| with_logs(layout, &error))?;
        if let Some(pod) = report.unmanaged.first() {
            bail!("pod {} is not under policy: {}", pod.pod, pod.reason);
        }
        let coming = node.proxy.is_some_and(Process::is_alive) && Instant::now() < deadline;
        if report.proxy || !coming {
            return Ok(report);
        }
        std::thread::sleep(AGAIN);
    }
}

/// What the first node's agent says about one flow, and why.
pub fn explain(layout: &Layout, state: &State, flow: Flow) -> Result<Explanation> {
    let node = state.nodes.first().context("a lab without nodes")?;
    ask(layout, node, Explain(flow))
}

/// Waits for the agent's socket as long as the agent lives.
fn connect(layout: &Layout, node: &NodeState) -> Result<UnixStream> {
    let socket = layout.instance(node.node)?.agent_socket();
    let agent = node.agent.context("this lab has no agent")?;
    let mut stream = None;
    let mut died = false;
    let decided = process::wait_until(START, || {
        // The agent before it may still be ending, with a socket that takes connections.
        stream = UnixStream::connect(&socket)
            .ok()
            .filter(|stream| is_of(stream, agent));
        died = stream.is_none() && !agent.is_alive();
        stream.is_some() || died
    });
    if died {
        bail!("weir agent is not running (start it again with `weir lab restart agent`)");
    }
    if !decided {
        bail!("weir agent does not answer at {}", socket.display());
    }
    stream.context("weir agent does not answer")
}

fn is_of(stream: &UnixStream, agent: Process) -> bool {
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| peer.pid() == agent.pid)
}

/// The answer of a node's agent, and of no agent before it.
fn ask<Q: Asks>(layout: &Layout, node: &NodeState, question: Q) -> Result<Q::Answer> {
    let stream = connect(layout, node)?;
    let client = Client::new(&layout.instance(node.node)?.agent_socket()).answer_within(ANSWER);
    client
        .ask_over(stream, question)
        .map_err(|error| match error {
            ClientError::Refused { reason } => anyhow!("weir agent: {reason}"),
            other => other.into(),
        })
}

/// An error, and the ends of both logs, which say more.
pub fn with_logs(layout: &Layout, error: &anyhow::Error) -> anyhow::Error {
    let tails = [Part::Agent, Part::Proxy].map(|part| spawn::log_tail(&layout.log(part.word())));
    anyhow!("{error:#}\n{}", tails.join("\n"))
}
