//! The question put to a running agent.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use weir_policy::verdict::Flow;
use weir_redirector::Instance;

use crate::ask::ask;

/// Asks the agent of an instance.
pub fn agent(name: &str, flow: &Flow) -> Result<Value> {
    socket(&Instance::new(name)?.agent_socket(), flow)
}

/// Asks the agent of a lab.
pub fn lab(name: &str, flow: &Flow) -> Result<Value> {
    socket(&weir_lab::Lab::open(name)?.agent_socket()?, flow)
}

fn socket(path: &Path, flow: &Flow) -> Result<Value> {
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
    ask(path, &question)
}
