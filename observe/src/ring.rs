//! The records in memory: bounded, and read by any number of followers that never hold up a writer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use prost::Message as _;
use tokio::sync::watch;

use crate::{
    api::flow::{Flow, LostEvent, LostEventSource},
    record::{EndedFlow, Later},
};

/// Records that are made at once by [`Ring::settle`].
const SETTLED: usize = 256;
/// Bytes that an entry may take on average, about: clients decide how long their requests are.
const EACH: usize = 4 << 10;
/// What an entry takes beside its texts.
const ENTRY: usize = 1024;
/// How much larger than what the proxy told its two records are, together.
const MADE: usize = 4;

/// One entry.
#[derive(Debug, Clone)]
pub enum Item {
    /// A record.
    Flow(Arc<Flow>),
    /// One that is made when it is read; whoever reads gets [`Item::Flow`].
    Later(Arc<Later>, usize),
    /// The end of a flow: a record for who asks for ends.
    Ended(Arc<EndedFlow>),
    /// Records that never got here.
    Lost(LostEvent),
}

/// The last records.
#[derive(Debug)]
pub struct Ring {
    state: Mutex<State>,
    /// Number of the entry that comes next.
    head: watch::Sender<u64>,
    capacity: usize,
    /// Bytes of all entries, about.
    bytes: usize,
    started: Instant,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// About how many bytes each takes, and all of them.
    weights: VecDeque<usize>,
    weight: usize,
    /// Number of the entry that comes next.
    next: u64,
    /// Records since the start.
    seen: u64,
    /// Records of the last minute, one place a second.
    rate: Rate,
}

#[derive(Debug, Default)]
struct Rate {
    seconds: VecDeque<(u64, u64)>,
}

/// What a follower got.
#[derive(Debug, Default)]
pub struct Read {
    /// Entries, oldest first.
    pub items: Vec<Item>,
    /// Entries that were overwritten before they were read.
    pub missed: u64,
    /// Where to go on.
    pub next: u64,
}

/// Numbers about the ring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fill {
    /// Entries now.
    pub held: u64,
    /// Entries at most.
    pub capacity: u64,
    /// Records since the start.
    pub seen: u64,
    /// Records a second, over the last minute at most.
    pub rate: f64,
    /// Since the start, in ns.
    pub uptime_ns: u64,
}

// === impl Item ===

impl Item {
    fn made(self) -> Self {
        match self {
            Self::Later(later, index) => later
                .flow(index)
                .map_or(Self::Later(later, index), Self::Flow),
            other => other,
        }
    }

    /// About how many bytes it takes, also once its record is made.
    fn weight(&self) -> usize {
        ENTRY
            + match self {
                Self::Flow(flow) => 2 * flow.encoded_len(),
                // Both records of a request hold it.
                Self::Later(later, _) => MADE * later.request.weight() / 2,
                Self::Ended(_) | Self::Lost(_) => 0,
            }
    }

    /// The record, for a reader who asked for ends of flows or not.
    pub fn flow(&self, ends: bool) -> Option<Arc<Flow>> {
        match self {
            Self::Flow(flow) => Some(Arc::clone(flow)),
            Self::Ended(ended) if ends => Some(ended.flow()),
            Self::Ended(_) | Self::Later(..) | Self::Lost(_) => None,
        }
    }
}

// === impl Ring ===

impl Ring {
    /// A ring of this many entries, at least one, or of fewer where they are large.
    pub fn new(capacity: usize) -> Self {
        Self::of(capacity, capacity.saturating_mul(EACH))
    }

