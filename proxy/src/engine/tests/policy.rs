//! Verdicts: per request, in order, on both readings of a path, with the newest snapshot.

use super::*;
use tokio::net::TcpSocket;
use weir_link::proxy::Disposition;

#[tokio::test]
async fn pipelined_answers_stay_in_order() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send(format!(
            "{}{}{}",
            get("/ok/1"),
            get("/denied"),
            get("/ok/2")
        ))
        .await;
    let mut server = lab.accept().await;
    server.expect(get("/ok/1")).await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
        .await;
    server.expect(get("/ok/2")).await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
        .await;
    client.expect(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none{DENIED}HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"
    )).await;
    let flows = [lab.flow().await, lab.flow().await, lab.flow().await];
    let seen: Vec<_> = flows
        .iter()
        .map(|flow| (http(flow).path.as_str(), flow.verdict, flow.status()))
        .collect();
    assert_eq!(
        seen,
        [
            ("/ok/1", Disposition::Allowed, Some(200)),
            ("/denied", Disposition::Denied, Some(403)),
            ("/ok/2", Disposition::Allowed, Some(200)),
        ]
    );
    assert_eq!(flows[1].policies, ["NetworkPolicy/test/prefix"]);
    assert_eq!(
        (flows[1].endpoint, http(&flows[1]).host.as_str()),
        (Some(7), "h")
    );
}

#[tokio::test]
async fn denials_keep_the_connection_and_never_reach_the_server() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(get("/denied")).await;
    client.expect(DENIED).await;
    client
        .send("POST /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n")
        .await;
    client.expect(DENIED).await;
    client.send("x".repeat(100)).await;
    client.send("POST /denied HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n").await;
    client.expect(DENIED).await;
    client
        .send("HEAD /denied HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    client
        .expect(DENIED.trim_end_matches("Access denied\r\n"))
        .await;
    client.send(get("/denied")).await;
    client.expect(DENIED).await;
    lab.assert_server_untouched().await;
    client.end().await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_denial_closes_where_the_request_said_so() {
    let lab = Lab::new().await;
    for request in [
        "GET /denied HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET /denied HTTP/1.0\r\nHost: h\r\n\r\n",
        "PUT /denied HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    ] {
        let mut client = lab.client().await;
        client.send(request).await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("Access denied\r\n"),
            "{answer:?}"
        );
    }
    lab.assert_server_untouched().await;
}

#[tokio::test]
async fn both_readings_of_a_path_must_be_allowed() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    for path in [
        "/ok/../secret",
        "/ok/%2e%2e/secret",
        "/ok%2f..%2fsecret",
        "/ok\\..\\secret",
        "/ok/..;/secret",
        "//ok/x/../../secret",
    ] {
        client.send(get(path)).await;
        client.expect(DENIED).await;
        assert_eq!(lab.request().await.path, path);
    }
    client
        .send("GET http://h/ok/../secret HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    client.expect(DENIED).await;
    lab.assert_server_untouched().await;
    // Allowed in both readings: goes on exactly as sent.
    let odd = get("/ok//a/./b%2Fc?x=../..");
    client.send(&odd).await;
    let mut server = lab.accept().await;
    server.expect(&odd).await;
}

#[tokio::test]
async fn a_new_snapshot_decides_the_next_request_of_a_kept_connection() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(get("/ok")).await;
    let mut server = lab.accept().await;
    server.expect(get("/ok")).await;
    lab.context.policy.set(1, Arc::new(Prefix("/new")));
    // The request under way was judged by the old snapshot.
    server.send(OK).await;
    client.expect(OK).await;
    client.send(get("/ok")).await;
    client.expect(DENIED).await;
    client.send(get("/new")).await;
    server.expect(get("/new")).await;
    server.send(OK).await;
    client.expect(OK).await;
}

