//! The real `weir agent` and `weir proxy` of a lab: starting them and speaking with the agent.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Deserialize;
use serde_json::{Value, json};

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

/// What is in force after a sync.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Report {
    pub revision: u64,
    /// Objects that could not be honoured as they are written.
    pub problems: Vec<Problem>,
    /// Pods under enforcement.
    pub endpoints: u64,
    /// Whether the proxy has acknowledged this revision.
    pub proxy: bool,
    /// Pods of this node whose link could not be put under policy.
    pub unmanaged: Vec<Unmanaged>,
}

/// A pod without enforcement, and why.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Unmanaged {
    pub pod: String,
    pub reason: String,
}

/// Why an object is not honoured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Missing where a file could not be read at all.
    pub object: Option<String>,
    pub field: Option<String>,
    pub reason: String,
    pub file: Option<String>,
}

/// Which of the two processes of Weir.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Agent,
    Proxy,
}

/// What is asked about one flow.
#[derive(Debug, Clone)]
pub struct Question {
    pub from: String,
    pub to: String,
    pub protocol: String,
    pub port: u16,
    /// Method and path of a request.
    pub http: Option<(String, String)>,
}

// === impl Problem ===

impl fmt::Display for Problem {
    /// `NetworkPolicy/default/x: spec.ingress[0].ports[0]: reason`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [
            self.object.as_ref().or(self.file.as_ref()),
            self.field.as_ref(),
        ] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.reason)
    }
}

// === impl Part ===

impl Part {
    pub fn word(self) -> &'static str {
        match self {
            Part::Agent => "agent",
            Part::Proxy => "proxy",
        }
    }

    pub fn process(self, node: &mut NodeState) -> &mut Option<Process> {
        match self {
            Part::Agent => &mut node.agent,
            Part::Proxy => &mut node.proxy,
        }
    }
}

/// Starts the agent or the proxy in a node's netns unless it runs.
pub fn start(layout: &Layout, state: &mut State, index: usize, part: Part) -> Result<()> {
    let place = &mut state.nodes[index];
    let node = place.node;
    if part.process(place).is_some_and(Process::is_alive) {
        return Ok(());
    }
    let name = layout.agent_name(node);
    let manifests = layout.manifests();
    let mut arguments = vec![part.word().into(), "--name".into(), name.into()];
    if part == Part::Agent {
        arguments.push("--manifests".into());
        arguments.push(manifests.into_os_string());
        arguments.push("--node".into());
        arguments.push(node.name().into());
        arguments.push("--flow-log".into());
        arguments.push(layout.log(&format!("flows{}", node.suffix())).into());
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
pub fn sync(layout: &Layout, state: &State) -> Result<Report> {
    let mut reports = Vec::new();
    for node in &state.nodes {
        reports.push(sync_node(layout, node)?);
    }
    let endpoints = reports.iter().map(|report| report.endpoints).sum();
    let proxy = reports.iter().all(|report| report.proxy);
    // Objects are the same everywhere, and so are the problems with them.
    let first = reports.into_iter().next().unwrap_or_default();
    Ok(Report {
        endpoints,
        proxy,
        ..first
    })
}

fn sync_node(layout: &Layout, node: &NodeState) -> Result<Report> {
    let deadline = Instant::now() + ANSWER;
    loop {
        let stream = connect(layout, node);
        let answer = stream.and_then(|stream| ask(stream, &json!({"command": "sync"})));
        let answer = answer.map_err(|error| with_logs(layout, &error))?;
        let report: Report = serde_json::from_value(answer)
            .context("the agent's answer to sync is not understood")?;
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
pub fn explain(layout: &Layout, state: &State, question: &Question) -> Result<Value> {
    let mut command = json!({
        "command": "explain",
        "from": question.from,
        "to": question.to,
        "protocol": question.protocol,
        "port": question.port,
    });
    if let Some((method, path)) = &question.http {
        command["http"] = json!({ "method": method, "path": path });
    }
    let node = state.nodes.first().context("a lab without nodes")?;
    ask(connect(layout, node)?, &command)
}

/// Waits for the agent's socket as long as the agent lives.
fn connect(layout: &Layout, node: &NodeState) -> Result<UnixStream> {
    let socket = layout.agent_socket(node.node);
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

/// One line of JSON there, one line back.
fn ask(mut stream: UnixStream, command: &Value) -> Result<Value> {
    stream
        .set_read_timeout(Some(ANSWER))
        .context("cannot set a time limit on the agent's socket")?;
    stream
        .write_all(format!("{command}\n").as_bytes())
        .context("cannot write to weir agent")?;
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .with_context(|| format!("weir agent did not answer {}", command["command"]))?;
    let answer: Value = serde_json::from_str(&line)
        .with_context(|| format!("weir agent closed the connection or answered {line:?}"))?;
    if answer["ok"] == false || answer["error"].is_string() {
        let reason = answer["error"].as_str().unwrap_or("no reason given");
        return Err(anyhow!("weir agent: {reason}"));
    }
    Ok(answer)
}

/// An error, and the ends of both logs, which say more.
pub fn with_logs(layout: &Layout, error: &anyhow::Error) -> anyhow::Error {
    let tails = [Part::Agent, Part::Proxy].map(|part| spawn::log_tail(&layout.log(part.word())));
    anyhow!("{error:#}\n{}", tails.join("\n"))
}
