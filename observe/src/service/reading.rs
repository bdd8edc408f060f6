//! One request for flows, answered from the ring.

use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::Status;

use super::{
    BATCH, Observer, nanoseconds, response,
    same::{Answer, Same},
};
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
    same: Arc<Same>,
    node: String,
    wanted: Wanted,
    mask: Option<Mask>,
    /// Where to begin.
    from: u64,
    /// Where what was there at the beginning ends; `None`: follow.
    pub to: Option<u64>,
    /// How many flows at most; of those that were there, where it follows.
    most: u64,
    /// The last ones before this are asked for.
    last: Option<u64>,
}

/// The way to a client.
type Answers = mpsc::Sender<Result<Answer, Status>>;

/// Lets others have the thread. `None`: the client has gone.
async fn others(answers: &Answers) -> Option<()> {
    tokio::task::yield_now().await;
    (!answers.is_closed()).then_some(())
}

impl Reading {
    /// Where to begin and what to give.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where the request means nothing.
    pub fn new(observer: &Observer, request: GetFlowsRequest) -> Result<Self, Status> {
        let wanted =
            Wanted::of(&request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mask = Mask::new(request.field_mask.as_ref())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if request.first && request.follow {
            return Err(Status::invalid_argument(
                "`first` and `follow` exclude each other",
            ));
        }
        let (first, next) = observer.ring.range();
        let mut reading = Self {
            ring: Arc::clone(&observer.ring),
            same: Arc::clone(&observer.same),
            node: observer.node.clone(),
            wanted,
            mask,
            from: first,
            to: (!request.follow).then_some(next),
            most: match request.number {
                0 => u64::MAX,
                number => number,
            },
            last: (!request.first && request.number > 0 && request.since.is_none()).then_some(next),
        };
        if request.follow && request.number == 0 && request.since.is_none() {
            reading.from = next;
        }
        Ok(reading)
    }

    /// Where it begins, of what was there when it was asked for. `None`: the client has gone.
    async fn begin(&self, answers: &Answers) -> Option<u64> {
        let Some(mut at) = self.last else {
            return Some(self.from);
        };
        let mut found = 0;
        loop {
            others(answers).await?;
            // The ring turns over meanwhile.
            let (first, _) = self.ring.range();
            if at <= first {
                return Some(first);
            }
            let start = at.saturating_sub(BATCH as u64).max(first);
            let length = usize::try_from(at - start).unwrap_or(BATCH);
            let read = self.ring.read(start, length);
            let start = read.next - read.items.len() as u64;
            // No entry twice, should the piece have turned over between the two.
            let fresh = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
            for (index, item) in read.items.iter().enumerate().take(fresh).rev() {
                let flow = item.flow(self.wanted.ends());
                if flow.is_some_and(|flow| self.wanted.flow(&flow)) {
                    found += 1;
                    if found == self.most {
                        return Some(start + index as u64);
                    }
                }
            }
            at = start.min(at - 1);
        }
    }

    /// What is there, in the order of time: the proxy's records come sooner than the kernel's.
    pub async fn all(self, to: u64, answers: Answers) -> Option<()> {
        let (mut at, mut lost) = (self.begin(&answers).await?, Vec::new());
        let mut flows: Vec<Arc<Flow>> = Vec::new();
        while at < to && (flows.len() as u64) < self.most {
            others(&answers).await?;
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
            answers.send(Ok(answer.into())).await.ok()?;
        }
        Some(())
    }

    /// What comes, as it comes.
    pub async fn run(mut self, answers: Answers) -> Option<()> {
        self.from = self.begin(&answers).await?;
        let mut more = self.ring.follow();
        loop {
            // Also where nothing passes the filters: a client that has gone is noticed then, too.
            others(&answers).await?;
            more.mark_unchanged();
            let read = self.ring.read(self.from, BATCH);
            if read.missed > 0 {
                let lost = lost(LostEventSource::HubbleRingBuffer, read.missed);
                answers.send(Ok(self.lost(lost).into())).await.ok()?;
            }
            let start = read.next - read.items.len() as u64;
            for (item, number) in read.items.iter().zip(start..) {
                let flow = item.flow(self.wanted.ends());
                let answer = match (item, flow) {
                    (Item::Lost(lost), _) => self.lost(*lost).into(),
                    (_, Some(flow)) if self.wanted.flow(&flow) => match self.mask {
                        None => self.same.of(number, &flow),
                        Some(_) => self.response(&flow).into(),
                    },
                    _ => continue,
                };
                answers.send(Ok(answer)).await.ok()?;
            }
            self.from = read.next;
            if !read.items.is_empty() {
                continue;
            }
            tokio::select! {
                changed = more.changed() => changed.ok()?,
                () = answers.closed() => return None,
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
