//! The few system calls that no crate in use wraps. All unsafe code of the proxy is here.
#![allow(
    unsafe_code,
    reason = "thin wrappers around libc calls, each with its safety note"
)]

use std::{io, os::fd::AsRawFd};

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
