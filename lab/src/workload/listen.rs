//! Listeners on `[::]` that take IPv4 too, as most servers in containers listen.

use std::net::{Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

pub fn tcp(port: u16) -> Result<TcpListener> {
    let socket = bound(port, Type::STREAM, Protocol::TCP)
        .with_context(|| format!("cannot listen on TCP port {port}"))?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into())?)
}

pub fn udp(port: u16) -> Result<UdpSocket> {
    let socket = bound(port, Type::DGRAM, Protocol::UDP)
        .with_context(|| format!("cannot listen on UDP port {port}"))?;
    Ok(UdpSocket::from_std(socket.into())?)
}

fn bound(port: u16, kind: Type, protocol: Protocol) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, kind, Some(protocol))?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(kind == Type::STREAM)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    Ok(socket)
}
