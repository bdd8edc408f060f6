//! A node's files as `kubectl debug node/NAME` shows them: below `/host`, with the log of flows where
//! people look for it. The machine keeps its own: all of it is mounts that only this process sees.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chroot;

/// Where the new root is put together; one of them is there.
const PLACES: [&str; 3] = ["/mnt", "/srv", "/media"];
/// Where logs of denials are below `/var/log`: ours in a cluster, and that of the VPC CNI's agent.
const LOGS: [&str; 2] = ["weir/flows.log", "aws-routed-eni/network-policy-agent.log"];
const NONE: Option<&str> = None;

/// Gives this process, and what it becomes, `/host` beside all that there is.
///
/// # Errors
/// A mount is refused.
pub fn enter(log: &Path) -> Result<()> {
    let Some(root) = PLACES.iter().map(Path::new).find(|path| path.is_dir()) else {
        bail!("none of {PLACES:?} is there to put the node's files together at");
    };
    unshare(CloneFlags::CLONE_NEWNS)?;
    // Slave, so that our mounts do not show on the machine.
    let slave = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(NONE, "/", NONE, slave, NONE)?;
    let here = std::env::current_dir()?;
    let top = entries(Path::new("/"))?;
    mount(Some("tmpfs"), root, Some("tmpfs"), MsFlags::empty(), NONE)
        .with_context(|| format!("no tmpfs on {}", root.display()))?;
    for path in &top {
        let shown = root.join(path.strip_prefix("/")?);
        // What was there is hidden by the new root now.
        if path != root {
            show(path, &shown)?;
        }
    }
    let host = root.join("host");
    links(&top, &host, "var")?;
    let var = host.join("var");
    links(&entries(Path::new("/var"))?, &var, "log")?;
    let logs = var.join("log");
    links(&entries(Path::new("/var/log"))?, &logs, "")?;
    for name in LOGS {
        let at = logs.join(name);
        let folder = at.parent().unwrap_or(&logs);
        // A link to the machine's own, if it has one: what is in it must stay as it is.
        if folder.is_symlink() {
            fs::remove_file(folder)?;
        }
        fs::create_dir_all(folder)?;
        symlink(log, &at)?;
    }
    chroot(root)?;
    std::env::set_current_dir(here).or_else(|_| std::env::set_current_dir("/"))?;
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let found =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    found.map(|entry| Ok(entry?.path())).collect()
}

/// The same thing at another place: a link as a link, anything else by a mount.
fn show(path: &Path, at: &Path) -> Result<()> {
    if path.is_symlink() {
        return Ok(symlink(fs::read_link(path)?, at)?);
    }
    match path.is_dir() {
        true => fs::create_dir(at)?,
        false => drop(fs::File::create(at)?),
    }
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(path), at, NONE, bind, NONE)
        .with_context(|| format!("{} cannot be shown", path.display()))
}

/// A folder of links to these, but for one name, which is a folder to be filled.
fn links(paths: &[PathBuf], folder: &Path, but: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        if name != but {
            symlink(path, folder.join(name))?;
        }
    }
    Ok(())
}
