//! A record of flows as a source: what a file holds, and nothing after it.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status};
use weir_observe::{
    api::{
        flow::Flow,
        observer::{
            GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse,
            GetNodesRequest, GetNodesResponse, Namespace, Node, ServerStatusRequest,
            ServerStatusResponse, get_flows_response::ResponseTypes, observer_server::Observer,
        },
        relay::NodeState,
    },
    filter::Filters,
};

/// Answers as an observer from what was recorded. Times are those of the record: `since` and `until`
/// of a request mean nothing here.
#[derive(Debug)]
pub struct Record {
    answers: Arc<[GetFlowsResponse]>,
}

// === impl Record ===

impl Record {
    /// Serves these, in their order.
    pub fn new(answers: Vec<GetFlowsResponse>) -> Self {
        Self {
            answers: answers.into(),
        }
    }

    fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.answers.iter().filter_map(flow)
    }
}

fn flow(answer: &GetFlowsResponse) -> Option<&Flow> {
    match &answer.response_types {
        Some(ResponseTypes::Flow(flow)) => Some(flow),
        _ => None,
    }
}

#[tonic::async_trait]
impl Observer for Record {
    type GetFlowsStream = Pin<Box<dyn Stream<Item = Result<GetFlowsResponse, Status>> + Send>>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let request = request.into_inner();
        let filters = Filters::new(&request.whitelist, &request.blacklist)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let wanted = |answer: &GetFlowsResponse| flow(answer).is_none_or(|f| filters.pass(f));
        let mut found: Vec<usize> = (0..self.answers.len())
            .filter(|index| self.answers.get(*index).is_some_and(wanted))
            .collect();
        let number = usize::try_from(request.number).unwrap_or(usize::MAX);
        if number > 0 {
            let skip = found.len().saturating_sub(number);
            found.drain(..skip);
        }
        let answers = Arc::clone(&self.answers);
        let each = found
            .into_iter()
            .filter_map(move |index| answers.get(index).cloned().map(Ok));
        Ok(Response::new(Box::pin(stream::iter(each))))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let names: BTreeSet<&str> = self.flows().map(|flow| flow.node_name.as_str()).collect();
        let nodes = names.into_iter().map(|name| Node {
            name: name.to_owned(),
            state: NodeState::NodeGone.into(),
            ..Node::default()
        });
        Ok(Response::new(GetNodesResponse {
            nodes: nodes.collect(),
        }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let ends = self
            .flows()
            .flat_map(|flow| [&flow.source, &flow.destination]);
        let names: BTreeSet<&str> = ends.flatten().map(|end| end.namespace.as_str()).collect();
        let named = names.into_iter().filter(|name| !name.is_empty());
        let namespaces = named.map(|name| Namespace {
            namespace: name.to_owned(),
            ..Namespace::default()
        });
        Ok(Response::new(GetNamespacesResponse {
            namespaces: namespaces.collect(),
        }))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let count = self.flows().count() as u64;
        Ok(Response::new(ServerStatusResponse {
            num_flows: count,
            max_flows: count,
            seen_flows: count,
            version: format!("weir {}", env!("CARGO_PKG_VERSION")),
            ..ServerStatusResponse::default()
        }))
    }
}
