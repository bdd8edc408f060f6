//! The observer service: `observer.Observer` as Hubble's client asks it.

mod peer;
mod reading;
mod same;

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use crate::{
    api::{
        flow::Flow,
        observer::{
            GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse,
            GetNodesRequest, GetNodesResponse, Namespace, Node, ServerStatusRequest,
            ServerStatusResponse, get_flows_response::ResponseTypes, observer_server,
        },
        relay::NodeState,
    },
    askers::{self, Askers},
    names::CLUSTER,
    ring::{Item, Ring},
};

pub use peer::OwnPeer;
use reading::Reading;
pub(crate) use same::router;
use same::{Answer, Same};

/// Events gather for a moment in kernel and proxy, and requests are held for what the kernel tells of
/// their connections. Whoever asks what has been seen waits for that: the request that they have
/// just made is in the answer.
const UNDER_WAY: Duration = Duration::from_millis(100);
/// Entries taken from the ring at once.
const BATCH: usize = 256;
/// Answers that wait for a client, of a few KiB at the most each. Past it nothing more is read for it:
/// it falls behind in the ring, and is told so.
pub(crate) const WAITING: usize = 64;
/// The largest request, in bytes: of one byte that is sent a filter makes five hundred.
pub(crate) const REQUEST: usize = 64 << 10;

/// The service of one node.
#[derive(Debug, Clone)]
pub struct Observer {
    ring: Arc<Ring>,
    node: String,
    askers: Askers,
    same: Arc<Same>,
}

impl Observer {
    /// Serves the records of a ring.
    pub fn new(ring: Arc<Ring>, node: String) -> Self {
        Self {
            ring,
            node,
            askers: Askers::default(),
            same: Arc::default(),
        }
    }

    /// Answers to a request for flows.
    async fn flows(&self, request: Request<GetFlowsRequest>) -> Result<Answers<Answer>, Status> {
        let peer = askers::peer(&request);
        let request = request.into_inner();
        let place = self.askers.enter(peer, &request)?;
        if !request.follow {
            tokio::time::sleep(UNDER_WAY).await;
        }
        let reading = Reading::new(self, request)?;
        let (sender, answers) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            match reading.to {
                Some(to) => reading.all(to, sender).await,
                None => reading.run(sender).await,
            };
            drop(place);
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
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
        // Here in the process: over the wire `router` answers.
        let answers = self.flows(request).await?;
        let own = answers.map(|answer| answer.map(GetFlowsResponse::from));
        Ok(Response::new(Box::pin(own)))
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

pub(crate) fn version() -> String {
    format!("weir {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests;
