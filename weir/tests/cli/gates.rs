//! Servers of commands that are no agent: one peer has a share of their connections, and what is
//! refused is counted.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use crate::webhook::certify;

const LIMIT: Duration = Duration::from_secs(30);
/// The fewest descriptors that a server starts with.
const DESCRIPTORS: &str = "256";
const CLIENTS: usize = 40;

/// A command that serves until this is dropped.
struct Server {
    process: Child,
    lines: Receiver<String>,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n \"$1\"; shift; exec \"$0\" \"$@\" 2>&1"])
            .args([env!("CARGO_BIN_EXE_weir"), DESCRIPTORS])
            .args(args)
            .args(["--metrics", "127.0.0.1:0"])
            .env("WEIR_LOG", "info")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let said = BufReader::new(process.stdout.take().expect("its output")).lines();
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in said.map_while(Result::ok) {
                tell.send(line).ok();
            }
        });
        Self { process, lines }
    }

    /// The address in the first line from here on that holds these words.
    fn address(&self, words: &str) -> SocketAddr {
        let until = Instant::now() + LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("it never said {words:?}"));
            if let (true, Some((_, port))) = (line.contains(words), line.split_once("127.0.0.1:")) {
                let digits = port.split(|c: char| !c.is_ascii_digit()).next();
                let port = digits
                    .and_then(|digits| digits.parse().ok())
                    .expect("a port");
                return SocketAddr::from(([127, 0, 0, 1], port));
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The value of a series.
fn value(metrics: SocketAddr, series: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(metrics).ok()?;
    let ask = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let line = text.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// More clients than one address may be are refused, counted, and let in when others have left.
fn one_peer_has_a_share(metrics: SocketAddr, server: SocketAddr, name: &str) {
    let refused =
        format!("weir_server_connections_refused_total{{server=\"{name}\",reason=\"peer\"}}");
    let open = format!("weir_server_connections{{server=\"{name}\"}}");
    let until = Instant::now() + LIMIT;
    while value(metrics, &refused) != Some(0) {
        assert!(Instant::now() < until, "{name}: nothing is counted");
    }
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| TcpStream::connect(server).expect("a connection"))
        .collect();
    let (mut inside, mut out) = (0, 0);
    while inside + out < CLIENTS as u64 {
        assert!(
            Instant::now() < until,
            "{name}: {inside} inside, {out} refused"
        );
        inside = value(metrics, &open).unwrap_or(0);
        out = value(metrics, &refused).unwrap_or(0);
    }
    assert!(
        inside >= 2 && out >= CLIENTS as u64 / 4,
        "{name}: {inside} inside, {out} refused"
    );
    drop(clients);
    while value(metrics, &open) != Some(0) {
        assert!(Instant::now() < until, "{name}: they never leave");
    }
}

#[test]
fn the_webhook_gives_each_peer_a_share() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = certify(folder.path());
    let key = folder.path().join("tls.key");
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let files = ["--cert", &certificate, "--key", &key];
    let server = Server::start(&[&["webhook", "--listen", "127.0.0.1:0"], &files[..]].concat());
    let metrics = server.address("metrics are served");
    one_peer_has_a_share(metrics, server.address("the webhook answers"), "webhook");
}

#[test]
fn the_map_gives_each_peer_a_share() {
    let flows = "docs/examples/flows.jsonl";
    let flows = crate::common::repository()
        .join(flows)
        .display()
        .to_string();
    let server = Server::start(&["ui", "--listen", "127.0.0.1:0", "--input-file", &flows]);
    let metrics = server.address("metrics are served");
    one_peer_has_a_share(metrics, server.address("http://"), "ui");
}

#[test]
fn the_relay_gives_each_peer_a_share() {
    let page = ["--ui", "127.0.0.1:0"];
    let peer = ["relay", "--peer", "127.0.0.1:9", "--listen", "127.0.0.1:0"];
    let server = Server::start(&[&peer[..], &page].concat());
    let metrics = server.address("metrics are served");
    let map = server.address("the map is served");
    one_peer_has_a_share(metrics, server.address("the relay answers"), "observer-tcp");
    one_peer_has_a_share(metrics, map, "ui");
}
