//! Linux network namespaces by name, as `ip netns` keeps them: a bind mount in `/run/netns`.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use super::NetworkError;
use crate::host;

const FOLDER: &str = "/run/netns";
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// The file of a named network namespace.
pub fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// The files of all named network namespaces.
///
/// # Errors
/// It is not known which there are.
pub fn all() -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(FOLDER) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Opens a named network namespace, making it where it is missing.
pub fn ensure(path: &Path) -> Result<OwnedFd, NetworkError> {
    let failed = |action, source| NetworkError::Netns {
        action,
        path: path.into(),
        source,
    };
    if is_netns(path)? {
        return open(path);
    }
    host::among_mounts(|| {
        fs::create_dir_all(FOLDER)?;
        File::create(path)?;
        // Another thread, because leaving a network namespace cannot be undone from within. It has
        // the mounts of the thread that makes it.
        let made = std::thread::scope(|scope| scope.spawn(|| make(path)).join());
        Ok(made.unwrap_or(Err(nix::Error::EIO))?)
    })
    .map_err(|source| failed("make it", source))?;
    if !is_netns(path)? {
        let reason = "it was made on the node and is not seen here: \
                      a container needs the node's /run/netns with mountPropagation HostToContainer";
        return Err(failed("find it", io::Error::other(reason)));
    }
    open(path)
}

fn make(path: &Path) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    mount(
        Some("/proc/thread-self/ns/net"),
        path,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
}

/// Opens a named network namespace.
pub fn open(path: &Path) -> Result<OwnedFd, NetworkError> {
    let failed = |source| NetworkError::Netns {
        action: "open it",
        path: path.into(),
        source,
    };
    // A FIFO would wait for its other end.
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    let kind = nix::sys::statfs::fstatfs(&opened).map_err(|errno| failed(errno.into()))?;
    if kind.filesystem_type().0 != NSFS_MAGIC {
        return Err(failed(io::Error::other("it is no network namespace")));
    }
    Ok(opened.into())
}

/// Removes the name; the namespace goes when nobody uses it any more.
pub fn remove(path: &Path) -> Result<(), NetworkError> {
    let failed = |source| NetworkError::Netns {
        action: "remove it",
        path: path.into(),
        source,
    };
    let mounted = is_netns(path)?;
    host::among_mounts(|| {
        if mounted {
            umount2(path, MntFlags::MNT_DETACH)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    })
    .map_err(failed)
}

/// Runs something on a thread inside a network namespace. `path` is for messages.
pub fn within<T: Send>(
    netns: &OwnedFd,
    path: &Path,
    work: impl FnOnce() -> T + Send,
) -> Result<T, NetworkError> {
    let failed = |source| NetworkError::Netns {
        action: "enter it",
        path: path.into(),
        source,
    };
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                setns(netns.as_fd(), CloneFlags::CLONE_NEWNET)
                    .map_err(|errno| failed(errno.into()))?;
                Ok(work())
            })
            .join()
            .unwrap_or_else(|_| Err(failed(io::Error::other("the thread in it failed"))))
    })
}

/// Whether a network namespace has this name.
///
/// # Errors
/// It is not known.
pub fn is_netns(path: &Path) -> Result<bool, NetworkError> {
    match nix::sys::statfs::statfs(path) {
        Ok(stat) => Ok(stat.filesystem_type().0 == NSFS_MAGIC),
        Err(nix::Error::ENOENT) => Ok(false),
        Err(errno) => Err(NetworkError::Netns {
            action: "look for it",
            path: path.into(),
            source: errno.into(),
        }),
    }
}
