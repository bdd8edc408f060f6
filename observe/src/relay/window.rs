//! Followed flows of several nodes, put into the order of their times as far as waiting allows.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::api::observer::GetFlowsResponse;

/// Answers held at most; past it the oldest go at once.
const MOST: usize = 8192;

/// By time, then in the order in which they came.
type Key = (i128, u64);

/// What waits for older answers. INVARIANT: nothing waits longer than the wait, whatever clocks say.
#[derive(Debug)]
pub struct Window {
    wait: Duration,
    came: u64,
    held: BTreeMap<Key, GetFlowsResponse>,
    /// Each with when it came; some may have gone already.
    arrivals: VecDeque<(Instant, Key)>,
}

// === impl Window ===

impl Window {
    /// One whose answers wait so long.
    pub fn new(wait: Duration) -> Self {
        Self {
            wait,
            came: 0,
            held: BTreeMap::new(),
            arrivals: VecDeque::new(),
        }
    }

    /// Takes an answer in.
    pub fn push(&mut self, now: Instant, answer: GetFlowsResponse) {
        self.came += 1;
        let key = (super::time_of(&answer), self.came);
        self.held.insert(key, answer);
        self.arrivals.push_back((now, key));
    }

    /// What has waited long enough, with all that is older than it, oldest first.
    pub fn due(&mut self, now: Instant) -> Vec<GetFlowsResponse> {
        let mut until = None;
        while let Some((came, key)) = self.arrivals.front() {
            let there = self.held.contains_key(key);
            if there && *came + self.wait > now {
                break;
            }
            if there {
                until = until.max(Some(*key));
            }
            self.arrivals.pop_front();
        }
        let mut due = Vec::new();
        loop {
            let full = self.held.len() > MOST;
            let Some(entry) = self.held.first_entry() else {
                break;
            };
            if !full && until.is_none_or(|until| *entry.key() > until) {
                break;
            }
            due.push(entry.remove());
        }
        let gone = |(_, key): &(Instant, Key)| !self.held.contains_key(key);
        while self.arrivals.front().is_some_and(gone) {
            self.arrivals.pop_front();
        }
        due
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Instant> {
        let (came, _) = self.arrivals.front()?;
        Some(*came + self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> GetFlowsResponse {
        GetFlowsResponse {
            time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..GetFlowsResponse::default()
        }
    }

    fn times(answers: &[GetFlowsResponse]) -> Vec<i64> {
        let seconds = |answer: &GetFlowsResponse| answer.time.as_ref().map_or(0, |t| t.seconds);
        answers.iter().map(seconds).collect()
    }

    #[test]
    fn older_ones_that_come_in_time_go_first() {
        let mut window = Window::new(Duration::from_secs(1));
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        window.push(start, at(20));
        window.push(after(500), at(10));
        window.push(after(900), at(30));
        assert_eq!(times(&window.due(after(999))), [] as [i64; 0]);
        assert_eq!(window.next(), Some(after(1000)));
        assert_eq!(times(&window.due(after(1000))), [10, 20]);
        // A clock that is far behind holds up nobody: what came first goes in time.
        window.push(after(1800), at(1));
        assert_eq!(times(&window.due(after(1900))), [1, 30]);
        assert_eq!(window.next(), None);
    }

    #[test]
    fn no_more_than_so_many_are_held() {
        let mut window = Window::new(Duration::from_secs(1));
        let now = Instant::now();
        for seconds in 0..MOST as i64 + 2 {
            window.push(now, at(seconds));
        }
        assert_eq!(times(&window.due(now)), [0, 1]);
        assert_eq!(window.held.len(), MOST);
    }
}
