//! One agent at a time: two that write the same maps would undo each other's work.
//!
//! A rolling update starts the new agent beside the old one. It waits here, before it has opened
//! or listened on anything, so the fixed ports of the node stay with the agent that enforces; it
//! takes over the moment that one ends, however it ends.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use weir_link::Instance;
use weir_redirector::Pins;

/// Between two looks: a blocking wait could not be ended by a signal.
const AGAIN: Duration = Duration::from_millis(20);

/// Proof that no other agent of the instance runs, as long as it lives.
#[derive(Debug)]
pub struct Alone {
    pins: Pins,
    _lock: Flock<File>,
}

/// Waits until no other agent of the instance runs.
///
/// # Errors
/// The lock cannot be made: `/run/weir/NAME/agent.lock`.
pub async fn alone(pins: &Pins) -> Result<Alone> {
    let instance = pins.instance();
    let path = lock_file(instance);
    let failed = || format!("cannot lock {}", path.display());
    fs::create_dir_all(instance.run_dir()).with_context(failed)?;
    let mut said = false;
    loop {
        // Opened anew each time: the one that we waited for may have been removed.
        let file = File::create(&path).with_context(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) if is_at(&lock, &path) => {
                return Ok(Alone {
                    pins: pins.clone(),
                    _lock: lock,
                });
            }
            Ok(_) => {}
            Err((_, Errno::EWOULDBLOCK)) => {}
            Err((_, errno)) => return Err(errno).with_context(failed),
        }
        if !said {
            tracing::info!(
                instance = instance.name(),
                "another agent runs: standing by until it ends"
            );
            said = true;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn lock_file(instance: &Instance) -> PathBuf {
    instance.run_dir().join("agent.lock")
}

/// Whether a path still leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

impl Drop for Alone {
    /// An agent that did not come as far as making its instance leaves nothing.
    fn drop(&mut self) {
        if !self.pins.root().exists() {
            fs::remove_file(lock_file(self.pins.instance())).ok();
            // Only where it is empty.
            fs::remove_dir(self.pins.instance().run_dir()).ok();
        }
    }
}
