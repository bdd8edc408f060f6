//! What was seen, over all nodes; and what they tell of themselves.

use super::*;
use crate::api::{
    flow::FlowFilter,
    observer::{
        GetNamespacesRequest, GetNodesRequest, ServerStatusRequest, observer_server::Observer as _,
    },
    peer::{ChangeNotificationType, NotifyRequest, peer_server::Peer as _},
};

/// Three nodes, the third an hour ahead.
fn three(folder: &tempfile::TempDir) -> [Node; 3] {
    let nodes = ["a", "b", "c"].map(|name| Node::start(folder, name));
    for (node, times) in nodes.iter().zip([[1, 4, 6], [2, 3, 7], [3601, 3604, 3605]]) {
        times.into_iter().for_each(|time| node.see(time));
    }
    nodes
}

#[tokio::test]
async fn ranges_are_of_all_nodes_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = three(&folder);
    let (relay, _peers) = relay_of(nodes.iter().map(Node::address));
    let every = GetFlowsRequest::default;
    let mut without = GetFlowsRequest {
        number: 2,
        ..every()
    };
    without.blacklist.push(FlowFilter {
        node_name: vec!["c".into()],
        ..FlowFilter::default()
    });
    for (request, expected) in [
        (every(), "a1 b2 b3 a4 a6 b7 c3601 c3604 c3605"),
        (
            GetFlowsRequest {
                number: 4,
                ..every()
            },
            "b7 c3601 c3604 c3605",
        ),
        (
            GetFlowsRequest {
                number: 4,
                first: true,
                ..every()
            },
            "a1 b2 b3 a4",
        ),
        (
            GetFlowsRequest {
                since: at(4),
                until: at(3601),
                ..every()
            },
            "a4 a6 b7 c3601",
        ),
        (
            GetFlowsRequest {
                since: at(3),
                number: 2,
                ..every()
            },
            "b3 a4",
        ),
        (without, "a6 b7"),
    ] {
        let said = format!("{request:?}");
        let mut found = all(&relay, request).await;
        assert_eq!(found.remove(0), "NODE_CONNECTED a+b+c");
        assert_eq!(found.join(" "), expected, "{said}");
    }
}

#[tokio::test]
async fn a_mask_is_laid_on_the_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = three(&folder);
    let (relay, _peers) = relay_of(nodes.iter().map(Node::address));
    let request = GetFlowsRequest {
        number: 1,
        field_mask: Some(prost_types::FieldMask {
            paths: vec!["source.namespace".into()],
        }),
        ..GetFlowsRequest::default()
    };
    let mut answers = relay.flows(request).expect("a good request");
    let flow = loop {
        let answer = answers.recv().await.expect("a flow").expect("an answer");
        if let Some(ResponseTypes::Flow(flow)) = answer.response_types {
            assert_eq!(answer.node_name, "c");
            break flow;
        }
    };
    assert_eq!((flow.uuid.as_str(), flow.time), ("", None));
    assert_eq!(flow.source.expect("a source").namespace, "c");
}

#[tokio::test]
async fn requests_that_mean_nothing_are_refused() {
    let (relay, _peers) = relay_of([]);
    let wrong = |change: fn(&mut GetFlowsRequest)| {
        let mut request = GetFlowsRequest::default();
        change(&mut request);
        let status = relay.flows(request).expect_err("a bad request");
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        status.message().to_owned()
    };
    let both = wrong(|request| (request.first, request.follow) = (true, true));
    assert!(both.contains("exclude"), "{both}");
    let many = wrong(|request| request.number = 100_001);
    assert!(many.contains("100000"), "{many}");
    let filter = wrong(|request| {
        request.whitelist.push(FlowFilter {
            source_ip: vec!["x".into()],
            ..FlowFilter::default()
        });
    });
    assert!(filter.contains("source_ip"), "{filter}");
    let path = wrong(|request| {
        request.field_mask = Some(prost_types::FieldMask {
            paths: vec!["sauce".into()],
        });
    });
    assert!(path.contains("sauce"), "{path}");
}

#[tokio::test]
async fn the_relay_tells_of_its_nodes() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = three(&folder);
    let nobody = Address::Socket(folder.path().join("nobody"));
    let (relay, peers) = relay_of(nodes.iter().map(Node::address).chain([nobody.clone()]));
    let status = relay.server_status(tonic::Request::new(ServerStatusRequest {}));
    let status = status.await.expect("a status").into_inner();
    assert_eq!(
        (status.num_flows, status.max_flows, status.seen_flows),
        (9, 3 * 64, 9)
    );
    assert_eq!(status.num_connected_nodes, Some(3));
    assert_eq!(status.num_unavailable_nodes, Some(1));
    assert_eq!(status.unavailable_nodes, [nobody.to_string()]);
    assert!(status.flows_rate > 0.0 && status.uptime_ns > 0);
    // A relay before it says the same.
    let path = folder.path().join("relay");
    let routes = serve::routes(relay.clone()).await;
    serve::unix(routes, &path).await.expect("a socket");
    let (before, _peers) = relay_of([Address::Socket(path)]);
    let said = before.server_status(tonic::Request::new(ServerStatusRequest {}));
    let said = said.await.expect("a status").into_inner();
    assert_eq!(said.num_connected_nodes, status.num_connected_nodes);
    assert_eq!(said.num_unavailable_nodes, status.num_unavailable_nodes);
    assert_eq!(said.unavailable_nodes, status.unavailable_nodes);

    let listed = relay.get_nodes(tonic::Request::new(GetNodesRequest {}));
    let listed = listed.await.expect("nodes").into_inner().nodes;
    let told: Vec<_> = listed
        .iter()
        .map(|n| (n.name.as_str(), n.state()))
        .collect();
    let nobody_name = nobody.to_string();
    assert_eq!(
        told,
        [
            ("a", NodeState::NodeConnected),
            ("b", NodeState::NodeConnected),
            ("c", NodeState::NodeConnected),
            (nobody_name.as_str(), NodeState::NodeUnavailable),
        ]
    );
    assert_eq!(listed[0].address, nodes[0].address().to_string());

    let spaces = relay.get_namespaces(tonic::Request::new(GetNamespacesRequest {}));
    let spaces = spaces.await.expect("namespaces").into_inner().namespaces;
    let names: Vec<_> = spaces
        .iter()
        .map(|space| space.namespace.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);

    // The list of peers, and what changes in it.
    let service = PeerService::new(Arc::clone(&peers));
    let notified = service.notify(tonic::Request::new(NotifyRequest {})).await;
    let mut changes = notified.expect("changes").into_inner();
    let mut told = BTreeSet::new();
    for _ in 0..4 {
        let change = next_change(&mut changes).await;
        assert_eq!(change.r#type(), ChangeNotificationType::PeerAdded);
        told.insert(change.name);
    }
    assert!(
        told.contains("a") && told.contains(&nobody_name),
        "{told:?}"
    );
    peers.set(&nodes[1..].iter().map(Node::address).collect());
    let gone = [
        next_change(&mut changes).await,
        next_change(&mut changes).await,
    ];
    assert!(
        gone.iter()
            .all(|c| c.r#type() == ChangeNotificationType::PeerDeleted)
    );
    assert!(gone.iter().any(|change| change.name == "a"), "{gone:?}");
}

async fn next_change<T>(
    changes: &mut (impl tokio_stream::Stream<Item = Result<T, Status>> + Unpin),
) -> T {
    let change = timeout(LONG, tokio_stream::StreamExt::next(changes)).await;
    change.expect("in time").expect("more").expect("a change")
}
