//! `GET /api/status`: how the source is.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{Json, extract::State};
use serde::Serialize;
use tonic::Request;
use weir_observe::api::{
    observer::{
        GetNamespacesRequest, GetNodesRequest, Node, ServerStatusRequest, observer_server::Observer,
    },
    relay::NodeState,
};

use crate::{App, FOLLOWERS, flows::refusal};

/// What `GET /api/status` answers.
#[derive(Debug, Serialize)]
pub struct Status {
    source: String,
    recorded: bool,
    version: String,
    flows: Flows,
    nodes: Vec<NodeStatus>,
    namespaces: Vec<String>,
    /// Records that were lost on the way to browsers, of all browsers since the start.
    lost: u64,
    /// Pages that are open.
    browsers: usize,
}

#[derive(Debug, Serialize)]
struct Flows {
    held: u64,
    capacity: u64,
    /// Since the source began.
    seen: u64,
    a_second: f64,
}

#[derive(Debug, Serialize)]
struct NodeStatus {
    name: String,
    /// `connected`, `unavailable`, `gone`, `error`.
    state: &'static str,
    version: String,
    uptime_s: u64,
    seen: u64,
}

pub async fn status<S: Observer>(
    State(app): State<Arc<App<S>>>,
) -> Result<Json<Status>, (axum::http::StatusCode, String)> {
    let source = &app.source;
    let (server, nodes, namespaces) = tokio::join!(
        source.server_status(Request::new(ServerStatusRequest {})),
        source.get_nodes(Request::new(GetNodesRequest {})),
        source.get_namespaces(Request::new(GetNamespacesRequest {})),
    );
    let server = server.map_err(refusal)?.into_inner();
    let nodes = nodes.map_err(refusal)?.into_inner().nodes;
    let namespaces = namespaces.map_err(refusal)?.into_inner().namespaces;
    let mut namespaces: Vec<String> = namespaces
        .into_iter()
        .map(|space| space.namespace)
        .collect();
    namespaces.sort();
    namespaces.dedup();
    Ok(Json(Status {
        source: app.options.source.clone(),
        recorded: app.options.recorded,
        version: server.version,
        flows: Flows {
            held: server.num_flows,
            capacity: server.max_flows,
            seen: server.seen_flows,
            a_second: server.flows_rate,
        },
        nodes: nodes.into_iter().map(NodeStatus::from).collect(),
        namespaces,
        lost: app.lost.load(Relaxed),
        browsers: FOLLOWERS - app.followers.available_permits(),
    }))
}

impl From<Node> for NodeStatus {
    fn from(node: Node) -> Self {
        let state = match node.state() {
            NodeState::NodeConnected => "connected",
            NodeState::NodeUnavailable => "unavailable",
            NodeState::NodeGone => "gone",
            NodeState::NodeError => "error",
            NodeState::UnknownNodeState => "unknown",
        };
        Self {
            state,
            name: node.name,
            version: node.version,
            uptime_s: node.uptime_ns / 1_000_000_000,
            seen: node.seen_flows,
        }
    }
}
