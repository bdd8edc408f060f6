//! Ends of flows, with what was counted of them. Most are only counted: their record is made when
//! somebody reads it who asked for ends.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use weir_abi::{
    conntrack::{Connection, DENIED, OPENING, RESET, TRANSLATED},
    event::{self, Event},
    policy::direction,
    protocol,
};
use weir_policy::model::Direction;

use super::{address, base, event_type, named, traffic, uuid};
use crate::{
    api::{
        flow::{CiliumEventType, Flow, Verdict},
        weir::{Counted, End, Ended, Why},
    },
    names::Directory,
};

/// TCP flags of the packet that ended a connection.
const FIN_ACK: u8 = 1 | 16;
const RST: u8 = 4;

/// The end of a flow, and all that its record needs.
#[derive(Debug)]
pub struct EndedFlow {
    ended: event::Ended,
    time: SystemTime,
    names: Arc<Directory>,
    /// See [`uuid`].
    number: (u64, u64),
    made: OnceLock<Arc<Flow>>,
}

// === impl EndedFlow ===

impl EndedFlow {
    /// An end at a time; `number` is its run and its place there.
    pub fn new(
        ended: event::Ended,
        time: SystemTime,
        names: Arc<Directory>,
        number: (u64, u64),
    ) -> Self {
        Self {
            ended,
            time,
            names,
            number,
            made: OnceLock::new(),
        }
    }

    /// Its record.
    pub fn flow(&self) -> Arc<Flow> {
        let (run, number) = self.number;
        let make = || {
            Arc::new(Flow {
                uuid: uuid(run, number),
                ..ended(&self.ended, self.time, &self.names)
            })
        };
        Arc::clone(self.made.get_or_init(make))
    }
}

/// Whether a record is the end of a flow. Only those who ask for ends get them.
pub fn is_end(flow: &Flow) -> bool {
    flow.event_type
        .is_some_and(|event| event.r#type == event_type::ENDED)
}

/// How a flow ended.
pub fn end(entry: &Connection) -> End {
    if entry.flags & DENIED != 0 {
        End::Denied
    } else if entry.closed & RESET != 0 {
        End::Reset
    } else if entry.is_closed() {
        End::Closed
    } else if entry.flags & OPENING != 0 {
        End::Unanswered
    } else {
        End::Idle
    }
}

/// What was counted, from the view of the side that opened the flow.
pub fn counted(entry: &Connection) -> [Counted; 2] {
    let towards = |way: u8| Counted {
        packets: entry.packets[usize::from(way)],
        bytes: entry.bytes[usize::from(way)],
    };
    match entry.direction {
        direction::INGRESS => [towards(direction::INGRESS), towards(direction::EGRESS)],
        _ => [towards(direction::EGRESS), towards(direction::INGRESS)],
    }
}

fn ended(ended: &event::Ended, time: SystemTime, names: &Directory) -> Flow {
    let (key, entry) = (&ended.key, &ended.entry);
    let (from, to) = ((key.local, key.local_port), (key.remote, key.remote_port));
    let direction = match entry.direction {
        direction::INGRESS => Direction::Ingress,
        _ => Direction::Egress,
    };
    let (source, destination) = match direction {
        Direction::Ingress => (to, from),
        Direction::Egress => (from, to),
    };
    let how = end(entry);
    let [sent, received] = counted(entry);
    let lasted = ended.time.saturating_sub(entry.opened);
    let translated = entry.flags & TRANSLATED != 0;
    let event = Event {
        source: source.0,
        source_port: source.1,
        destination: destination.0,
        destination_port: destination.1,
        service: entry.service,
        service_port: if translated { entry.service_port } else { 0 },
        protocol: key.protocol,
        detail: match (key.protocol, how) {
            (protocol::TCP, End::Reset) => RST,
            (protocol::TCP, End::Closed) => FIN_ACK,
            (protocol::TCP, _) => 0,
            _ => key.kind,
        },
        ..Event::default()
    };
    let policies: Vec<String> = names
        .snapshot
        .policies
        .get(&entry.policy)
        .map(|policy| policy.to_string())
        .into_iter()
        .collect();
    let by = named(&policies, entry.revision.into());
    let mut flow = base(&event, time, names);
    flow.traffic_direction = traffic(direction).into();
    flow.verdict = match how {
        End::Denied => Verdict::Dropped,
        _ => Verdict::Forwarded,
    }
    .into();
    flow.event_type = Some(CiliumEventType {
        r#type: event_type::ENDED,
        sub_type: how.into(),
    });
    *match (direction, how) {
        (Direction::Ingress, End::Denied) => &mut flow.ingress_denied_by,
        (Direction::Ingress, _) => &mut flow.ingress_allowed_by,
        (Direction::Egress, End::Denied) => &mut flow.egress_denied_by,
        (Direction::Egress, _) => &mut flow.egress_allowed_by,
    } = by;
    flow.summary = format!(
        "{} after {}, sent {}, received {}",
        word(how),
        lasting(Duration::from_nanos(lasted)),
        amount(&sent),
        amount(&received),
    );
    flow.weir = Some(Why {
        policies,
        revision: entry.revision.into(),
        reason: meaning(how).to_owned(),
        ended: Some(Ended {
            end: how.into(),
            lasted_ns: lasted,
            sent: Some(sent),
            received: Some(received),
        }),
        ..Why::default()
    });
    flow
}

/// How a flow ended, in a word.
pub fn word(end: End) -> &'static str {
    match end {
        End::Closed => "closed",
        End::Reset => "reset",
        End::Denied => "cut",
        End::Unanswered => "unanswered",
        End::Idle | End::Unknown => "idle",
    }
}

