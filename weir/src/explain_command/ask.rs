//! The question put to a running agent.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use weir_policy::verdict::Flow;
use weir_redirector::Instance;

/// An agent that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks the agent of an instance.
pub fn agent(name: &str, flow: &Flow) -> Result<Value> {
    socket(&Instance::new(name)?.agent_socket(), flow)
}

/// Asks the agent of a lab.
pub fn lab(name: &str, flow: &Flow) -> Result<Value> {
    socket(&weir_lab::Lab::open(name)?.agent_socket()?, flow)
}

fn socket(path: &Path, flow: &Flow) -> Result<Value> {
    let mut stream = UnixStream::connect(path)
        .with_context(|| format!("no agent answers at {}", path.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut question = json!({
        "command": "explain",
        "from": flow.from,
        "to": flow.to,
        "protocol": flow.protocol,
        "port": flow.port,
    });
    if let Some(http) = &flow.http {
        question["http"] = json!({
            "method": http.method,
            "path": http.path,
            "host": http.host,
            "headers": http.headers,
        });
    }
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .with_context(|| format!("the agent at {} does not answer", path.display()))?;
    let answer: Value = serde_json::from_str(&line)
        .with_context(|| format!("the agent at {} answers {line:?}", path.display()))?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        bail!("{error}");
    }
    Ok(answer)
}
