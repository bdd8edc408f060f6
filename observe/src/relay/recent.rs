//! Which flows of an observer a client has got, so that none is given twice or left out when the
//! observer was away for a while.

use std::collections::{HashSet, VecDeque};

use prost_types::Timestamp;

use crate::api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};

/// Flows that are remembered.
const REMEMBERED: usize = 4096;
/// A flow may be recorded so many seconds later than it began.
const LATE: i64 = 60;

/// The last flows of an observer.
#[derive(Debug, Default)]
pub struct Recent {
    order: VecDeque<(Timestamp, String)>,
    known: HashSet<String>,
    newest: Option<Timestamp>,
}

impl Recent {
    /// Whether it was not given yet; now it is.
    pub fn is_new(&mut self, answer: &GetFlowsResponse) -> bool {
        let (Some(ResponseTypes::Flow(flow)), Some(time)) = (&answer.response_types, answer.time)
        else {
            return true;
        };
        if flow.uuid.is_empty() {
            return true;
        }
        if !self.known.insert(flow.uuid.clone()) {
            return false;
        }
        let key = |time: &Timestamp| (time.seconds, time.nanos);
        if self
            .newest
            .as_ref()
            .is_none_or(|newest| key(newest) < key(&time))
        {
            self.newest = Some(time);
        }
        self.order.push_back((time, flow.uuid.clone()));
        if self.order.len() > REMEMBERED
            && let Some((_, old)) = self.order.pop_front()
        {
            self.known.remove(&old);
        }
        true
    }

    /// From when on flows may be missing, where the newest one that was given before these had this
    /// time; `None`: none was given at all.
    pub fn since(&self, before: Option<Timestamp>) -> Option<Timestamp> {
        let newest = self.newest.or(before)?;
        let late = newest.seconds - LATE;
        // Before what is remembered none could be told from one that was given.
        let known = match self.order.len() >= REMEMBERED {
            true => self.order.front().map(|(time, _)| time.seconds),
            false => None,
        };
        Some(Timestamp {
            seconds: known.map_or(late, |known| known.max(late)),
            nanos: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::flow::Flow;

    fn answer(seconds: i64) -> GetFlowsResponse {
        let time = Some(Timestamp { seconds, nanos: 0 });
        GetFlowsResponse {
            time,
            response_types: Some(ResponseTypes::Flow(Flow {
                uuid: seconds.to_string(),
                time,
                ..Flow::default()
            })),
            ..GetFlowsResponse::default()
        }
    }

    #[test]
    fn nothing_is_given_twice() {
        let mut recent = Recent::default();
        assert_eq!(recent.since(None), None);
        let before = Timestamp {
            seconds: 900,
            nanos: 0,
        };
        let since = recent.since(Some(before)).map(|time| time.seconds);
        assert_eq!(since, Some(900 - LATE));
        assert!(recent.is_new(&answer(1000)) && !recent.is_new(&answer(1000)));
        assert!(recent.is_new(&answer(990)), "out of order");
        assert_eq!(
            recent.since(None).map(|time| time.seconds),
            Some(1000 - LATE)
        );
        for seconds in 2000..2000 + REMEMBERED as i64 + 1 {
            assert!(recent.is_new(&answer(seconds)));
        }
        // The first of these is forgotten: from after it on each can be told.
        let since = recent.since(None).map(|time| time.seconds);
        assert_eq!(since, Some(2000 + REMEMBERED as i64 - LATE));
        assert_eq!(recent.order.len(), REMEMBERED);
    }
}
