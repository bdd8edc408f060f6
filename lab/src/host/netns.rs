//! Named netns, as `ip netns` makes them: a file in /run/netns on which the netns is mounted.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};

use super::process;

const FOLDER: &str = "/run/netns";

pub fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// The netns whose names begin so.
pub fn with_prefix(prefix: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(FOLDER) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list {FOLDER}")),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("cannot list {FOLDER}"))?;
        let name = name.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Runs something inside a netns, on a thread of its own: a netns belongs to a thread.
pub fn inside<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = open(name)?;
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("cannot enter netns {name}"))?;
            work()
        });
        thread
            .join()
            .map_err(|_| anyhow!("a thread in netns {name} panicked"))?
    })
}

pub fn open(name: &str) -> Result<File> {
    File::open(path(name)).with_context(|| format!("netns {name} does not exist"))
}

/// Sets network sysctls inside a netns; the path is given below /proc/sys/net.
pub fn sysctl(name: &str, settings: &[(&str, &str)]) -> Result<()> {
    inside(name, || {
        for (key, value) in settings {
            let path = Path::new("/proc/sys/net").join(key);
            fs::write(&path, value)
                .with_context(|| format!("in {name}: cannot set {} to {value}", path.display()))?;
        }
        Ok(())
    })
}

/// Takes names away; what is still inside keeps its netns alive until it ends.
pub fn delete(name: &str) -> Result<()> {
    let path = path(name);
    match umount2(&path, MntFlags::MNT_DETACH) {
        // EINVAL: a file on which nothing is mounted, left by an `up` that was killed.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot unmount netns {name}")),
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove netns {name}"))
        }
        _ => Ok(()),
    }
}

/// The processes that are in any of these netns, ourselves and our parents excepted.
pub fn processes(names: &[String]) -> Result<Vec<process::Process>> {
    let netns: HashSet<(u64, u64)> = names
        .iter()
        .filter_map(|name| fs::metadata(path(name)).ok())
        .map(|found| (found.dev(), found.ino()))
        .collect();
    let ours = process::ancestors();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let Some(pid) = entry
            .ok()
            .and_then(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        else {
            continue;
        };
        let inside = fs::metadata(format!("/proc/{pid}/ns/net"))
            .is_ok_and(|of| netns.contains(&(of.dev(), of.ino())));
        if inside && !ours.contains(&pid) {
            found.extend(process::Process::of(pid));
        }
    }
    Ok(found)
}
