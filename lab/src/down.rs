//! Taking a lab away: whatever is left of it, also after a crash in the middle of anything.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::host::process::Process;
use crate::host::{netns, process};
use crate::layout::Layout;
use crate::state::State;

/// Removes everything of a lab; false when there was nothing.
pub fn down(layout: &Layout, program: &Path) -> Result<bool> {
    let state = State::load(&layout.state()).ok();
    let netns = netns::with_prefix(&layout.netns_prefix())?;
    let existed = layout.root().exists() || !netns.is_empty();
    let mut processes = netns::processes(&netns)?;
    if let Some(state) = &state {
        let known = state.pods.values().flat_map(|pod| pod.processes.iter());
        processes.extend(known.copied().filter(|process| process.is_alive()));
        let weir = [state.agent, state.proxy, state.world];
        processes.extend(weir.into_iter().flatten().filter(|p| p.is_alive()));
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
    for folder in [
        layout.pins(),
        Path::new("/run/weir").join(layout.agent_name()),
        layout.root().to_owned(),
    ] {
        remove_folder(&folder)?;
    }
    // Only the last lab can take the folders of all labs with it: they must be empty.
    let pins = layout.pins();
    let parents = layout.root().ancestors().skip(1).take(2);
    for folder in parents.chain(pins.parent()) {
        drop(fs::remove_dir(folder));
    }
    Ok(existed)
}

/// What the agent pinned; a binary without this command has pinned nothing.
fn clean_up_weir(layout: &Layout, program: &Path) {
    let result = Command::new(program)
        .args(["cleanup", "--name", &layout.agent_name()])
        .output();
    drop(result);
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
