//! The service over a real socket, asked by a client.

use tokio_stream::StreamExt as _;
use tonic::transport::Endpoint;

use super::*;
use crate::{
    api::{flow::FlowFilter, observer::observer_client::ObserverClient},
    serve,
    service::OwnPeer,
};

struct Served {
    ring: Arc<Ring>,
    client: ObserverClient<tonic::transport::Channel>,
    channel: tonic::transport::Channel,
    askers: Askers,
    same: Arc<Same>,
    _folder: tempfile::TempDir,
}

async fn served(capacity: usize) -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hubble.sock");
    let ring = Arc::new(Ring::new(capacity));
    let observer = Observer::new(ring.clone(), "node".into());
    let (askers, same) = (observer.askers.clone(), Arc::clone(&observer.same));
    serve::unix(serve::node(observer).await, &path)
        .await
        .expect("a socket");
    let endpoint = Endpoint::from_shared(format!("unix://{}", path.display())).expect("a URI");
    let channel = endpoint.connect().await.expect("a connection");
    Served {
        ring,
        client: ObserverClient::new(channel.clone()),
        channel,
        askers,
        same,
        _folder: folder,
    }
}

fn put(ring: &Ring, seconds: i64) {
    ring.push(Item::Flow(Arc::new(Flow {
        uuid: seconds.to_string(),
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        node_name: "node".into(),
        source: Some(crate::api::flow::Endpoint {
            namespace: "default".into(),
            ..Default::default()
        }),
        ..Flow::default()
    })));
    ring.publish();
}

fn shown(answer: &GetFlowsResponse) -> String {
    match &answer.response_types {
        Some(ResponseTypes::Flow(flow)) => flow.uuid.clone(),
        Some(ResponseTypes::LostEvents(lost)) => format!("lost {}", lost.num_events_lost),
        _ => "nothing".into(),
    }
}

async fn ask(served: &mut Served, request: GetFlowsRequest) -> Vec<String> {
    let answers = served
        .client
        .get_flows(request)
        .await
        .expect("answers")
        .into_inner();
    let answers: Vec<_> = answers
        .map(|answer| answer.expect("a flow"))
        .collect()
        .await;
    assert!(answers.iter().all(|answer| answer.node_name == "node"));
    answers.iter().map(shown).collect()
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

#[tokio::test]
async fn ranges() {
    let mut it = served(8).await;
    // The proxy's records come sooner than the kernel's of the same time.
    for seconds in [1, 2, 4, 3, 5, 6] {
        put(&it.ring, seconds);
    }
    let all = || GetFlowsRequest::default();
    let not_5 = |list: &mut Vec<FlowFilter>| {
        list.push(FlowFilter {
            uuid: vec!["5".into()],
            ..FlowFilter::default()
        });
    };
    let mut without = GetFlowsRequest { number: 2, ..all() };
    not_5(&mut without.blacklist);
    let mut only = all();
    not_5(&mut only.whitelist);
    for (request, expected) in [
        (all(), "1 2 3 4 5 6"),
        (GetFlowsRequest { number: 2, ..all() }, "5 6"),
        (
            GetFlowsRequest {
                number: 2,
                first: true,
                ..all()
            },
            "1 2",
        ),
        (
            GetFlowsRequest {
                number: 99,
                ..all()
            },
            "1 2 3 4 5 6",
        ),
        (
            GetFlowsRequest {
                since: at(5),
                ..all()
            },
            "5 6",
        ),
        (
            GetFlowsRequest {
                until: at(2),
                ..all()
            },
            "1 2",
        ),
        (
            GetFlowsRequest {
                since: at(2),
                until: at(4),
                number: 2,
                ..all()
            },
            "2 4",
        ),
        (without, "3 6"),
        (only, "5"),
    ] {
        let said = format!("{request:?}");
        assert_eq!(ask(&mut it, request).await.join(" "), expected, "{said}");
    }
    let wrong = GetFlowsRequest {
        first: true,
        follow: true,
        ..all()
    };
    assert!(it.client.get_flows(wrong).await.is_err());
    let mut wrong = all();
    wrong.whitelist.push(FlowFilter {
        source_ip: vec!["x".into()],
        ..FlowFilter::default()
    });
    let status = it.client.get_flows(wrong).await.expect_err("no address");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("source_ip"), "{status}");
}

