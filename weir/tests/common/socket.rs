//! Sockets of a pod, held by the test: a socket stays in the netns that it was made in.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::PATIENCE;

/// Runs something inside a netns, on a thread of its own.
pub fn inside<T: Send>(netns: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(Path::new("/run/netns").join(netns)).expect("the netns");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&file, CloneFlags::CLONE_NEWNET).expect("entering the netns");
            work()
        });
        thread.join().expect("the thread in the netns")
    })
}

pub fn tcp(netns: &str, to: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    inside(netns, || {
        let stream = TcpStream::connect_timeout(&to, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    })
}

pub fn listen(netns: &str, at: SocketAddr) -> TcpListener {
    inside(netns, || TcpListener::bind(at)).expect("listening in the pod")
}

/// A datagram socket that speaks with one peer.
pub fn udp(netns: &str, to: SocketAddr) -> UdpSocket {
    inside(netns, || {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => [0u8; 4].into(),
            SocketAddr::V6(_) => [0u16; 8].into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        io::Result::Ok(socket)
    })
    .expect("a UDP socket")
}

/// One HTTP connection that the test keeps open, one request at a time.
pub struct Http {
    stream: BufReader<TcpStream>,
}

// === impl Http ===

impl Http {
    pub fn open(netns: &str, to: SocketAddr) -> io::Result<Self> {
        Self::open_within(netns, to, PATIENCE)
    }

    pub fn open_within(netns: &str, to: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = BufReader::new(tcp(netns, to, limit)?);
        Ok(Self { stream })
    }

    pub fn port(&self) -> u16 {
        self.stream
            .get_ref()
            .local_addr()
            .expect("own address")
            .port()
    }

    /// How long an answer may take.
    pub fn wait_at_most(&self, limit: Duration) {
        self.stream
            .get_ref()
            .set_read_timeout(Some(limit))
            .expect("a time limit");
    }

    /// Sends a request and reads its whole answer; gives the status.
    pub fn request(&mut self, method: &str, path: &str) -> io::Result<u16> {
        self.send(method, path)?;
        self.answer().map(|(status, _)| status)
    }

    pub fn send(&mut self, method: &str, path: &str) -> io::Result<()> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
        self.stream.get_mut().write_all(head.as_bytes())
    }

    /// Status and body of the next answer.
    pub fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if status.is_none() {
                status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
                continue;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let status = status.ok_or_else(|| io::Error::other("no status line"))?;
        Ok((status, body))
    }
}
