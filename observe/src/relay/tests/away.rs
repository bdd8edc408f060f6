//! Nodes that die, hang, come and go, while they are followed or asked.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response};

use super::*;
use crate::api::observer::{
    GetNamespacesRequest, GetNamespacesResponse, GetNodesRequest, GetNodesResponse, Node as Told,
    ServerStatusRequest, ServerStatusResponse, observer_server,
};

/// Follows from now on: gives what comes after the nodes were told.
async fn follow(relay: &Relay, number: u64) -> Receiver<Result<GetFlowsResponse, Status>> {
    let request = GetFlowsRequest {
        follow: true,
        number,
        ..GetFlowsRequest::default()
    };
    relay.flows(request).expect("a good request")
}

#[tokio::test]
async fn followed_flows_come_in_the_order_of_their_times() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = ["a", "b"].map(|name| Node::start(&folder, name));
    nodes[0].see(1);
    nodes[1].see(2);
    nodes[0].see(3);
    // Wide enough for a busy machine to bring all four in it.
    let timing = Timing {
        window: Duration::from_secs(2),
        ..quick()
    };
    let (relay, _peers) = relay_in(nodes.iter().map(Node::address), timing);
    let mut answers = follow(&relay, 2).await;
    for expected in ["NODE_CONNECTED a+b", "b2", "a3"] {
        assert_eq!(next(&mut answers).await.as_deref(), Some(expected));
    }
    // Together: the window puts them in order.
    for (node, time) in [(0, 12), (1, 11), (0, 14), (1, 13)] {
        nodes[node].see(time);
    }
    for expected in ["b11", "a12", "b13", "a14"] {
        assert_eq!(next(&mut answers).await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_node_dies_and_comes_back_and_nothing_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = ["a", "b"].map(|name| Node::start(&folder, name));
    let (relay, _peers) = relay_of(nodes.iter().map(Node::address));
    let mut answers = follow(&relay, 0).await;
    assert_eq!(
        next(&mut answers).await.as_deref(),
        Some("NODE_CONNECTED a+b")
    );
    nodes[0].see(101);
    assert_eq!(next(&mut answers).await.as_deref(), Some("a101"));
    nodes[0].kill();
    assert_eq!(
        next(&mut answers).await.as_deref(),
        Some("NODE_UNAVAILABLE a")
    );
    // The other goes on, and what the first one sees meanwhile is given later.
    nodes[1].see(102);
    assert_eq!(next(&mut answers).await.as_deref(), Some("b102"));
    nodes[0].see(103);
    nodes[0].revive();
    assert_eq!(
        next(&mut answers).await.as_deref(),
        Some("NODE_CONNECTED a")
    );
    assert_eq!(next(&mut answers).await.as_deref(), Some("a103"));
    nodes[0].see(104);
    assert_eq!(next(&mut answers).await.as_deref(), Some("a104"));
    // Asked while it is away, the rest answers.
    nodes[0].kill();
    assert_eq!(
        next(&mut answers).await.as_deref(),
        Some("NODE_UNAVAILABLE a")
    );
    // Until the relay knows it, too, it asks the node in vain.
    let found = until(async || {
        let found = all(&relay, GetFlowsRequest::default()).await;
        let away = found.contains(&"NODE_UNAVAILABLE a".to_owned());
        let first = found.first().map(String::as_str);
        (away && first == Some("NODE_CONNECTED b")).then_some(found)
    });
    let found = found.await;
    assert!(
        found.contains(&"b102".into()) && !found.contains(&"a101".into()),
        "{found:?}"
    );
}

/// Who follows only what is new does not ask for what a quiet node has held for long.
#[tokio::test]
async fn what_a_quiet_node_sees_while_it_is_away_is_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = ["a", "b"].map(|name| Node::start(&folder, name));
    nodes[0].see(1000);
    nodes[1].see(1);
    let (relay, _peers) = relay_of(nodes.iter().map(Node::address));
    let mut answers = follow(&relay, 1).await;
    for expected in ["NODE_CONNECTED a+b", "a1000"] {
        assert_eq!(next(&mut answers).await.as_deref(), Some(expected));
    }
    nodes[0].kill();
    nodes[0].see(1001);
    nodes[0].revive();
    for expected in ["NODE_UNAVAILABLE a", "NODE_CONNECTED a", "a1001"] {
        assert_eq!(next(&mut answers).await.as_deref(), Some(expected));
    }
    // Nothing was given of this one: it began anew, so all that it has is new.
    nodes[1].kill();
    assert_eq!(
        next(&mut answers).await.as_deref(),
        Some("NODE_UNAVAILABLE b")
    );
    nodes[1].ring = Arc::new(Ring::new(64));
    nodes[1].see(2);
    nodes[1].revive();
    for expected in ["NODE_CONNECTED b", "b2"] {
        assert_eq!(next(&mut answers).await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_node_that_comes_late_is_back_under_the_name_that_it_was_told_away_by() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::start(&folder, "a");
    node.kill();
    std::fs::remove_file(&node.path).ok();
    let (relay, _peers) = relay_of([node.address()]);
    let mut answers = follow(&relay, 0).await;
    let address = node.address();
    let away = format!("NODE_UNAVAILABLE {address}");
    assert_eq!(next(&mut answers).await, Some(away));
    node.revive();
    let back = format!("NODE_CONNECTED a+{address}");
    assert_eq!(next(&mut answers).await, Some(back));
}

async fn until<T>(mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < end, "not in time");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn peers_come_and_go_while_they_are_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = ["a", "b", "c"].map(|name| Node::start(&folder, name));
    let (relay, peers) = relay_of(nodes[..2].iter().map(Node::address));
    let mut answers = follow(&relay, 0).await;
    assert_eq!(
        next(&mut answers).await.as_deref(),
        Some("NODE_CONNECTED a+b")
    );
    peers.set(&nodes[1..].iter().map(Node::address).collect());
    assert_eq!(next(&mut answers).await.as_deref(), Some("NODE_GONE a"));
    assert_eq!(
        next(&mut answers).await.as_deref(),
        Some("NODE_CONNECTED c")
    );
    nodes[0].see(1);
    nodes[2].see(2);
    assert_eq!(next(&mut answers).await.as_deref(), Some("c2"));
}

/// An observer that says its name and answers to nothing more.
#[derive(Clone)]
struct Stuck;

type Never = Pin<Box<dyn Stream<Item = Result<GetFlowsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl observer_server::Observer for Stuck {
    type GetFlowsStream = Never;

    async fn get_flows(
        &self,
        _: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::pending())))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let node = Told {
            name: "stuck".into(),
            ..Told::default()
        };
        Ok(Response::new(GetNodesResponse { nodes: vec![node] }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        std::future::pending().await
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        Ok(Response::new(ServerStatusResponse::default()))
    }
}

