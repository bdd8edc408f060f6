//! What the lab does to the machine: netns, links, processes. Nothing here knows Kubernetes.

pub mod applets;
pub mod enter;
pub mod link;
pub mod netns;
pub mod process;
pub mod tool;
pub mod view;

use anyhow::{Result, bail};

/// Netns, links and mounts belong to root.
pub fn check_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("weir lab makes network namespaces: run it as root (sudo weir lab ...)");
    }
    Ok(())
}
