//! The flow that a connection belongs to, and its records on their way to the agent.

use std::{
    net::SocketAddr,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{mpsc, watch};
use weir_link::proxy::{Application, Disposition, L7Record, Recorded, cut_fields};
use weir_policy::{
    l7::RequestFlow,
    model::{Direction, Protocol},
};

/// Which flow a connection belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowKey {
    /// The endpoint, by its index in the snapshot.
    pub endpoint: u16,
    /// From the endpoint's view.
    pub direction: Direction,
    /// Client address.
    pub client: SocketAddr,
    /// The address that the client's connection was going to.
    pub server: SocketAddr,
    /// TCP, or UDP for DNS.
    pub protocol: Protocol,
    /// The mark of the accepted socket; see [`weir_abi::mark`].
    pub mark: u32,
}

impl FlowKey {
    /// The flow as policy sees it.
    pub fn request_flow(&self) -> RequestFlow {
        let peer = match self.direction {
            Direction::Ingress => self.client.ip(),
            Direction::Egress => self.server.ip(),
        };
        RequestFlow {
            endpoint: self.endpoint,
            direction: self.direction,
            peer,
            protocol: self.protocol,
            port: self.server.port(),
        }
    }

    /// A record of this flow with nothing said about a request yet.
    pub fn record(&self, verdict: Disposition, reason: impl Into<String>) -> L7Record {
        L7Record {
            time_us: 0,
            endpoint: Some(self.endpoint),
            direction: self.direction,
            client: self.client,
            server: self.server,
            application: Application::Other { status: None },
            verdict,
            policies: Vec::new(),
            reason: reason.into(),
            nearest: None,
            latency_us: 0,
        }
    }
}

/// Where records go. Sending never waits: a full queue drops the record.
#[derive(Debug, Clone)]
pub struct FlowSender {
    queue: mpsc::Sender<L7Record>,
    recorded: watch::Receiver<Recorded>,
}

/// Fields whose values never leave the proxy, whoever asks.
const SECRET: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
];

impl FlowSender {
    /// A queue of at most `capacity` records, and where to say what they tell.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<L7Record>, watch::Sender<Recorded>) {
        let (queue, receiver) = mpsc::channel(capacity);
        let (wanted, recorded) = watch::channel(Recorded::default());
        (Self { queue, recorded }, receiver, wanted)
    }

    /// The fields of a request that the agent has asked for. Values that are no text lose what is
    /// none.
    pub fn wanted(&self, fields: &[(&str, &[u8])]) -> Vec<(String, String)> {
        let recorded = self.recorded.borrow();
        let names = &recorded.headers;
        if names.is_empty() {
            return Vec::new();
        }
        let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
        let wanted = |name: &str| {
            names.iter().any(|wanted| is(name, wanted)) && !SECRET.iter().any(|s| is(name, s))
        };
        let fields = fields.iter().filter(|(name, _)| wanted(name));
        cut_fields(fields.map(|(name, value)| (*name, String::from_utf8_lossy(value))))
    }

    /// Stamps and queues a record, where records are wanted; `false` if it was dropped.
    #[must_use]
    pub fn send(&self, mut flow: L7Record, since: Instant) -> bool {
        if !self.recorded.borrow().requests {
            return true;
        }
        flow.latency_us = since.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        flow.time_us = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_micros().try_into().unwrap_or(u64::MAX));
        self.queue.try_send(flow).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_were_asked_for_leave() {
        let (sender, mut queue, recorded) = FlowSender::channel(1);
        let fields: [(&str, &[u8]); 4] = [
            ("Host", b"a"),
            ("X-Id", b"7\xff"),
            ("Authorization", b"secret"),
            ("Cookie", b"secret"),
        ];
        assert_eq!(sender.wanted(&fields), []);
        let ask = |names: &[&str]| {
            recorded.send_replace(Recorded {
                headers: names.iter().map(|name| (*name).to_owned()).collect(),
                ..Recorded::default()
            });
        };
        ask(&["x-id", "authorization", "cookie"]);
        let id = ("X-Id".to_owned(), "7\u{fffd}".to_owned());
        assert_eq!(sender.wanted(&fields), [id]);
        ask(&[]);
        assert_eq!(sender.wanted(&fields), []);
        let key = FlowKey {
            endpoint: 1,
            direction: Direction::Ingress,
            client: ([127, 0, 0, 1], 1).into(),
            server: ([127, 0, 0, 1], 2).into(),
            protocol: Protocol::Tcp,
            mark: 0,
        };
        let send = || sender.send(key.record(Disposition::Allowed, ""), Instant::now());
        recorded.send_replace(Recorded {
            requests: false,
            headers: Vec::new(),
        });
        assert!(send() && queue.try_recv().is_err());
        ask(&[]);
        assert!(send() && queue.try_recv().is_ok());
    }
}
