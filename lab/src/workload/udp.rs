//! UDP ports send back what they get.

use anyhow::{Context as _, Result};
use tokio::net::UdpSocket;

pub async fn echo(socket: UdpSocket) -> Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.context("UDP receive")?;
        println!("datagram of {length} bytes from {peer}");
        // An unreachable client must not end the server.
        if let Err(error) = socket.send_to(&buffer[..length], peer).await {
            eprintln!("cannot answer {peer}: {error}");
        }
    }
}
