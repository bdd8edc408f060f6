//! A server that greets as MySQL does and then listens politely.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                tokio::task::spawn_local(connection(stream, client));
            }
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(mut stream: TcpStream, client: SocketAddr) {
    println!("connect from {client}");
    if let Err(error) = converse(&mut stream).await {
        eprintln!("{client}: {error}");
    }
}

async fn converse(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(&greeting()).await?;
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Protocol::HandshakeV10 of the MySQL client/server protocol.
fn greeting() -> Vec<u8> {
    let mut payload = vec![10];
    payload.extend(b"8.0.36-weir-lab\0");
    payload.extend(1u32.to_le_bytes()); // connection
    payload.extend(b"weirlab1\0"); // first part of the challenge, and a filler
    payload.extend(0xf7ffu16.to_le_bytes()); // lower capabilities
    payload.push(255); // utf8mb4
    payload.extend(2u16.to_le_bytes()); // autocommit
    payload.extend(0xdfffu16.to_le_bytes()); // upper capabilities
    payload.push(21); // length of the challenge
    payload.extend([0; 10]);
    payload.extend(b"weirlab12345\0"); // its second part
    payload.extend(b"caching_sha2_password\0");
    let mut packet = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(0); // sequence number
    packet.extend(payload);
    packet
}
