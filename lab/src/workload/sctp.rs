//! SCTP as far as a connectivity test needs it: an association's first two packets.
//!
//! Where the kernel has SCTP, its own listener answers. Where it has not, a raw socket does: the
//! packets are real either way, and that is what policy and address translation look at.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// IP protocol number.
const SCTP: i32 = 132;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const HEADER: usize = 12;
/// Type, flags, length, tag, window, streams out and in, first sequence number.
const INIT_CHUNK: usize = 20;

/// Answers on ports until it is ended.
pub async fn serve(ports: Vec<u16>) -> Result<()> {
    if let Some(listeners) = kernel_listeners(&ports)? {
        std::future::pending::<()>().await;
        drop(listeners);
        return Ok(());
    }
    let answer_v4 = answer(raw(Domain::IPV4)?, &ports);
    let answer_v6 = answer(raw(Domain::IPV6)?, &ports);
    tokio::try_join!(answer_v4, answer_v6)?;
    Ok(())
}

/// Whether a server accepts an association from `local_port` within the limit.
pub async fn opens(to: SocketAddr, local_port: u16, limit: Duration) -> Result<bool> {
    let domain = Domain::for_address(to);
    let socket = raw(domain)?;
    socket.connect(SocketAddr::new(to.ip(), 0)).await?;
    let request = packet(local_port, to.port(), 0, INIT);
    let attempt = async {
        loop {
            socket.send(&request).await?;
            let answered = wait_for_answer(&socket, domain, to.port(), local_port);
            // An association is asked for again, as the protocol does it.
            if let Ok(answered) = tokio::time::timeout(Duration::from_millis(700), answered).await {
                return answered;
            }
        }
    };
    match tokio::time::timeout(limit, attempt).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Ok(false),
    }
}

async fn wait_for_answer(socket: &UdpSocket, domain: Domain, from: u16, to: u16) -> Result<()> {
    let mut buffer = [0; 2048];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let packet = payload(&buffer[..length], domain);
        if ports(packet) == Some((from, to)) && packet.get(HEADER) == Some(&INIT_ACK) {
            return Ok(());
        }
    }
}

fn kernel_listeners(ports: &[u16]) -> Result<Option<Vec<Socket>>> {
    let mut listeners = Vec::new();
    for port in ports {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::from(SCTP)));
        let Ok(socket) = socket else {
            return Ok(None);
        };
        let place = || format!("cannot listen on SCTP port {port}");
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
        socket
            .set_only_v6(false)
            .and_then(|()| socket.bind(&any.into()))
            .and_then(|()| socket.listen(128))
            .with_context(place)?;
        listeners.push(socket);
    }
    Ok(Some(listeners))
}

/// A raw socket speaks in datagrams, so a UDP socket's calls fit it.
fn raw(domain: Domain) -> Result<UdpSocket> {
    let place = "cannot open a raw socket for SCTP";
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(SCTP))).context(place)?;
    socket.set_nonblocking(true).context(place)?;
    UdpSocket::from_std(socket.into()).context(place)
}

async fn answer(socket: UdpSocket, served: &[u16]) -> Result<()> {
    let domain = Domain::for_address(socket.local_addr()?);
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = socket
            .recv_from(&mut buffer)
            .await
            .context("SCTP receive")?;
        let request = payload(&buffer[..length], domain);
        let (Some((from, to)), Some(&INIT)) = (ports(request), request.get(HEADER)) else {
            continue;
        };
        let tag = request.get(HEADER + 4..HEADER + 8);
        let Some(tag) = tag.and_then(|tag| tag.try_into().ok()) else {
            continue;
        };
        if !served.contains(&to) {
            continue;
        }
        let reply = packet(to, from, u32::from_be_bytes(tag), INIT_ACK);
        println!("SCTP association from {}:{from}", peer.ip());
        // An unreachable client must not end the server.
        if let Err(error) = socket.send_to(&reply, peer).await {
            eprintln!("cannot answer {peer}: {error}");
        }
    }
}

/// What follows the IP header, which raw sockets show for IPv4 only.
fn payload(datagram: &[u8], domain: Domain) -> &[u8] {
    let header = match (domain, datagram.first()) {
        (Domain::IPV4, Some(first)) => usize::from(first & 0x0f) * 4,
        _ => 0,
    };
    datagram.get(header..).unwrap_or_default()
}

fn ports(packet: &[u8]) -> Option<(u16, u16)> {
    let port = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    Some((port(0)?, port(2)?))
}

/// An INIT or INIT ACK chunk behind the common header.
fn packet(from: u16, to: u16, verification_tag: u32, kind: u8) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + INIT_CHUNK);
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    packet.extend(verification_tag.to_be_bytes());
    packet.extend([0; 4]); // checksum, below
    packet.extend([kind, 0]);
    packet.extend((INIT_CHUNK as u16).to_be_bytes());
    packet.extend(0x5745_4952u32.to_be_bytes()); // our tag
    packet.extend(65536u32.to_be_bytes()); // window
    packet.extend([0, 1, 0, 1]); // one stream each way
    packet.extend(1u32.to_be_bytes()); // first sequence number
    let checksum = crc32c(&packet);
    packet[8..12].copy_from_slice(&checksum.to_le_bytes());
    packet
}

/// RFC 9260, appendix A: connection tracking drops what has it wrong.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = (crc >> 1) ^ (0x82f6_3b78 * low);
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum() {
        // The check value of CRC-32C.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn packets() {
        let init = packet(1000, 80, 0, INIT);
        assert_eq!(init.len(), 32);
        assert_eq!(ports(&init), Some((1000, 80)));
        assert_eq!(ports(&init[..3]), None);
    }
}
