//! Packets that come again: they are counted in the record of the first one.
//!
//! What was dropped leaves no trace in the kernel: the same packet within a minute is taken for the
//! same attempt. Of what passed the kernel tells itself whether it came again.

use std::collections::HashMap;

use weir_abi::{Address, event::Event, protocol};

use crate::why::is_denied;

/// The same packet within this time after the last is one that came again, in ns.
const AGAIN: u64 = 60_000_000_000;
/// Flows whose packets are looked for again; past it the old ones are forgotten.
const REMEMBERED: usize = 1 << 15;

/// Numbers of the records of a verdict.
pub type Numbers = [Option<u64>; 2];

/// Records that may be about a packet that comes again.
#[derive(Debug, Default)]
pub struct Again {
    /// Of what was dropped, with when it came last.
    dropped: HashMap<Packet, (u64, Numbers)>,
    /// Of what passed and was not answered yet.
    opening: HashMap<Packet, Numbers>,
}

/// What a packet that comes again has in common with the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Packet {
    source: Address,
    destination: Address,
    ports: (u16, u16),
    endpoint: u16,
    kind: [u8; 5],
    revision: u32,
}

impl Packet {
    fn of(event: &Event) -> Self {
        Self {
            source: event.source,
            destination: event.destination,
            ports: (event.source_port, event.destination_port),
            endpoint: event.endpoint,
            kind: [
                event.protocol,
                event.detail,
                event.direction,
                event.verdict,
                event.reason,
            ],
            revision: event.revision,
        }
    }
}

impl Again {
    /// The records of the first one, where this is the same again.
    pub fn known(&mut self, event: &Event) -> Option<Numbers> {
        let packet = Packet::of(event);
        if is_denied(event.verdict) {
            let (last, numbers) = self.dropped.get_mut(&packet)?;
            let soon = event.time.saturating_sub(*last) < AGAIN;
            *last = event.time;
            return soon.then_some(*numbers);
        }
        (event.again != 0)
            .then(|| self.opening.get(&packet).copied())
            .flatten()
    }

    /// Remembers the records of a verdict.
    pub fn remember(&mut self, event: &Event, numbers: Numbers) {
        let packet = Packet::of(event);
        if is_denied(event.verdict) {
            if self.dropped.len() >= REMEMBERED {
                let young = |last: u64| event.time.saturating_sub(last) < AGAIN / 4;
                self.dropped.retain(|_, (last, _)| young(*last));
                if self.dropped.len() >= REMEMBERED {
                    self.dropped.clear();
                }
            }
            self.dropped.insert(packet, (event.time, numbers));
        } else if event.protocol == protocol::TCP {
            if self.opening.len() >= REMEMBERED {
                self.opening.clear();
            }
            self.opening.insert(packet, numbers);
        }
    }
}