fn meaning(end: End) -> &'static str {
    match end {
        End::Closed => "both sides closed the connection",
        End::Reset => "one side reset the connection",
        End::Denied => "a later policy denies it",
        End::Unanswered => "nobody answered",
        End::Idle | End::Unknown => "nothing more was seen of it",
    }
}

fn lasting(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds if seconds < 120 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} min", seconds / 60),
    }
}

fn amount(counted: &Counted) -> String {
    let packets = match counted.packets {
        1 => "1 packet".to_owned(),
        many => format!("{many} packets"),
    };
    format!("{packets} {}", bytes(counted.bytes))
}

/// Bytes as people read them, in powers of 1024.
fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let (mut value, mut unit) = (number as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Who opened the flow, and whom it went to.
pub(crate) fn opened_by(ended: &event::Ended) -> (std::net::IpAddr, std::net::IpAddr) {
    let (local, remote) = (address(ended.key.local), address(ended.key.remote));
    match ended.entry.direction {
        direction::INGRESS => (remote, local),
        _ => (local, remote),
    }
}

#[cfg(test)]
mod tests {
    use weir_abi::{
        conntrack::{ConnectionKey, FIN_LOCAL, FIN_REMOTE},
        mapped,
    };

    use super::*;
    use crate::{api::flow::layer4::Protocol, testing};

    fn ended_flow(entry: Connection) -> Flow {
        let key = ConnectionKey {
            local: mapped([10, 0, 0, 1]),
            remote: mapped([192, 0, 2, 7]),
            local_port: 80,
            remote_port: 40_000,
            endpoint: 1,
            protocol: protocol::TCP,
            kind: 0,
        };
        let ended = event::Ended {
            time: 3_500_000_000,
            key,
            entry: Connection {
                opened: 1_000_000_000,
                packets: [12, 10],
                bytes: [1_500, 3 << 20],
                ..entry
            },
        };
        super::ended(&ended, SystemTime::now(), &testing::names(Vec::new()))
    }

    #[test]
    fn what_was_counted_is_told_from_the_openers_side() {
        let closed = FIN_LOCAL | FIN_REMOTE;
        let flow = ended_flow(Connection {
            direction: direction::INGRESS,
            closed,
            ..Connection::default()
        });
        assert_eq!(
            flow.summary,
            "closed after 2.5 s, sent 12 packets 1.5 KiB, received 10 packets 3.0 MiB"
        );
        assert_eq!(flow.ip.as_ref().unwrap().source, "192.0.2.7");
        let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().unwrap().protocol.as_ref() else {
            panic!("no TCP: {flow:?}");
        };
        assert_eq!((tcp.source_port, tcp.destination_port), (40_000, 80));
        assert!(is_end(&flow));
        let flow = ended_flow(Connection {
            direction: direction::EGRESS,
            closed,
            ..Connection::default()
        });
        assert_eq!(
            flow.summary,
            "closed after 2.5 s, sent 10 packets 3.0 MiB, received 12 packets 1.5 KiB"
        );
        assert_eq!(flow.ip.as_ref().unwrap().source, "10.0.0.1");
    }

    #[test]
    fn how_a_flow_ended_is_told() {
        let of = |closed, flags| {
            let flow = ended_flow(Connection {
                closed,
                flags,
                ..Connection::default()
            });
            let word = flow.summary.split(" after").next().unwrap().to_owned();
            (word, flow.verdict())
        };
        let forwarded = |word: &str| (word.to_owned(), Verdict::Forwarded);
        assert_eq!(of(0, 0), forwarded("idle"));
        assert_eq!(of(FIN_LOCAL, 0), forwarded("idle"));
        assert_eq!(of(RESET, OPENING), forwarded("reset"));
        assert_eq!(of(0, OPENING), forwarded("unanswered"));
        let cut = ("cut".to_owned(), Verdict::Dropped);
        assert_eq!(of(RESET, DENIED), cut);
    }
}