    fn of(capacity: usize, bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            head: watch::Sender::new(0),
            capacity: capacity.max(1),
            bytes,
            started: Instant::now(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the queue whole: every change of it is one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry and gives its number. Followers see it after [`publish`](Self::publish).
    pub fn push(&self, item: Item) -> u64 {
        let weight = item.weight();
        let mut state = self.state();
        if matches!(item, Item::Flow(_) | Item::Later(..)) {
            state.seen += 1;
            state.rate.count();
        }
        let fits = |state: &State| {
            state.items.len() < self.capacity && state.weight + weight <= self.bytes
        };
        // The newest is kept, however large it is.
        while !state.items.is_empty() && !fits(&state) {
            state.items.pop_front();
            state.weight -= state.weights.pop_front().unwrap_or(0);
        }
        state.items.push_back(item);
        state.weights.push_back(weight);
        state.weight += weight;
        state.next += 1;
        state.next - 1
    }

    /// Wakes the followers.
    pub fn publish(&self) {
        self.head.send_replace(self.state().next);
    }

    /// Changes a record that is still there. Who has it already keeps it as it was.
    pub fn amend(&self, number: u64, change: impl FnOnce(&mut Flow)) {
        let mut state = self.state();
        let first = state.next - state.items.len() as u64;
        let Some(index) = number.checked_sub(first) else {
            return;
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(Item::Flow(flow)) = state.items.get_mut(index) {
            change(Arc::make_mut(flow));
        }
    }

    /// Entries from a number on, `most` of them at most.
    pub fn read(&self, from: u64, most: usize) -> Read {
        let state = self.state();
        let first = state.next - state.items.len() as u64;
        let start = from.clamp(first, state.next);
        let skip = usize::try_from(start - first).unwrap_or(usize::MAX);
        let items: Vec<Item> = state.items.iter().skip(skip).take(most).cloned().collect();
        drop(state);
        // The writer is not held up while records are made.
        Read {
            next: start + items.len() as u64,
            missed: first.saturating_sub(from),
            items: items.into_iter().map(Item::made).collect(),
        }
    }

    /// Makes the records that were put off, because what addresses mean is about to change: else
    /// the ring would keep every revision of it alive.
    pub fn settle(&self) {
        let (mut at, next) = self.range();
        while at < next {
            let read = self.read(at, SETTLED);
            // Entries that were overwritten meanwhile are not in `read`: it tells where it ends.
            let start = read.next - read.items.len() as u64;
            let mut state = self.state();
            let first = state.next - state.items.len() as u64;
            for (item, number) in read.items.into_iter().zip(start..) {
                let place = number.checked_sub(first).map(usize::try_from);
                if let Some(Ok(index)) = place
                    && let Some(held @ (Item::Later(..) | Item::Ended(_))) =
                        state.items.get_mut(index)
                {
                    *held = item.flow(true).map_or(item, Item::Flow);
                }
            }
            at = read.next.max(at + 1);
        }
    }

    /// Numbers of the oldest entry and of the next one.
    pub fn range(&self) -> (u64, u64) {
        let state = self.state();
        (state.next - state.items.len() as u64, state.next)
    }

    /// Tells when there is more.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        let mut state = self.state();
        let uptime = self.started.elapsed();
        Fill {
            held: state.items.len() as u64,
            capacity: self.capacity as u64,
            seen: state.seen,
            rate: state.rate.a_second(uptime.as_secs_f64()),
            uptime_ns: u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

// === impl Rate ===

impl Rate {
    const WINDOW: u64 = 60;

    fn now() -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }

    fn count(&mut self) {
        let now = Self::now();
        match self.seconds.back_mut() {
            Some((second, count)) if *second == now => *count += 1,
            _ => self.seconds.push_back((now, 1)),
        }
        self.forget(now);
    }

    fn forget(&mut self, now: u64) {
        let old = |second: u64| second + Self::WINDOW <= now;
        while self.seconds.front().is_some_and(|(second, _)| old(*second)) {
            self.seconds.pop_front();
        }
    }

    fn a_second(&mut self, uptime: f64) -> f64 {
        self.forget(Self::now());
        let count: u64 = self.seconds.iter().map(|(_, count)| count).sum();
        count as f64 / uptime.clamp(1.0, Self::WINDOW as f64)
    }
}

/// So many entries were lost, and where.
pub fn lost(source: LostEventSource, count: u64) -> LostEvent {
    let now = Some(SystemTime::now().into());
    LostEvent {
        source: source.into(),
        num_events_lost: count,
        cpu: None,
        first: now,
        last: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(uuid: &str) -> Item {
        Item::Flow(Arc::new(Flow {
            uuid: uuid.into(),
            ..Flow::default()
        }))
    }

    fn names(read: &Read) -> Vec<String> {
        let name = |item: &Item| match item {
            Item::Flow(flow) => flow.uuid.clone(),
            Item::Lost(_) | Item::Later(..) | Item::Ended(_) => "lost".into(),
        };
        read.items.iter().map(name).collect()
    }

    #[test]
    fn a_slow_reader_is_told_what_it_missed() {
        let ring = Ring::new(3);
        for name in ["a", "b", "c", "d", "e"] {
            ring.push(flow(name));
        }
        let read = ring.read(0, 2);
        assert_eq!(
            (names(&read), read.missed, read.next),
            (vec!["c".into(), "d".into()], 2, 4)
        );
        let read = ring.read(read.next, 9);
        assert_eq!(
            (names(&read), read.missed, read.next),
            (vec!["e".into()], 0, 5)
        );
        assert!(ring.read(read.next, 9).items.is_empty());
        assert_eq!(ring.range(), (2, 5));
        assert_eq!((ring.fill().held, ring.fill().seen), (3, 5));
        assert!(ring.fill().rate > 0.0);
    }

    #[test]
    fn large_entries_take_the_place_of_many() {
        let ring = Ring::of(100, 64 << 10);
        for number in 0..100 {
            ring.push(flow(&number.to_string()));
        }
        let held = ring.fill().held;
        assert!((30..=64).contains(&held), "{held}");
        let large = "x".repeat(10 << 10);
        for _ in 0..100 {
            ring.push(flow(&large));
        }
        assert!((1..=6).contains(&ring.fill().held), "{}", ring.fill().held);
        // One that is larger than all may be is kept alone, and goes with the next.
        let number = ring.push(flow(&"y".repeat(1 << 20)));
        assert_eq!(ring.range(), (number, number + 1));
        ring.push(flow("z"));
        assert_eq!(names(&ring.read(0, 9)), ["z"]);
        assert_eq!(ring.state().weights.len(), 1);
    }

    #[test]
    fn a_record_is_changed_while_it_is_there() {
        let ring = Ring::new(2);
        let first = ring.push(flow("a"));
        let reader = ring.read(0, 1);
        ring.amend(first, |flow| flow.uuid = "x".into());
        assert_eq!(names(&reader), ["a"], "a reader keeps what it has");
        assert_eq!(names(&ring.read(0, 1)), ["x"]);
        ring.push(flow("b"));
        ring.push(flow("c"));
        ring.amend(first, |_| panic!("it is gone"));
    }
}
