//! Every pod tries every other one, all at once.

use std::fs::File;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use weir_lab::workload::sctp;

/// How long what must be dropped is waited for: until the first retransmission.
const SILENCE: Duration = Duration::from_millis(1000);
/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// One attempt, and whether it may succeed.
#[derive(Debug, Clone)]
pub struct Probe {
    pub to: SocketAddr,
    /// For messages: `x/b by its service`.
    pub name: String,
    pub allowed: bool,
    /// A port that no other attempt of this round has.
    pub local_port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Answer,
    Silence,
    /// Something said no, which neither a server nor a policy does.
    Refused,
}

/// What came differently, of one client's attempts from its netns.
pub fn all(netns: &str, protocol: Protocol, probes: Vec<Probe>) -> Vec<String> {
    let file = File::open(Path::new("/run/netns").join(netns)).expect("the pod's netns");
    setns(&file, CloneFlags::CLONE_NEWNET).expect("entering the pod's netns");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut running = JoinSet::new();
        for probe in probes {
            running.spawn(one(protocol, probe));
        }
        let mut different = Vec::new();
        while let Some(done) = running.join_next().await {
            different.extend(done.expect("a probe"));
        }
        different
    })
}

async fn one(protocol: Protocol, probe: Probe) -> Option<String> {
    let limit = if probe.allowed { PATIENCE } else { SILENCE };
    let came = match protocol {
        Protocol::Tcp => tcp(probe.to, limit).await,
        Protocol::Udp => udp(probe.to, limit).await,
        Protocol::Sctp => match sctp::opens(probe.to, probe.local_port, limit).await {
            Ok(true) => Came::Answer,
            Ok(false) => Came::Silence,
            Err(error) => panic!("{}: {error:#}", probe.name),
        },
    };
    let expected = if probe.allowed {
        Came::Answer
    } else {
        Came::Silence
    };
    (came != expected).then(|| {
        format!(
            "{} ({}): {came:?}, expected {expected:?}",
            probe.name, probe.to
        )
    })
}

async fn tcp(to: SocketAddr, limit: Duration) -> Came {
    match tokio::time::timeout(limit, TcpStream::connect(to)).await {
        Err(_) => Came::Silence,
        Ok(Ok(_)) => Came::Answer,
        Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => Came::Silence,
        Ok(Err(_)) => Came::Refused,
    }
}

/// The server sends back what it gets. Datagrams may be lost, so they are sent again.
async fn udp(to: SocketAddr, limit: Duration) -> Came {
    let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).await.expect("a UDP socket");
    socket.connect(to).await.expect("a route");
    let attempt = async {
        let mut buffer = [0; 16];
        loop {
            if socket.send(b"hello").await.is_err() {
                return Came::Refused;
            }
            match tokio::time::timeout(AGAIN, socket.recv(&mut buffer)).await {
                Ok(Ok(length)) if &buffer[..length] == b"hello" => return Came::Answer,
                Ok(_) => return Came::Refused,
                Err(_) => {}
            }
        }
    };
    let came = tokio::time::timeout(limit, attempt).await;
    came.unwrap_or(Came::Silence)
}
