//! Observers elsewhere as one source: each is followed by itself, and asked again when it comes back.

mod follow;

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use futures_util::{Stream, future::join_all};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};
use weir_observe::{
    api::{
        observer::{
            GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse,
            GetNodesRequest, GetNodesResponse, Node, ServerStatusRequest, ServerStatusResponse,
            observer_client::ObserverClient, observer_server::Observer,
        },
        relay::NodeState,
    },
    filter::Filters,
};

/// Answers that wait for a browser. Past it nothing more is read for it.
const WAITING: usize = 64;
/// An observer that has not answered within this time is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Observers, with what each is called where it does not answer.
#[derive(Debug)]
pub struct Remote {
    servers: Vec<(String, Endpoint)>,
}

// === impl Remote ===

impl Remote {
    /// One source of all of these.
    pub fn new(servers: Vec<(String, Endpoint)>) -> Self {
        let patient =
            |(name, endpoint): (String, Endpoint)| (name, endpoint.connect_timeout(PATIENCE));
        Self {
            servers: servers.into_iter().map(patient).collect(),
        }
    }

    /// Asks all of them the same; those that are away say so.
    async fn each<T, F>(&self, ask: impl Fn(ObserverClient<Channel>) -> F) -> Vec<(&str, Option<T>)>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let asked = self.servers.iter().map(async |(name, endpoint)| {
            let answer = timeout(PATIENCE, async {
                let answer = ask(client(endpoint).await?).await;
                answer.map(Response::into_inner)
            });
            (name.as_str(), answer.await.ok().and_then(Result::ok))
        });
        join_all(asked).await
    }
}

/// A client of an observer that answers.
async fn client(endpoint: &Endpoint) -> Result<ObserverClient<Channel>, Status> {
    let channel = endpoint.connect().await;
    let channel = channel.map_err(|error| Status::unavailable(said(&error)))?;
    Ok(ObserverClient::new(channel).max_decoding_message_size(16 << 20))
}

/// An error by its innermost cause, which is the one that tells something.
fn said(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[tonic::async_trait]
impl Observer for Remote {
    type GetFlowsStream = Pin<Box<dyn Stream<Item = Result<GetFlowsResponse, Status>> + Send>>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let request = request.into_inner();
        Filters::new(&request.whitelist, &request.blacklist)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (sender, answers) = mpsc::channel(WAITING);
        for (name, endpoint) in self.servers.clone() {
            tokio::spawn(follow::follow(
                name,
                endpoint,
                request.clone(),
                sender.clone(),
            ));
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let ask =
            async |mut client: ObserverClient<Channel>| client.get_nodes(GetNodesRequest {}).await;
        let mut nodes = Vec::new();
        for (name, answer) in self.each(ask).await {
            match answer {
                Some(answer) => nodes.extend(answer.nodes),
                None => nodes.push(Node {
                    name: name.to_owned(),
                    state: NodeState::NodeUnavailable.into(),
                    ..Node::default()
                }),
            }
        }
        Ok(Response::new(GetNodesResponse { nodes }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let ask = async |mut client: ObserverClient<Channel>| {
            client.get_namespaces(GetNamespacesRequest {}).await
        };
        let mut found = BTreeMap::new();
        for (_, answer) in self.each(ask).await {
            for space in answer.into_iter().flat_map(|answer| answer.namespaces) {
                found.insert((space.cluster.clone(), space.namespace.clone()), space);
            }
        }
        Ok(Response::new(GetNamespacesResponse {
            namespaces: found.into_values().collect(),
        }))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let ask = async |mut client: ObserverClient<Channel>| {
            client.server_status(ServerStatusRequest {}).await
        };
        let mut sum = ServerStatusResponse::default();
        let mut connected = 0;
        for (name, answer) in self.each(ask).await {
            let Some(one) = answer else {
                sum.unavailable_nodes.push(name.to_owned());
                continue;
            };
            connected += one.num_connected_nodes.unwrap_or(1);
            sum.unavailable_nodes.extend(one.unavailable_nodes);
            sum.num_flows += one.num_flows;
            sum.max_flows += one.max_flows;
            sum.seen_flows += one.seen_flows;
            sum.flows_rate += one.flows_rate;
            sum.uptime_ns = sum.uptime_ns.max(one.uptime_ns);
            sum.version = one.version;
        }
        sum.num_connected_nodes = Some(connected);
        sum.num_unavailable_nodes = u32::try_from(sum.unavailable_nodes.len()).ok();
        Ok(Response::new(sum))
    }
}