#[tokio::test]
async fn followers_get_what_comes_and_are_told_what_they_missed() {
    let mut it = served(4).await;
    put(&it.ring, 1);
    put(&it.ring, 2);
    let request = GetFlowsRequest {
        follow: true,
        number: 1,
        ..GetFlowsRequest::default()
    };
    let mut answers = it
        .client
        .get_flows(request)
        .await
        .expect("answers")
        .into_inner();
    let mut next = async || shown(&answers.next().await.expect("more").expect("a flow"));
    assert_eq!(next().await, "2");
    put(&it.ring, 3);
    assert_eq!(next().await, "3");
    // Nobody runs between these: the ring turns over before the follower reads.
    for seconds in 4..=13 {
        put(&it.ring, seconds);
    }
    assert_eq!(next().await, "lost 6");
    assert_eq!(next().await, "10");
}

#[tokio::test]
async fn the_server_tells_of_itself() {
    let mut it = served(4).await;
    for seconds in 1..=6 {
        put(&it.ring, seconds);
    }
    let status = it
        .client
        .server_status(ServerStatusRequest {})
        .await
        .expect("a status")
        .into_inner();
    assert_eq!(
        (status.num_flows, status.max_flows, status.seen_flows),
        (4, 4, 6)
    );
    assert_eq!(status.num_connected_nodes, Some(1));
    assert!(status.uptime_ns > 0 && status.version.starts_with("weir "));
    let nodes = it
        .client
        .get_nodes(GetNodesRequest {})
        .await
        .expect("nodes")
        .into_inner();
    assert_eq!(nodes.nodes[0].name, "node");
    assert_eq!(nodes.nodes[0].state(), NodeState::NodeConnected);
    let found = it
        .client
        .get_namespaces(GetNamespacesRequest {})
        .await
        .expect("names")
        .into_inner();
    assert_eq!(found.namespaces.len(), 1);
    assert_eq!(found.namespaces[0].namespace, "default");
}

