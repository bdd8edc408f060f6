//! The process: enters the network namespace, gives up its privileges, and serves until it is told
//! to stop.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use aya::maps::MapError;
use caps::{CapSet, Capability, CapsHashSet};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns},
    sys::{
        prctl,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
};
use weir_link::Instance;
use weir_redirector::Pins;

use crate::{
    kernel::{Kernel, KernelError},
    pending::Pending,
    proxies::Proxies,
};

/// Between two looks at connections that settle, in ms.
const SOON: u16 = 1;
/// Without any, in ms.
const LATER: u16 = 500;

/// Why nothing is taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The private network namespace cannot be entered.
    #[error("cannot enter network namespace {path}: {source}", path = .path.display())]
    Netns {
        /// The namespace's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What the agent makes is not there.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The kernel was not told that somebody is here.
    #[error("map LISTENERS: {0}")]
    Appear(#[source] MapError),
    /// Privileges were not given up.
    #[error("cannot change capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    /// A system call failed.
    #[error("cannot run: {0}")]
    Io(#[from] io::Error),
}

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// Takes connections over until SIGTERM or SIGINT.
///
/// # Errors
/// See [`TakeoverError`].
pub fn run(instance: &Instance, pins: &Pins) -> Result<(), TakeoverError> {
    let action = SigAction::new(SigHandler::Handler(stop), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // SAFETY: the handler only stores a flag.
        unsafe { sigaction(signal, &action) }.map_err(io::Error::from)?;
    }
    let mut kernel = Kernel::open(pins)?;
    enter(instance)?;
    let mut proxies = Proxies::listen()?;
    let here = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    kernel.appear(&here).map_err(TakeoverError::Appear)?;
    give_up()?;
    tracing::info!("takes connections over");
    let mut pending = Pending::default();
    while !STOP.load(Ordering::Relaxed) {
        wait(kernel.ring.as_raw_fd(), proxies.fd(), pending.is_empty())?;
        proxies.accept();
        let now = Instant::now();
        while let Some(note) = kernel.next() {
            pending.add(note, &mut kernel, now);
        }
        pending.go_on(&mut kernel, &mut proxies, now);
    }
    Ok(())
}

/// Waits until there is something to do.
fn wait(ring: i32, proxies: BorrowedFd<'_>, idle: bool) -> io::Result<()> {
    // SAFETY: the ring keeps its descriptor open.
    let ring = unsafe { BorrowedFd::borrow_raw(ring) };
    let mut fds = [ring, proxies].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let timeout = PollTimeout::from(if idle { LATER } else { SOON });
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn enter(instance: &Instance) -> Result<(), TakeoverError> {
    let path = instance.netns_path(weir_policy::model::Direction::Ingress);
    let entered =
        File::open(&path).and_then(|file| Ok(setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?));
    entered.map_err(|source| TakeoverError::Netns { path, source })
}

/// Keeps what sockets in repair and marks need, for good.
fn give_up() -> Result<(), TakeoverError> {
    prctl::set_no_new_privs().map_err(io::Error::from)?;
    let kept = CapsHashSet::from([Capability::CAP_NET_ADMIN]);
    caps::clear(None, CapSet::Ambient)?;
    for capability in caps::read(None, CapSet::Bounding)? {
        caps::drop(None, CapSet::Bounding, capability)?;
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    Ok(())
}
