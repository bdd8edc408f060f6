//! Which network namespace a socket is of, which no crate in use tells.

use std::{io, os::fd::AsRawFd};

/// The number of the network namespace that a socket was made in (`SO_NETNS_COOKIE`).
///
/// # Errors
/// Whatever getsockopt says; `ENOPROTOOPT` before Linux 5.14.
#[allow(unsafe_code, reason = "one call, with its safety note")]
pub fn cookie(socket: &impl AsRawFd) -> io::Result<u64> {
    let mut cookie: u64 = 0;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the pointers and the length describe `cookie`, which lives through the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match status {
        0 => Ok(cookie),
        _ => Err(io::Error::last_os_error()),
    }
}
