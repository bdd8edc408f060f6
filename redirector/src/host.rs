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
    os::linux::fs::MetadataExt as _,
};

use nix::sched::{CloneFlags, setns, unshare};

const OURS: &str = "/proc/thread-self/ns/mnt";
/// The node's first process; the kernel's own threads, where it lets nobody look at it.
const NODES: [&str; 2] = ["/proc/1/ns/mnt", "/proc/2/ns/mnt"];

/// Runs something where the node's mounts are.
///
/// # Errors
/// The node's mount namespace cannot be entered, or what `work` says.
pub fn among_mounts<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let node = node()?;
    let place = |found: fs::Metadata| (found.st_dev(), found.st_ino());
    if place(node.metadata()?) == place(fs::metadata(OURS)?) {
        return work();
    }
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

fn node() -> io::Result<File> {
    let [first, kernel] = NODES;
    File::open(first).or_else(|error| {
        // In the node's own process ids, the second is the parent of the kernel's threads.
        let threads = fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n");
        match threads.then(|| File::open(kernel)) {
            Some(Ok(found)) => Ok(found),
            _ => Err(io::Error::new(
                error.kind(),
                format!("{first}: {error} (a container needs hostPID and CAP_SYS_PTRACE)"),
            )),
        }
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
            // The thread there is in the same network namespace as this one.
            among_mounts(|| fs::write(format!("/proc/sys/{key}"), value))
        }
        done => done,
    }
}
