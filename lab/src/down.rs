//! Taking a lab away: whatever is left of it, also after a crash in the middle of anything.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use weir_link::Instance;

use crate::host::process::Process;
use crate::host::{netns, process};
use crate::layout::Layout;
use crate::node::{self, Node};
use crate::state::State;

/// Removes everything of a lab; false when there was nothing.
pub fn down(layout: &Layout, program: &Path) -> Result<bool> {
    let state = State::load(&layout.state()).ok();
    let netns = netns::with_prefix(&layout.netns_prefix())?;
    let existed = layout.root().exists() || !netns.is_empty();
    let mut processes = netns::processes(&netns)?;
    if let Some(state) = &state {
        let known = state.pods.values().flat_map(|pod| pod.processes());
        processes.extend(known.filter(|process| process.is_alive()));
        let weir = state
            .nodes
            .iter()
            .flat_map(|node| [node.agent, node.proxy, node.takeover]);
        let weir = weir.chain([state.world]).flatten();
        processes.extend(weir.filter(|process| process.is_alive()));
    }
    processes.sort_by_key(|process| process.pid);
    processes.dedup();
    process::end(&processes)?;
    clean_up_weir(
        layout,
        state.as_ref().map_or(program, |state| &state.program),
    );
    // The agent may just have made a netns of its own: look again.
    let netns = netns::with_prefix(&layout.netns_prefix())?;
    let late: Vec<Process> = netns::processes(&netns)?;
    process::end(&late)?;
    for name in &netns {
        netns::delete(name)?;
    }
    for node in Node::all(node::MOST) {
        remove_folder(&layout.pins(node))?;
        remove_folder(&layout.instance(node)?.run_dir())?;
    }
    remove_folder(layout.root())?;
    // Only the last lab can take the folders of all labs with it: they must be empty.
    let pins = layout.pins(Node::FIRST);
    let parents = layout.root().ancestors().skip(1).take(2);
    for folder in parents.chain(pins.parent()) {
        drop(fs::remove_dir(folder));
    }
    Ok(existed)
}

/// What the agent pinned; a binary without this command has pinned nothing.
fn clean_up_weir(layout: &Layout, program: &Path) {
    // The second node of a lab that has none has no folder either.
    let made = |node: &Node, instance: &Instance| {
        instance.run_dir().exists() || layout.pins(*node).exists()
    };
    for node in Node::all(node::MOST) {
        let Some(instance) = layout.instance(node).ok().filter(|of| made(&node, of)) else {
            continue;
        };
        let result = Command::new(program)
            .args(["cleanup", "--name", instance.name()])
            .output();
        drop(result);
    }
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