#[tokio::test]
async fn a_server_that_refuses_gets_503_and_the_connection_goes_on() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut lab = Lab::towards(unused, address, Limits::default()).await;
    let mut client = lab.client().await;
    let unreachable = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 25\r\n\r\nupstream connect failed\r\n";
    for _ in 0..2 {
        client
            .send("POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab")
            .await;
        client.expect(unreachable).await;
        let flow = lab.flow().await;
        assert_eq!(
            (flow.verdict, flow.status()),
            (Disposition::Error, Some(503))
        );
    }
    client.send(get("/denied")).await;
    client.expect(DENIED).await;
    assert_eq!(lab.context.counters.upstream_failures.get(), 2);
}

#[tokio::test]
async fn without_a_policy_connections_are_reset() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (flows, _received, _recorded) = FlowSender::channel(1);
    let (_drain, draining) = watch::channel(false);
    let context = Arc::new(Context {
        policy: PolicyCell::default(),
        datapath: Datapath::Plain {
            direction: Direction::Egress,
            endpoint: 1,
            server: address,
        },
        limits: Limits::default(),
        counters: Arc::new(Counters::default()),
        flows,
        names: crate::dns::learn::Teller::channel().0,
        draining,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Peer(
        TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap(),
    );
    let (accepted, address) = listener.accept().await.unwrap();
    super::super::serve(Arc::clone(&context), accepted, address).await;
    client.expect_reset().await;
    assert_eq!(context.counters.no_policy.get(), 1);
}

#[tokio::test]
async fn a_connection_without_a_mark_is_a_stranger() {
    let (flows, _received, _recorded) = FlowSender::channel(1);
    let (_drain, draining) = watch::channel(false);
    let context = Arc::new(Context {
        policy: PolicyCell::default(),
        datapath: Datapath::Transparent {
            direction: Direction::Ingress,
            listener_port: 1,
        },
        limits: Limits::default(),
        counters: Arc::new(Counters::default()),
        flows,
        names: crate::dns::learn::Teller::channel().0,
        draining,
    });
    context.policy.set(1, Arc::new(Prefix("/")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Peer(
        TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap(),
    );
    let (accepted, address) = listener.accept().await.unwrap();
    super::super::serve(Arc::clone(&context), accepted, address).await;
    client.expect_reset().await;
    assert_eq!(context.counters.strangers.get(), 1);
}

/// Says when it was asked.
struct Counting(Prefix, Arc<AtomicUsize>);

impl Judge for Counting {
    fn speaks(&self, flow: RequestFlow) -> Speaks {
        self.0.speaks(flow)
    }

    fn asked(&self, flow: RequestFlow) -> Arc<Asked> {
        self.0.asked(flow)
    }

    fn judge(&self, flow: RequestFlow, request: &Request<'_>) -> RequestVerdict {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.judge(flow, request)
    }

    fn judge_name(&self, flow: RequestFlow, of: NameUse, name: Option<&str>) -> RequestVerdict {
        self.0.judge_name(flow, of, name)
    }
}

/// A server whose queue is full answers no SYN: the client's kernel tries again a second later.
#[tokio::test]
async fn a_request_that_waited_for_its_server_goes_by_the_policy_of_then() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = socket.listen(0).unwrap();
    let address = server.local_addr().unwrap();
    let lab = Lab::towards(server, address, Limits::default()).await;
    let _waits = TcpStream::connect(address).await.unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let allows = Counting(Prefix("/ok"), Arc::clone(&asked));
    lab.context.policy.set(1, Arc::new(allows));
    let mut client = lab.client().await;
    client.send(get("/ok")).await;
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // A new agent may begin with the same revision.
    lab.context.policy.set(1, Arc::new(Prefix("/other")));
    drop(lab.accept().await);
    client.expect(DENIED).await;
    let mut reached = lab.accept().await;
    client.send(get("/other")).await;
    reached.expect(get("/other")).await;
    assert_eq!(lab.context.counters.requests_denied.get(), 1);
    assert_eq!(lab.context.counters.requests_allowed.get(), 1);
}
