//! Pings and datagrams between pods, and that they do not pass.

use std::io::ErrorKind;
use std::net::SocketAddr;

use crate::common::{Family, PATIENCE, SILENCE, SILENT, TestLab, udp};

pub fn ping(lab: &TestLab, from: &str, to: &str, limit: &str) -> bool {
    let words = ["ping", "-n", "-c", "1", "-W", limit, to];
    let output = lab.exec(from, &words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("1 packets transmitted"),
        "{from} {words:?}: {output:?}"
    );
    output.status.success()
}

pub fn pings(lab: &TestLab, from: &str, to: &str, family: Family) {
    let limit = PATIENCE.as_secs().to_string();
    let to = lab.address(to, family).to_string();
    assert!(ping(lab, from, &to, &limit), "{from} does not ping {to}");
}

fn pings_not(lab: &TestLab, from: &str, to: &str, family: Family) {
    let to = lab.address(to, family).to_string();
    assert!(!ping(lab, from, &to, SILENCE), "{from} pings {to}");
}

/// A datagram there and its answer.
pub fn datagrams(lab: &TestLab, from: &str, to: SocketAddr) {
    let socket = udp(&lab.netns(from), to);
    socket.send(b"hello").unwrap();
    let mut bytes = [0; 16];
    let length = socket
        .recv(&mut bytes)
        .unwrap_or_else(|error| panic!("{from} {to}: {error}"));
    assert_eq!(&bytes[..length], b"hello");
}

/// No answer, no error, and the server has seen nothing of it.
fn datagrams_not(lab: &TestLab, from: &str, pod: &str, to: SocketAddr) {
    let socket = udp(&lab.netns(from), to);
    socket.set_read_timeout(Some(SILENT)).unwrap();
    socket.send(b"hello").unwrap();
    let error = socket.recv(&mut [0; 16]).expect_err("an answer");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{from} {to}: {error}");
    let own = socket.local_addr().unwrap().to_string();
    let seen = lab.access_log(pod);
    let seen = seen.iter().find(|line| line.ends_with(&own));
    assert_eq!(seen, None, "{from} {to}");
}

/// The answer of a host where nobody listens, an ICMP error, comes back to who asked.
pub fn refused(lab: &TestLab, from: &str, to: SocketAddr) {
    let socket = udp(&lab.netns(from), to);
    socket.send(b"hello").unwrap();
    let error = socket.recv(&mut [0; 16]).expect_err("an answer");
    assert_eq!(
        error.kind(),
        ErrorKind::ConnectionRefused,
        "{from} {to}: {error}"
    );
}

/// An address of a pod with a port.
pub fn at(lab: &TestLab, pod: &str, family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(lab.address(pod, family), port)
}

pub fn web(lab: &TestLab, pod: &str, family: Family) -> String {
    let port = if pod == "echo" { 8080 } else { 80 };
    format!("{}:{port}/ip", lab.host(pod, family))
}

/// What one pod tries on another.
#[derive(Debug, Clone, Copy)]
pub enum Try {
    Ping,
    Udp(u16),
    Web,
}

/// None of these passes; beside each other, because each waits a while for nothing.
pub fn silent(lab: &TestLab, to: &str, family: Family, tries: &[(&str, Try)]) {
    std::thread::scope(|scope| {
        for (from, what) in tries {
            scope.spawn(move || match what {
                Try::Ping => pings_not(lab, from, to, family),
                Try::Udp(port) => datagrams_not(lab, from, to, at(lab, to, family, *port)),
                Try::Web => lab.dropped(from, family, &[&web(lab, to, family)]),
            });
        }
    });
}
