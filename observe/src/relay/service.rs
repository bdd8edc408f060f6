//! The relay as clients see it: an observer of all nodes, and the list of them.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Instant};

use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};
use weir_gate::Peer as From;

use super::{
    Address, Client, Peers, live, past,
    peer::{Link, Peer},
    told,
};
use crate::{
    api::{
        observer::{
            GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse,
            GetNodesRequest, GetNodesResponse, Namespace, Node, ServerStatusRequest,
            ServerStatusResponse, Tls, get_flows_response::ResponseTypes, observer_server,
        },
        relay::NodeState,
    },
    askers::{self, Askers},
    filter::Filters,
    mask::Mask,
    service::{WAITING, version},
};

/// Names of observers that are away in one status; the API says that there may be more.
const NAMED: usize = 10;
/// The last flows are kept until all observers have answered: so many at most.
const LAST: u64 = 100_000;

/// The service.
#[derive(Debug, Clone)]
pub struct Relay {
    peers: Arc<Peers>,
    started: Instant,
    askers: Askers,
}

/// The way to one client.
pub struct Out {
    answers: mpsc::Sender<Result<GetFlowsResponse, Status>>,
    mask: Option<Mask>,
}

// === impl Out ===

impl Out {
    /// `None`: the client has gone.
    pub async fn send(&self, mut answer: GetFlowsResponse) -> Option<()> {
        if let (Some(mask), Some(ResponseTypes::Flow(flow))) =
            (&self.mask, &mut answer.response_types)
        {
            *flow = mask.apply(flow);
        }
        self.answers.send(Ok(answer)).await.ok()
    }

    /// Waits until the client goes.
    pub async fn closed(&self) {
        self.answers.closed().await;
    }
}

/// The event for an observer whose request has failed.
pub fn failed(peer: &Peer, status: &Status) -> GetFlowsResponse {
    use tonic::Code;
    let state = match status.code() {
        Code::Unavailable | Code::Unknown | Code::Cancelled => NodeState::NodeUnavailable,
        _ => NodeState::NodeError,
    };
    told(state, vec![peer.name()], status.message())
}

// === impl Relay ===

impl Relay {
    /// Asks these, whichever they are at the time.
    pub fn new(peers: Arc<Peers>) -> Self {
        Self {
            peers,
            started: Instant::now(),
            askers: Askers::default(),
        }
    }

    /// Answers to a request for flows, as [`observer_server::Observer::get_flows`] gives them.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where the request means nothing, `RESOURCE_EXHAUSTED` where too many ask.
    pub fn flows(
        &self,
        request: GetFlowsRequest,
    ) -> Result<mpsc::Receiver<Result<GetFlowsResponse, Status>>, Status> {
        self.flows_for(From::Anybody, request)
    }

    fn flows_for(
        &self,
        from: From,
        mut request: GetFlowsRequest,
    ) -> Result<mpsc::Receiver<Result<GetFlowsResponse, Status>>, Status> {
        let place = self.askers.enter(from, &request)?;
        let invalid = |text: String| Status::invalid_argument(text);
        Filters::new(&request.whitelist, &request.blacklist)
            .map_err(|error| invalid(error.to_string()))?;
        if request.first && request.follow {
            return Err(invalid("`first` and `follow` exclude each other".into()));
        }
        let last = !request.first && request.since.is_none();
        if last && request.number > LAST {
            return Err(invalid(format!(
                "the relay gives the last {LAST} flows at most: ask for all of them, or since a time"
            )));
        }
        // Flows are told apart by what a mask may leave out: it is laid on at the end.
        let mask = Mask::new(request.field_mask.take().as_ref())
            .map_err(|error| invalid(error.to_string()))?;
        let (answers, receiver) = mpsc::channel(WAITING);
        let out = Out { answers, mask };
        let peers = Arc::clone(&self.peers);
        let gone = out.answers.clone();
        tokio::spawn(async move {
            let answer = async {
                match request.follow {
                    true => live::follow(peers, request, out).await,
                    false => whole(peers, request, out).await,
                }
            };
            // Whatever observers are waited for, and whether or not anything passes the filters.
            tokio::select! {
                _ = answer => {}
                () = gone.closed() => {}
            }
            drop(place);
        });
        Ok(receiver)
    }

