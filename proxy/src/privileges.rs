//! Giving up root: what a proxy thread may do once its listeners are open.
//!
//! Users and capabilities belong to threads in Linux. Every worker must enter its network
//! namespace first (CAP_SYS_ADMIN), so each thread gives up its own privileges, the main thread
//! too, and [`check_all_threads`] then proves that none was forgotten.

use std::{fs, io};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::{prctl, resource};
use thiserror::Error;
use weir_link::proxy::USER;

use crate::sys;

/// What stays: IP_TRANSPARENT, and SO_MARK (Linux 5.17 and later), need it.
const KEPT: Capability = Capability::CAP_NET_RAW;

/// Privileges were not given up as far as they must be. The proxy must not serve.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// A system call failed.
    #[error("cannot {what}: {source}")]
    Call {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A capability call failed.
    #[error("cannot change capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    /// A thread kept more than it should.
    #[error("thread {thread} kept privileges: {line}")]
    Kept {
        /// Its id.
        thread: String,
        /// The line of its status that shows it.
        line: String,
    },
}

fn call<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> PrivilegeError {
    move |error| PrivilegeError::Call {
        what,
        source: error.into(),
    }
}

/// Raises the limit of open files as far as it goes: two sockets a connection.
///
/// # Errors
/// The limit cannot be read or set.
pub fn raise_file_limit() -> Result<(), PrivilegeError> {
    const WANTED: u64 = 1 << 20;
    let limit = resource::Resource::RLIMIT_NOFILE;
    let (soft, hard) = resource::getrlimit(limit).map_err(call("read the file limit"))?;
    if soft >= WANTED {
        return Ok(());
    }
    // Raising the hard limit needs root and may be refused in a container.
    if resource::setrlimit(limit, WANTED, WANTED.max(hard)).is_err() {
        resource::setrlimit(limit, hard.min(WANTED).max(soft), hard)
            .map_err(call("raise the file limit"))?;
    }
    Ok(())
}

/// Gives up everything but CAP_NET_RAW in the calling thread, for good.
///
/// # Errors
/// See [`PrivilegeError`]; the thread must not go on.
pub fn drop_thread() -> Result<(), PrivilegeError> {
    prctl::set_no_new_privs().map_err(call("forbid new privileges"))?;
    caps::clear(None, CapSet::Ambient)?;
    for capability in caps::read(None, CapSet::Bounding)? {
        caps::drop(None, CapSet::Bounding, capability)?;
    }
    // Without it the change of user would clear the permitted set.
    prctl::set_keepcaps(true).map_err(call("keep capabilities"))?;
    sys::set_thread_ids(USER, USER).map_err(call("change user"))?;
    let kept = CapsHashSet::from([KEPT]);
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::set(None, CapSet::Effective, &kept)?;
    prctl::set_keepcaps(false).map_err(call("stop keeping capabilities"))?;
    Ok(())
}

/// Checks that no thread of the process kept more than it should.
///
/// # Errors
/// [`PrivilegeError::Kept`] names the first thread that did.
pub fn check_all_threads() -> Result<(), PrivilegeError> {
    let read = call("read the threads' status");
    let threads: Vec<_> = match fs::read_dir("/proc/self/task") {
        Ok(entries) => entries.flatten().collect(),
        Err(error) => return Err(read(error)),
    };
    for thread in threads {
        let status = fs::read_to_string(thread.path().join("status"))
            .map_err(call("read a thread's status"))?;
        let id = USER.to_string();
        let only_kept = format!("{:016x}", KEPT.bitmask());
        for line in status.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let good = match name {
                "Uid" | "Gid" => value.split_whitespace().all(|found| found == id),
                "CapPrm" | "CapEff" => value.trim() == only_kept,
                "CapInh" | "CapBnd" | "CapAmb" => value.trim().bytes().all(|digit| digit == b'0'),
                "NoNewPrivs" => value.trim() == "1",
                _ => true,
            };
            if !good {
                return Err(PrivilegeError::Kept {
                    thread: thread.file_name().to_string_lossy().into_owned(),
                    line: line.to_owned(),
                });
            }
        }
    }
    Ok(())
}