/// The numbers of the public API's fields: a client of another make goes by these alone.
#[test]
fn the_public_numbers_are_kept() {
    let pool = prost_reflect::DescriptorPool::decode(crate::api::DESCRIPTORS).expect("descriptors");
    for (message, fields) in [
        (
            "flow.Flow",
            "time=1 verdict=2 drop_reason=3 ethernet=4 IP=5 l4=6 source=8 destination=9 Type=10 node_name=11 source_names=13 destination_names=14 l7=15 reply=16 event_type=19 source_service=20 destination_service=21 traffic_direction=22 policy_match_type=23 trace_observation_point=24 drop_reason_desc=25 is_reply=26 interface=28 proxy_port=29 trace_context=30 uuid=34 auth_type=35 trace_reason=36 node_labels=37 ip_trace_id=40 egress_allowed_by=21001 ingress_allowed_by=21002 egress_denied_by=21004 ingress_denied_by=21005 policy_log=21006 Summary=100000 extensions=150000 weir=150001",
        ),
        (
            "flow.FlowFilter",
            "source_ip=1 source_pod=2 destination_ip=3 destination_pod=4 verdict=5 event_type=6 source_fqdn=7 destination_fqdn=8 http_status_code=9 source_label=10 destination_label=11 protocol=12 source_port=13 destination_port=14 reply=15 source_service=16 destination_service=17 dns_query=18 source_identity=19 destination_identity=20 http_method=21 http_path=22 tcp_flags=23 node_name=24 ip_version=25 source_workload=26 destination_workload=27 trace_id=28 uuid=29 traffic_direction=30 http_url=31 http_header=32 drop_reason_desc=33 source_ip_xlated=34 interface=35 node_labels=36 source_cluster_name=37 destination_cluster_name=38 ip_trace_id=39 encrypted=40 experimental=999",
        ),
        (
            "flow.Endpoint",
            "ID=1 identity=2 namespace=3 labels=4 pod_name=5 workloads=6 cluster_name=7",
        ),
        ("peer.ChangeNotification", "name=1 address=2 type=3 tls=4"),
        (
            "relay.NodeStatusEvent",
            "state_change=1 node_names=2 message=3",
        ),
        (
            "flow.LostEvent",
            "source=1 num_events_lost=2 cpu=3 first=4 last=5",
        ),
        ("flow.Layer7", "type=1 latency_ns=2 dns=100 http=101"),
        ("flow.HTTP", "code=1 method=2 url=3 protocol=4 headers=5"),
        (
            "flow.DNS",
            "query=1 ips=2 ttl=3 cnames=4 observation_source=5 rcode=6 qtypes=7 rrtypes=8",
        ),
        (
            "flow.IP",
            "source=1 destination=2 ipVersion=3 encrypted=4 source_xlated=5",
        ),
        (
            "flow.TCPFlags",
            "FIN=1 SYN=2 RST=3 PSH=4 ACK=5 URG=6 ECE=7 CWR=8 NS=9",
        ),
        (
            "flow.Policy",
            "name=1 namespace=2 labels=3 revision=4 kind=5",
        ),
        (
            "observer.GetFlowsRequest",
            "number=1 follow=3 blacklist=5 whitelist=6 since=7 until=8 first=9 field_mask=10 experimental=999 extensions=150000",
        ),
        (
            "observer.GetFlowsResponse",
            "flow=1 node_status=2 lost_events=3 node_name=1000 time=1001",
        ),
        (
            "observer.ServerStatusResponse",
            "num_flows=1 max_flows=2 seen_flows=3 uptime_ns=4 num_connected_nodes=5 num_unavailable_nodes=6 unavailable_nodes=7 version=8 flows_rate=9",
        ),
    ] {
        let found = pool.get_message_by_name(message).expect(message);
        let mut numbered: Vec<_> = found
            .fields()
            .map(|f| (f.number(), f.name().to_owned()))
            .collect();
        numbered.sort();
        let text: Vec<String> = numbered
            .iter()
            .map(|(number, name)| format!("{name}={number}"))
            .collect();
        assert_eq!(text.join(" "), fields, "{message}");
    }
}