    /// Asks all observers the same at once; gives their answers, or why there is none.
    async fn ask<T, F>(
        &self,
        question: impl Fn(Client) -> F,
    ) -> BTreeMap<Address, (Arc<Peer>, Result<T, String>)>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        let limit = self.peers.timing().answer;
        let mut found = BTreeMap::new();
        let mut asked = JoinSet::new();
        for peer in self.peers.all() {
            let nothing = Err("it has not answered".to_owned());
            found.insert(peer.address.clone(), (Arc::clone(&peer), nothing));
            match peer.tried().await {
                Link::Connected(client) => {
                    let answer = question(client);
                    asked.spawn(async move {
                        let answer = match timeout(limit, answer).await {
                            Ok(Ok(answer)) => Ok(answer.into_inner()),
                            Ok(Err(status)) => Err(status.message().to_owned()),
                            Err(_) => Err(format!("no answer within {limit:?}")),
                        };
                        (peer, answer)
                    });
                }
                Link::Unavailable(reason) => {
                    found.insert(peer.address.clone(), (peer, Err(reason)));
                }
                Link::New => {}
            }
        }
        while let Some(answered) = asked.join_next().await {
            if let Ok((peer, answer)) = answered {
                if answer.is_err() {
                    peer.doubt();
                }
                found.insert(peer.address.clone(), (peer, answer));
            }
        }
        found
    }
}

/// What was seen already; before it, which observers answer and which do not.
async fn whole(peers: Arc<Peers>, request: GetFlowsRequest, out: Out) -> Option<()> {
    let all = peers.all();
    let connected = live::tried(all.clone()).await;
    let names: Vec<String> = connected.iter().map(|(peer, _)| peer.name()).collect();
    if !names.is_empty() {
        out.send(told(NodeState::NodeConnected, names, "")).await?;
    }
    for peer in all {
        if let Link::Unavailable(reason) = peer.tried().await {
            out.send(told(NodeState::NodeUnavailable, vec![peer.name()], reason))
                .await?;
        }
    }
    past::read(connected, &request, peers.timing(), &out).await?;
    Some(())
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl observer_server::Observer for Relay {
    type GetFlowsStream = Answers<GetFlowsResponse>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let from = askers::peer(&request);
        let answers = self.flows_for(from, request.into_inner())?;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let question =
            |mut client: Client| async move { client.get_nodes(GetNodesRequest {}).await };
        let mut nodes = Vec::new();
        for (peer, answer) in self.ask(question).await.into_values() {
            let tls = Some(Tls {
                enabled: peer.tls.is_some(),
                server_name: server_name(&peer),
            });
            let address = peer.address.to_string();
            match answer {
                Ok(answer) => nodes.extend(answer.nodes.into_iter().map(|node| Node {
                    address: address.clone(),
                    tls: tls.clone(),
                    ..node
                })),
                Err(_) => nodes.push(Node {
                    name: peer.name(),
                    address,
                    state: NodeState::NodeUnavailable.into(),
                    tls,
                    ..Node::default()
                }),
            }
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(GetNodesResponse { nodes }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let question = |mut client: Client| async move {
            client.get_namespaces(GetNamespacesRequest {}).await
        };
        let answers = self.ask(question).await.into_values();
        let mut namespaces: Vec<Namespace> = answers
            .filter_map(|(_, answer)| answer.ok())
            .flat_map(|answer| answer.namespaces)
            .collect();
        let key = |one: &Namespace| (one.cluster.clone(), one.namespace.clone());
        namespaces.sort_by_key(key);
        namespaces.dedup();
        Ok(Response::new(GetNamespacesResponse { namespaces }))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let question =
            |mut client: Client| async move { client.server_status(ServerStatusRequest {}).await };
        let mut sum = ServerStatusResponse::default();
        let (mut connected, mut unavailable, mut away) = (0, 0, Vec::new());
        for (peer, answer) in self.ask(question).await.into_values() {
            let Ok(answer) = answer else {
                away.push(peer.name());
                unavailable += 1;
                continue;
            };
            // A relay tells of several nodes.
            connected += answer.num_connected_nodes.unwrap_or(1);
            unavailable += answer.num_unavailable_nodes.unwrap_or(0);
            away.extend(answer.unavailable_nodes);
            sum.num_flows += answer.num_flows;
            sum.max_flows += answer.max_flows;
            sum.seen_flows += answer.seen_flows;
            sum.uptime_ns = sum.uptime_ns.max(answer.uptime_ns);
            sum.flows_rate += answer.flows_rate;
        }
        sum.num_connected_nodes = Some(connected);
        sum.num_unavailable_nodes = Some(unavailable);
        away.truncate(NAMED);
        sum.unavailable_nodes = away;
        sum.version = version();
        // Of a relay without any observer something is alive all the same.
        let uptime = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        sum.uptime_ns = sum.uptime_ns.max(uptime);
        Ok(Response::new(sum))
    }
}

/// The name that an observer's certificate must be for; empty without TLS.
pub(super) fn server_name(peer: &Peer) -> String {
    match (&peer.tls, &peer.address) {
        (None, _) | (_, Address::Socket(_) | Address::Forwarded(_)) => String::new(),
        (Some(tls), Address::Tcp(host, _)) => {
            tls.server_name.clone().unwrap_or_else(|| host.clone())
        }
    }
}
