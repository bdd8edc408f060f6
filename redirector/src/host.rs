//! The node's own mounts and settings, seen from a container.
//!
//! A container has a mount namespace of its own, and `/proc/sys` is read-only in it. What must
//! outlive the agent (the BPF file system, the names of network namespaces) is mounted on the node
//! itself, by a thread that goes there; the container sees it because its volumes receive the
//! node's mounts (`mountPropagation: HostToContainer`). That spares the agent a privileged
//! container. Outside of containers all of this is the same place.
//!
//! Needs the node's process ids (`hostPID`), CAP_SYS_ADMIN, CAP_SYS_CHROOT and CAP_SYS_PTRACE.

use std::{
    fs::{self, File},
    io,
    os::{linux::fs::MetadataExt as _, unix::fs::MetadataExt as _},
};

use nix::sched::{CloneFlags, setns, unshare};

const OURS: &str = "/proc/thread-self/ns/mnt";
const NODES: &str = "/proc/1/ns/mnt";

/// Runs something where the node's mounts are.
///
/// # Errors
/// The node's mount namespace cannot be entered, or what `work` says.
pub fn among_mounts<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    // What may not even be looked at is not ours.
    let place = |path| fs::metadata(path).map(|place| (place.st_dev(), place.ino()));
    if place(NODES).ok() == place(OURS).ok() {
        return work();
    }
    let node = File::open(NODES).map_err(|error| {
        let reason = format!("{NODES}: {error} (a container needs hostPID and CAP_SYS_PTRACE)");
        io::Error::new(error.kind(), reason)
    })?;
    // A thread of its own, because it stays there.
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS)?;
            setns(node, CloneFlags::CLONE_NEWNS).map_err(|errno| {
                io::Error::other(format!("cannot enter the node's mount namespace: {errno}"))
            })?;
            work()
        });
        let ended = entered.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread among them failed")))
    })
}

/// Writes a setting below `/proc/sys`, of the calling thread's network namespace where it is one
/// of the network's.
///
/// # Errors
/// As writing a file, through the node's own mount where the container's is read-only.
pub fn set(key: &str, value: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/{key}"), value) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            fs::write(format!("/proc/1/root/proc/sys/{key}"), value)
        }
        done => done,
    }
}
