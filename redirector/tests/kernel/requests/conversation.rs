//! A connection from a client to the pod, segment by segment.

use std::net::IpAddr;

use weir_abi::conntrack::ConnectionKey;
use weir_policy::model::{HttpRule, Peers};

use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN},
    small::*,
};

pub const PSH: u8 = 8;
pub const URG: u8 = 32;

/// MSS 1460, SACK, timestamps, window scale 7: as Linux' SYN has them.
const OPTIONS: [u8; 20] = [
    2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7,
];

pub struct Conversation {
    pub bench: Bench,
    family: usize,
    port: u16,
    /// Next sequence numbers of the client and of the server.
    pub client: u32,
    pub server: u32,
}

/// A rule by method and path.
pub fn http(method: &str, path: &str) -> HttpRule {
    HttpRule {
        method: Some(method.into()),
        path: Some(path.into()),
        ..HttpRule::default()
    }
}

/// A bench where the kernel judges by these rules on port 80.
pub fn judging(rules: Vec<HttpRule>) -> Bench {
    let mut bench = Bench::judging();
    // Connections that a test has done with stay in the table.
    bench.share = 60_000;
    let world = world(Some(vec![rule(Peers::Any, Some(80), Some(rules))]), None);
    bench.install(&world, 0);
    bench
}

/// A head of no more than a line and its host.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn lowered(address: IpAddr) -> weir_abi::Address {
    match address {
        IpAddr::V4(v4) => weir_abi::mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The usual reply.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// === impl Conversation ===

impl Conversation {
    /// Opens a connection; its numbers begin at these.
    pub fn open(bench: Bench, family: usize, client: u32, server: u32) -> Self {
        let mut talk = Self {
            bench,
            family,
            port: 40_000,
            client,
            server,
        };
        talk.again();
        talk
    }

    /// Opens a connection.
    pub fn new() -> Self {
        Self::open(
            judging(vec![http("GET|POST|HEAD", "/public/.*")]),
            0,
            1000,
            5000,
        )
    }

    /// The SYN of a connection from another port.
    pub fn try_another(&mut self) -> Result {
        self.port += 1;
        (self.client, self.server) = (1000, 5000);
        let opens = self.syn(SYN, self.client, 0);
        if opens == Result::Pass {
            self.finish_opening();
        }
        opens
    }

    /// A connection from another port, on the same bench.
    pub fn another(&mut self) {
        self.port += 1;
        (self.client, self.server) = (1000, 5000);
        self.again();
    }

    /// Its key in the connection table.
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey {
            local: lowered(ip(POD[self.family])),
            remote: lowered(ip(CLIENT[self.family])),
            local_port: 80,
            remote_port: self.port,
            endpoint: 1,
            protocol: 6,
            kind: 0,
        }
    }

    /// The handshake.
    pub fn again(&mut self) {
        assert_eq!(self.syn(SYN, self.client, 0), Result::Pass, "SYN");
        self.finish_opening();
    }

    fn finish_opening(&mut self) {
        self.client = self.client.wrapping_add(1);
        assert_eq!(self.accept(self.client), Result::Pass, "SYN and ACK");
        self.server = self.server.wrapping_add(1);
        assert_eq!(self.says(self.client, ACK, b""), Result::Pass, "ACK");
    }

    /// A SYN of the client.
    pub fn syn(&mut self, flags: u8, sequence: u32, acknowledged: u32) -> Result {
        let craft = Craft {
            announced: OPTIONS.to_vec(),
            payload: Vec::new(),
            ..self.towards(flags, sequence, acknowledged)
        };
        self.bench.run(Way::ToPod, &craft.build())
    }

    /// The server's SYN with ACK.
    pub fn accept(&mut self, acknowledged: u32) -> Result {
        let craft = Craft {
            announced: OPTIONS.to_vec(),
            payload: Vec::new(),
            ..self.back(SYN | ACK, self.server, acknowledged)
        };
        self.bench.run(Way::FromPod, &craft.build())
    }

    pub fn towards(&self, flags: u8, sequence: u32, acknowledged: u32) -> Craft {
        let (pod, client) = (ip(POD[self.family]), ip(CLIENT[self.family]));
        let craft = Craft::new(client, pod, weir_policy::model::Protocol::Tcp);
        Craft {
            sequence,
            acknowledged,
            ..craft.ports(self.port, 80).detail(flags)
        }
    }

    pub fn back(&self, flags: u8, sequence: u32, acknowledged: u32) -> Craft {
        let (pod, client) = (ip(POD[self.family]), ip(CLIENT[self.family]));
        let craft = Craft::new(pod, client, weir_policy::model::Protocol::Tcp);
        Craft {
            sequence,
            acknowledged,
            ..craft.ports(80, self.port).detail(flags)
        }
    }

    /// A segment of the client's.
    pub fn says(&mut self, sequence: u32, flags: u8, bytes: &[u8]) -> Result {
        let craft = Craft {
            payload: bytes.to_vec(),
            ..self.towards(flags, sequence, self.server)
        };
        self.bench.run(Way::ToPod, &craft.build())
    }

    /// The client's next bytes; it goes on behind them where they passed.
    pub fn next(&mut self, bytes: &[u8]) -> Result {
        let result = self.says(self.client, ACK | PSH, bytes);
        if result == Result::Pass {
            self.client = self.client.wrapping_add(bytes.len() as u32);
        }
        result
    }

    /// A segment of the server's that accepts all that passed.
    pub fn replies(&mut self, bytes: &[u8]) -> Result {
        let craft = Craft {
            payload: bytes.to_vec(),
            ..self.back(ACK | PSH, self.server, self.client)
        };
        self.server = self.server.wrapping_add(bytes.len() as u32);
        let result = self.bench.run(Way::FromPod, &craft.build());
        assert_eq!(self.says(self.client, ACK, b""), Result::Pass);
        result
    }

    /// A request that passes, with its reply.
    pub fn exchange(&mut self, path: &str) {
        assert_eq!(self.next(&get(path)), Result::Pass, "{path}");
        assert_eq!(self.replies(OK), Result::Pass, "reply to {path}");
    }
}
