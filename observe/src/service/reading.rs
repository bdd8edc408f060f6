//! One request for flows, answered from the ring.

use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::Status;

use super::{BATCH, nanoseconds, response};
use crate::{
    api::{
        flow::{Flow, LostEvent, LostEventSource},
        observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
    },
    filter::Wanted,
    mask::Mask,
    ring::{Item, Ring, lost},
};

/// One request for flows.
pub struct Reading {
    ring: Arc<Ring>,
    node: String,
    wanted: Wanted,
    mask: Option<Mask>,
    /// Where to begin.
    from: u64,
    /// Where what was there at the beginning ends; `None`: follow.
    pub to: Option<u64>,
    /// How many flows at most; of those that were there, where it follows.
    most: u64,
}

impl Reading {
    /// Where to begin and what to give.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where the request means nothing.
    pub fn new(ring: &Arc<Ring>, node: &str, request: GetFlowsRequest) -> Result<Self, Status> {
        let wanted =
            Wanted::of(&request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mask = Mask::new(request.field_mask.as_ref())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if request.first && request.follow {
            return Err(Status::invalid_argument(
                "`first` and `follow` exclude each other",
            ));
        }
        let (first, next) = ring.range();
        let mut reading = Self {
            ring: Arc::clone(ring),
            node: node.to_owned(),
            wanted,
            mask,
            from: first,
            to: (!request.follow).then_some(next),
            most: match request.number {
                0 => u64::MAX,
                number => number,
            },
        };
        if request.follow && request.number == 0 && request.since.is_none() {
            reading.from = next;
        } else if !request.first && request.number > 0 && request.since.is_none() {
            reading.from = reading.last(first, next);
        }
        Ok(reading)
    }

    /// Where the last `most` flows begin.
    fn last(&self, first: u64, next: u64) -> u64 {
        let (mut at, mut found) = (next, 0);
        while at > first {
            let start = at.saturating_sub(BATCH as u64).max(first);
            let length = usize::try_from(at - start).unwrap_or(BATCH);
            let items = self.ring.read(start, length).items;
            for (index, item) in items.iter().enumerate().rev() {
                let flow = item.flow(self.wanted.ends());
                if flow.is_some_and(|flow| self.wanted.flow(&flow)) {
                    found += 1;
                    if found == self.most {
                        return start + index as u64;
                    }
                }
            }
            at = start;
        }
        first
    }

    /// What is there, in the order of time: the proxy's records come sooner than the kernel's.
    pub async fn all(self, to: u64, answers: mpsc::Sender<Result<GetFlowsResponse, Status>>) {
        let (mut at, mut lost) = (self.from, Vec::new());
        let mut flows: Vec<Arc<Flow>> = Vec::new();
        while at < to && (flows.len() as u64) < self.most {
            let left = usize::try_from(to - at).unwrap_or(BATCH);
            let read = self.ring.read(at, left.min(BATCH));
            if read.items.is_empty() {
                break;
            }
            for item in &read.items {
                if let Item::Lost(event) = item {
                    lost.push(*event);
                }
                let flow = item.flow(self.wanted.ends());
                flows.extend(flow.filter(|flow| self.wanted.flow(flow)));
            }
            at = read.next;
        }
        flows.truncate(usize::try_from(self.most).unwrap_or(usize::MAX));
        flows.sort_by_key(|flow| flow.time.as_ref().map_or(0, nanoseconds));
        let lost = lost.into_iter().map(|event| self.lost(event));
        let flows = flows.iter().map(|flow| self.response(flow));
        for answer in lost.chain(flows) {
            if answers.send(Ok(answer)).await.is_err() {
                return;
            }
        }
    }

    /// What comes, as it comes.
    pub async fn run(mut self, answers: mpsc::Sender<Result<GetFlowsResponse, Status>>) {
        let mut more = self.ring.follow();
        loop {
            more.mark_unchanged();
            let read = self.ring.read(self.from, BATCH);
            if read.missed > 0 {
                let lost = lost(LostEventSource::HubbleRingBuffer, read.missed);
                if answers.send(Ok(self.lost(lost))).await.is_err() {
                    return;
                }
            }
            for item in &read.items {
                let flow = item.flow(self.wanted.ends());
                let answer = match (item, flow) {
                    (Item::Lost(lost), _) => self.lost(*lost),
                    (_, Some(flow)) if self.wanted.flow(&flow) => self.response(&flow),
                    _ => continue,
                };
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
            self.from = read.next;
            if !read.items.is_empty() {
                continue;
            }
            let changed = tokio::select! {
                changed = more.changed() => changed.is_ok(),
                () = answers.closed() => false,
            };
            if !changed {
                return;
            }
        }
    }

    /// The answer, with the parts of the flow that are wanted.
    fn response(&self, flow: &Flow) -> GetFlowsResponse {
        let Some(mask) = &self.mask else {
            return response(flow.clone());
        };
        GetFlowsResponse {
            node_name: flow.node_name.clone(),
            time: flow.time,
            response_types: Some(ResponseTypes::Flow(mask.apply(flow))),
        }
    }

    fn lost(&self, lost: LostEvent) -> GetFlowsResponse {
        GetFlowsResponse {
            node_name: self.node.clone(),
            time: lost.last,
            response_types: Some(ResponseTypes::LostEvents(lost)),
        }
    }
}
