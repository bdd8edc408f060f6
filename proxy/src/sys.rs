//! The few system calls that no crate in use wraps. All unsafe code of the proxy is here.
#![allow(
    unsafe_code,
    reason = "thin wrappers around libc calls, each with its safety note"
)]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use socket2::Socket;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// `IP_BIND_ADDRESS_NO_PORT`: bind() to port 0 leaves the choice to connect(). Works for IPv6
/// sockets too (the option is of level IP in both).
///
/// # Errors
/// Whatever setsockopt says.
pub fn set_bind_address_no_port(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and the length describe `on`, which lives through the call.
    check(libc::c_long::from(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    }))?;
    Ok(())
}

/// Ends the sending direction of a connection (FIN).
///
/// # Errors
/// Whatever shutdown says.
pub fn shutdown_write(socket: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no memory is passed; a wrong descriptor is an error, not undefined.
    check(libc::c_long::from(unsafe {
        libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR)
    }))?;
    Ok(())
}

/// Stops a listening socket, in every process that holds it; what is queued is reset.
///
/// # Errors
/// Whatever shutdown says.
pub fn shutdown_read(socket: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no memory is passed; a wrong descriptor is an error, not undefined.
    check(libc::c_long::from(unsafe {
        libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD)
    }))?;
    Ok(())
}

/// Changes user and group of the calling thread alone (the libc functions change all threads).
///
/// # Errors
/// Whatever the kernel says; some of the three may have happened.
pub fn set_thread_ids(uid: libc::uid_t, gid: libc::gid_t) -> io::Result<()> {
    // SAFETY: numbers and one null pointer with length 0.
    unsafe {
        check(libc::syscall(
            libc::SYS_setgroups,
            0usize,
            std::ptr::null::<libc::gid_t>(),
        ))?;
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
    }
    Ok(())
}

/// A new pipe of about `size` bytes, reading end first. Neither end blocks.
///
/// # Errors
/// Out of files, or over the user's limit of pipe memory.
pub fn pipe(size: libc::c_int) -> io::Result<[OwnedFd; 2]> {
    let mut raw = [-1; 2];
    // SAFETY: `raw` has room for the two descriptors that the call writes; on success they are
    // new and nobody else's.
    let ends = unsafe {
        check(libc::c_long::from(libc::pipe2(
            raw.as_mut_ptr(),
            libc::O_NONBLOCK | libc::O_CLOEXEC,
        )))?;
        raw.map(|fd| OwnedFd::from_raw_fd(fd))
    };
    let [reading, _] = &ends;
    // SAFETY: no memory is passed.
    check(libc::c_long::from(unsafe {
        libc::fcntl(reading.as_raw_fd(), libc::F_SETPIPE_SZ, size)
    }))?;
    Ok(ends)
}

/// Moves up to `count` bytes between a socket and a pipe without copying them. Returns 0
/// at the end of the input.
///
/// # Errors
/// Whatever splice says; `WouldBlock` if the input is empty or the output full.
pub fn splice(from: &impl AsRawFd, to: &impl AsRawFd, count: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    let none = std::ptr::null_mut();
    // SAFETY: the offsets are null, so no memory is passed.
    let moved = check(unsafe {
        libc::splice(from.as_raw_fd(), none, to.as_raw_fd(), none, count, flags) as libc::c_long
    })?;
    Ok(usize::try_from(moved).unwrap_or(0))
}
