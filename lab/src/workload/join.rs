//! One connection that came from elsewhere, joined to a port of this pod's loopback.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};

use anyhow::{Context as _, Result};

use super::Options;

/// Copies standard input to the port and what it answers to standard output, until it ends.
pub fn run(options: &Options) -> Result<()> {
    let port = *options.tcp.first().context("no port to join")?;
    let loopback = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ];
    let mut server = TcpStream::connect(&loopback[..])
        .with_context(|| format!("nothing listens on port {port} of {}", options.pod))?;
    let mut towards = server.try_clone().context("a connection")?;
    std::thread::spawn(move || {
        let copied = io::copy(&mut io::stdin().lock(), &mut towards);
        // The other direction goes on; a connection that is gone needs no end.
        drop(copied.and_then(|_| towards.shutdown(Shutdown::Write)));
    });
    match io::copy(&mut server, &mut io::stdout().lock()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot copy")
        }
        _ => Ok(()),
    }
}