#[tokio::test]
async fn a_watcher_of_peers_hears_of_the_node() {
    use crate::api::peer::{
        ChangeNotificationType, NotifyRequest, peer_client::PeerClient, peer_server::PeerServer,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hubble.sock");
    let observer = Observer::new(Arc::new(Ring::new(4)), "node".into());
    let peer = OwnPeer::new(observer.node(), "192.0.2.1:4244".into(), true);
    let routes = serve::routes(observer)
        .await
        .add_service(PeerServer::new(peer));
    serve::unix(routes, &path).await.expect("a socket");
    let endpoint = Endpoint::from_shared(format!("unix://{}", path.display())).expect("a URI");
    let mut client = PeerClient::new(endpoint.connect().await.expect("a connection"));
    let mut told = client
        .notify(NotifyRequest {})
        .await
        .expect("an answer")
        .into_inner();
    let first = told.message().await.expect("a stream").expect("a peer");
    assert_eq!(first.r#type(), ChangeNotificationType::PeerAdded);
    assert_eq!(
        (first.name.as_str(), first.address.as_str()),
        ("node", "192.0.2.1:4244")
    );
    assert!(first.tls.is_some());
}

#[tokio::test]
async fn what_is_not_told_is_refused_with_a_message() {
    let served = served(4).await;
    let mut client = tonic::client::Grpc::new(served.channel.clone());
    for (method, what) in [
        ("GetAgentEvents", "events of an agent"),
        ("GetDebugEvents", "debug events"),
    ] {
        client.ready().await.expect("a connection");
        let path = format!("/observer.Observer/{method}")
            .parse()
            .expect("a path");
        let codec = tonic_prost::ProstCodec::<GetNodesRequest, GetNodesResponse>::default();
        let request = tonic::Request::new(GetNodesRequest {});
        let status = client.unary(request, path, codec).await.expect_err(method);
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert!(status.message().contains(what), "{status:?}");
    }
}

#[tokio::test]
async fn expressions_in_cel_choose_flows() {
    let mut served = served(16).await;
    for seconds in 1..5 {
        put(&served.ring, seconds);
    }
    let asked = |text: &str| GetFlowsRequest {
        number: 10,
        whitelist: vec![FlowFilter {
            experimental: Some(crate::api::flow::flow_filter::Experimental {
                cel_expression: vec![text.to_owned()],
            }),
            ..FlowFilter::default()
        }],
        ..GetFlowsRequest::default()
    };
    let request = asked("_flow.source.namespace == 'default' && _flow.uuid in ['2', '3']");
    assert_eq!(ask(&mut served, request).await, ["2", "3"]);
    let refused = served.client.get_flows(asked("_flow.nothing")).await;
    let status = refused.expect_err("no such field");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(
        status.message().contains("Flow has no field \"nothing\""),
        "{status:?}"
    );
}

/// Waits until so many requests for flows are answered.
async fn answering(served: &Served, number: usize) {
    let until = async {
        while served.askers.answering() != number {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), until).await;
    waited.unwrap_or_else(|_| panic!("{} are answered", served.askers.answering()));
}

#[tokio::test]
async fn what_is_done_for_a_client_ends_with_it() {
    let mut it = served(1 << 16).await;
    for seconds in 0..1 << 16 {
        put(&it.ring, seconds);
    }
    let nothing = FlowFilter {
        http_path: vec!["^/nobody".into()],
        ..FlowFilter::default()
    };
    for follow in [false, true] {
        let request = GetFlowsRequest {
            follow,
            number: 1,
            whitelist: vec![nothing.clone()],
            ..GetFlowsRequest::default()
        };
        let mut client = it.client.clone();
        let asking = tokio::spawn(async move { client.get_flows(request).await.map(drop) });
        answering(&it, 1).await;
        asking.abort();
        // Flows go on coming: whoever follows has something to read at all times.
        let ring = Arc::clone(&it.ring);
        let coming = tokio::spawn(async move {
            for seconds in 0.. {
                put(&ring, seconds);
                tokio::task::yield_now().await;
            }
        });
        answering(&it, 0).await;
        coming.abort();
    }
    // And others are answered all the time.
    assert!(
        it.client
            .server_status(ServerStatusRequest {})
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_read() {
    let mut it = served(4).await;
    let request = GetFlowsRequest {
        whitelist: vec![FlowFilter::default(); REQUEST],
        ..GetFlowsRequest::default()
    };
    let status = it.client.get_flows(request).await.expect_err("too large");
    assert_eq!(status.code(), tonic::Code::OutOfRange);
    assert!(status.message().contains("65536"), "{status:?}");
}

#[tokio::test]
async fn followers_get_the_same_bytes() {
    let it = served(1024).await;
    let mut followers = Vec::new();
    for masked in [false, false, true] {
        let mask = masked.then(|| prost_types::FieldMask {
            paths: vec!["uuid".into()],
        });
        let request = GetFlowsRequest {
            follow: true,
            field_mask: mask,
            ..GetFlowsRequest::default()
        };
        let mut client = it.client.clone();
        followers.push(
            client
                .get_flows(request)
                .await
                .expect("answers")
                .into_inner(),
        );
    }
    put(&it.ring, 1);
    put(&it.ring, 2);
    for (follower, masked) in followers.iter_mut().zip([false, false, true]) {
        for uuid in ["1", "2"] {
            let answer = follower.message().await.expect("an answer").expect("more");
            assert_eq!(
                (shown(&answer).as_str(), answer.node_name.as_str()),
                (uuid, "node")
            );
            let Some(ResponseTypes::Flow(flow)) = answer.response_types else {
                panic!("no flow")
            };
            assert_eq!(flow.source.is_none(), masked);
        }
    }
    assert_eq!(it.same.encoded(), 2);
}