#[tokio::test]
async fn a_slow_node_is_waited_for_once_and_stops_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(&folder, "a");
    let path = folder.path().join("stuck");
    serve::unix(serve::routes(Stuck).await, &path)
        .await
        .expect("a socket");
    (1..=3).for_each(|time| node.see(time));
    let (relay, _peers) = relay_of([node.address(), Address::Socket(path)]);
    let request = GetFlowsRequest {
        number: 2,
        ..GetFlowsRequest::default()
    };
    let found = all(&relay, request).await;
    assert_eq!(
        found,
        ["NODE_CONNECTED a+stuck", "NODE_ERROR stuck", "a2", "a3"]
    );

    use observer_server::Observer as _;
    let spaces = relay.get_namespaces(Request::new(GetNamespacesRequest {}));
    let spaces = spaces.await.expect("namespaces").into_inner().namespaces;
    assert_eq!(spaces.len(), 1, "{spaces:?}");

    // One that says nothing is followed all the same: the other's flows are not held up.
    let mut answers = follow(&relay, 0).await;
    assert_eq!(
        next(&mut answers).await.as_deref(),
        Some("NODE_CONNECTED a+stuck")
    );
    node.see(4);
    assert_eq!(next(&mut answers).await.as_deref(), Some("a4"));
}
