//! A socket in the middle of a connection that it has not opened (TCP_REPAIR, tcp(7) and Linux'
//! net/ipv4/tcp.c; as CRIU makes them).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use weir_abi::http::{SACKS, SCALES, STAMPS, Side};

/// `linux/tcp.h`.
const TCP_REPAIR: libc::c_int = 19;
const TCP_REPAIR_QUEUE: libc::c_int = 20;
const TCP_QUEUE_SEQ: libc::c_int = 21;
const TCP_REPAIR_OPTIONS: libc::c_int = 22;
const TCP_TIMESTAMP: libc::c_int = 24;
const TCP_REPAIR_WINDOW: libc::c_int = 29;
const RECEIVE: libc::c_int = 1;
const SEND: libc::c_int = 2;
const ON: libc::c_int = 1;
/// Off, without a window probe.
const OFF: libc::c_int = -1;
/// Options of RFC 9293, 7323 and 2018.
const MSS: u32 = 2;
const SCALE: u32 = 3;
const SACK: u32 = 4;
const STAMP: u32 = 8;
/// A peer that announced less is not sent less.
const LEAST_WINDOW: u32 = 1460;

/// `struct tcp_repair_opt`.
#[repr(C)]
#[derive(Clone, Copy)]
struct RepairOption {
    code: u32,
    value: u32,
}

/// `struct tcp_repair_window`.
#[repr(C)]
struct RepairWindow {
    snd_wl1: u32,
    snd_wnd: u32,
    max_window: u32,
    rcv_wnd: u32,
    rcv_wup: u32,
}

/// One end of a connection to stand in for.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    /// Whose place it takes.
    pub own: SocketAddr,
    /// The end that it speaks with.
    pub other: SocketAddr,
    /// The next byte to send.
    pub send: u32,
    /// The next byte to receive.
    pub receive: u32,
    /// What the end whose place it takes had announced.
    pub side: Side,
    /// What the other had.
    pub peer: Side,
    /// Its mark.
    pub mark: u32,
}

fn put<T>(socket: &Socket, name: libc::c_int, value: &[T]) -> io::Result<()> {
    // SAFETY: the values live through the call and are as long as said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            name,
            value.as_ptr().cast(),
            size_of_val(value) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes the socket, with what it shall read as if it had just arrived.
///
/// # Errors
/// Whatever the kernel says, mostly about privileges or addresses.
pub fn stand_in(stand: &Stand, arrived: &[u8]) -> io::Result<OwnedFd> {
    let domain = Domain::for_address(stand.own);
    let socket = Socket::new(
        domain,
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    match stand.own.ip() {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    socket.set_mark(stand.mark)?;
    put(&socket, TCP_REPAIR, &[ON])?;
    put(&socket, TCP_REPAIR_QUEUE, &[SEND])?;
    put(&socket, TCP_QUEUE_SEQ, &[stand.send])?;
    put(&socket, TCP_REPAIR_QUEUE, &[RECEIVE])?;
    put(&socket, TCP_QUEUE_SEQ, &[stand.receive])?;
    socket.bind(&SockAddr::from(stand.own))?;
    // At once and without a SYN.
    socket.connect(&SockAddr::from(stand.other))?;
    let both = stand.side.options & stand.peer.options;
    let scale = |side: &Side| {
        if both & SCALES != 0 {
            u32::from(side.scale)
        } else {
            0
        }
    };
    let (own_scale, peer_scale) = (scale(&stand.side), scale(&stand.peer));
    let mut options = vec![
        RepairOption {
            code: MSS,
            value: u32::from(stand.peer.mss),
        },
        // Always: connect() has chosen one of its own.
        RepairOption {
            code: SCALE,
            value: peer_scale | own_scale << 16,
        },
    ];
    for (option, code) in [(SACKS, SACK), (STAMPS, STAMP)] {
        if both & option != 0 {
            options.push(RepairOption { code, value: 0 });
        }
    }
    put(&socket, TCP_REPAIR_OPTIONS, &options)?;
    let peer_window = u32::from(stand.peer.window) << peer_scale;
    let window = RepairWindow {
        snd_wl1: stand.receive,
        snd_wnd: peer_window,
        max_window: peer_window.max(LEAST_WINDOW),
        rcv_wnd: u32::from(stand.side.window) << own_scale,
        rcv_wup: stand.receive,
    };
    put(&socket, TCP_REPAIR_WINDOW, &[window])?;
    if both & STAMPS != 0 {
        // The lowest bit would ask for microseconds; one tick ahead at most.
        put(
            &socket,
            TCP_TIMESTAMP,
            &[stand.side.stamp.wrapping_add(1) & !1],
        )?;
    }
    let mut left = arrived;
    while !left.is_empty() {
        let sent = socket.send(left)?;
        left = left.get(sent..).unwrap_or_default();
    }
    put(&socket, TCP_REPAIR, &[OFF])?;
    Ok(socket.into())
}
