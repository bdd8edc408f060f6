//! The few system calls that no crate in use wraps. All unsafe code of the proxy is here.
#![allow(
    unsafe_code,
    reason = "thin wrappers around libc calls, each with its safety note"
)]

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg,
};
use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use socket2::Socket;
use tokio::io::unix::AsyncFd;

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
    switch_on(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT)
}

/// `SO_RCVMARK` of asm-generic/socket.h, since Linux 5.19.
const SO_RCVMARK: libc::c_int = 75;

fn switch_on(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and the length describe `on`, which lives through the call.
    check(libc::c_long::from(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    }))?;
    Ok(())
}

/// Makes [`receive_marked`] work: each datagram tells its mark and the address it was sent to.
///
/// # Errors
/// Whatever setsockopt says.
pub fn tell_marks_and_destinations(socket: &Socket, v6: bool) -> io::Result<()> {
    switch_on(socket, libc::SOL_SOCKET, SO_RCVMARK)?;
    if v6 {
        switch_on(socket, libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR)
    } else {
        switch_on(socket, libc::SOL_IP, libc::IP_RECVORIGDSTADDR)
    }
}

/// A datagram that was received.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Its length.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it was sent to.
    pub to: SocketAddr,
    /// Its mark.
    pub mark: u32,
}

/// Receives a datagram with its mark and the address it was sent to.
///
/// # Errors
/// Whatever recvmsg says; `InvalidData` where the kernel does not tell the addresses.
pub fn receive_marked(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = nix::cmsg_space!(u32, libc::sockaddr_in6);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::empty(),
    )?;
    let from = message.address.as_ref().and_then(socket_address);
    let (mut to, mut mark) = (None, 0);
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::Ipv4OrigDstAddr(address) => {
                to = Some(SocketAddr::V4(SockaddrIn::from(address).into()));
            }
            ControlMessageOwned::Ipv6OrigDstAddr(address) => {
                to = Some(SocketAddr::V6(SockaddrIn6::from(address).into()));
            }
            ControlMessageOwned::Unknown(other)
                if (other.cmsg_header.cmsg_level, other.cmsg_header.cmsg_type)
                    == (libc::SOL_SOCKET, libc::SO_MARK) =>
            {
                mark = other
                    .data_bytes
                    .first_chunk()
                    .map_or(0, |bytes| u32::from_ne_bytes(*bytes));
            }
            _ => {}
        }
    }
    match (from, to) {
        (Some(from), Some(to)) => Ok(Received {
            length: message.bytes,
            from,
            to,
            mark,
        }),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|v6| SocketAddr::V6((*v6).into()))
    })
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

/// How many sent bytes the other end's kernel has not acknowledged.
///
/// # Errors
/// Whatever the kernel says.
pub fn unacknowledged(socket: &impl AsRawFd) -> io::Result<libc::c_int> {
    let mut count: libc::c_int = 0;
    // SAFETY: the request (SIOCOUTQ, the same number as TIOCOUTQ) writes one int.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count)
    }))?;
    Ok(count)
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

/// Takes one message with the sockets that come with it, two at most, without waiting.
///
/// # Errors
/// Whatever recvmsg says.
pub fn receive_sockets(link: &impl AsRawFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = nix::cmsg_space!([libc::c_int; 2]);
    let mut parts = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(link.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut sockets = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel just gave us these descriptors.
            sockets.extend(
                fds.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    Ok((message.bytes, sockets))
}

/// A descriptor that can be waited for.
///
/// # Errors
/// Whatever epoll_ctl says.
pub fn awaitable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: it owns the descriptor and keeps it open and the same as long as it lives.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}
