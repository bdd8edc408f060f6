//! The observer service: `observer.Observer` as Hubble's client asks it.

use std::{pin::Pin, sync::Arc};

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use crate::{
    api::{
        flow::{Flow, LostEventSource},
        observer::{
            GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse,
            GetNodesRequest, GetNodesResponse, Namespace, Node, ServerStatusRequest,
            ServerStatusResponse, get_flows_response::ResponseTypes, observer_server,
        },
        relay::NodeState,
    },
    filter::Filters,
    names::CLUSTER,
    ring::{Item, Ring, lost},
};

/// Entries taken from the ring at once.
const BATCH: usize = 256;
/// Answers that wait for a client. Past it nothing more is read for it: it falls behind in the
/// ring, and is told so.
const WAITING: usize = 1024;

/// The service of one node.
#[derive(Debug, Clone)]
pub struct Observer {
    ring: Arc<Ring>,
    node: String,
}

impl Observer {
    /// Serves the records of a ring.
    pub fn new(ring: Arc<Ring>, node: String) -> Self {
        Self { ring, node }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl observer_server::Observer for Observer {
    type GetFlowsStream = Answers<GetFlowsResponse>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let request = request.into_inner();
        let reading = Reading::new(&self.ring, &self.node, request)?;
        let (sender, answers) = mpsc::channel(WAITING);
        tokio::spawn(reading.run(sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let fill = self.ring.fill();
        Ok(Response::new(GetNodesResponse {
            nodes: vec![Node {
                name: self.node.clone(),
                version: version(),
                state: NodeState::NodeConnected.into(),
                uptime_ns: fill.uptime_ns,
                num_flows: fill.held,
                max_flows: fill.capacity,
                seen_flows: fill.seen,
                ..Node::default()
            }],
        }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let (first, next) = self.ring.range();
        let mut found = std::collections::BTreeSet::new();
        let mut at = first;
        while at < next {
            let read = self.ring.read(at, BATCH);
            for item in &read.items {
                if let Item::Flow(flow) = item {
                    let ends = [&flow.source, &flow.destination];
                    found.extend(ends.into_iter().flatten().map(|end| end.namespace.clone()));
                }
            }
            at = read.next.max(at + 1);
        }
        found.remove("");
        let namespaces = found.into_iter().map(|namespace| Namespace {
            cluster: CLUSTER.into(),
            namespace,
        });
        Ok(Response::new(GetNamespacesResponse {
            namespaces: namespaces.collect(),
        }))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let fill = self.ring.fill();
        Ok(Response::new(ServerStatusResponse {
            num_flows: fill.held,
            max_flows: fill.capacity,
            seen_flows: fill.seen,
            uptime_ns: fill.uptime_ns,
            num_connected_nodes: Some(1),
            num_unavailable_nodes: Some(0),
            unavailable_nodes: Vec::new(),
            version: version(),
            flows_rate: fill.rate,
        }))
    }
}

/// One request for flows.
struct Reading {
    ring: Arc<Ring>,
    node: String,
    filters: Filters,
    since: Option<i128>,
    until: Option<i128>,
    /// Where to begin.
    from: u64,
    /// Where what was there at the beginning ends; `None`: follow.
    to: Option<u64>,
    /// How many flows at most.
    most: u64,
}

impl Reading {
    fn new(ring: &Arc<Ring>, node: &str, request: GetFlowsRequest) -> Result<Self, Status> {
        let filters = Filters::new(&request.whitelist, &request.blacklist)
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
            filters,
            since: request.since.as_ref().map(nanoseconds),
            until: request.until.as_ref().map(nanoseconds),
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
        if request.follow {
            reading.most = u64::MAX;
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
                if matches!(item, Item::Flow(flow) if self.wants(flow)) {
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

    fn wants(&self, flow: &Flow) -> bool {
        let time = flow.time.as_ref().map_or(0, nanoseconds);
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until)
            && self.filters.pass(flow)
    }

    async fn run(mut self, answers: mpsc::Sender<Result<GetFlowsResponse, Status>>) {
        let mut more = self.ring.follow();
        let mut sent = 0;
        loop {
            more.mark_unchanged();
            let read = self.ring.read(self.from, BATCH);
            if read.missed > 0 {
                let lost = lost(LostEventSource::HubbleRingBuffer, read.missed);
                if answers.send(Ok(self.lost(lost))).await.is_err() {
                    return;
                }
            }
            for (number, item) in (read.next - read.items.len() as u64..).zip(&read.items) {
                if self.to.is_some_and(|to| number >= to) {
                    return;
                }
                let answer = match item {
                    Item::Flow(flow) if self.wants(flow) => {
                        sent += 1;
                        response(Flow::clone(flow))
                    }
                    Item::Flow(_) => continue,
                    Item::Lost(lost) => self.lost(*lost),
                };
                if answers.send(Ok(answer)).await.is_err() || sent >= self.most {
                    return;
                }
            }
            self.from = read.next;
            if !read.items.is_empty() {
                continue;
            }
            if self.to.is_some() {
                return;
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

    fn lost(&self, lost: crate::api::flow::LostEvent) -> GetFlowsResponse {
        GetFlowsResponse {
            node_name: self.node.clone(),
            time: lost.last,
            response_types: Some(ResponseTypes::LostEvents(lost)),
        }
    }
}

/// A flow as an answer.
pub fn response(flow: Flow) -> GetFlowsResponse {
    GetFlowsResponse {
        node_name: flow.node_name.clone(),
        time: flow.time,
        response_types: Some(ResponseTypes::Flow(flow)),
    }
}

/// Since the Unix epoch.
pub fn nanoseconds(time: &prost_types::Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

fn version() -> String {
    format!("weir {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests;
