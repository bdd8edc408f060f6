//! How connections end: FINs and resets pass in both directions.

use super::*;

async fn asked(lab: &Lab, request: &str) -> (Peer, Peer) {
    let mut client = lab.client().await;
    client.send(request).await;
    let mut server = lab.accept().await;
    server.expect(request).await;
    (client, server)
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_response() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(get("/ok")).await;
    client.end().await;
    let mut server = lab.accept().await;
    server.expect(get("/ok")).await;
    server.expect_end().await;
    server.send(OK).await;
    drop(server);
    assert_eq!(client.rest().await, OK);
    assert_eq!(lab.flow().await.status(), Some(200));
}

#[tokio::test]
async fn a_client_that_gave_up_got_no_answer() {
    let mut lab = Lab::new().await;
    let (client, mut server) = asked(&lab, &get("/ok")).await;
    drop(client);
    server.expect_end().await;
    server.send(OK).await;
    drop(server);
    let flow = lab.flow().await;
    assert_eq!(
        (flow.status(), flow.verdict),
        (None, weir_link::proxy::Disposition::Error),
        "{}",
        flow.reason
    );
}

#[tokio::test]
async fn a_client_that_closes_later_is_mirrored_later() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    client.end().await;
    server.expect_end().await;
    server.send(OK).await;
    drop(server);
    assert_eq!(client.rest().await, OK);
}

#[tokio::test]
async fn a_half_close_behind_pipelined_requests_waits_for_them() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send(format!(
            "{}{}{}",
            get("/ok/1"),
            get("/ok/2"),
            get("/denied")
        ))
        .await;
    client.end().await;
    let mut server = lab.accept().await;
    server.expect(get("/ok/1")).await;
    server.send(OK).await;
    server.expect(get("/ok/2")).await;
    server.send(OK).await;
    server.expect_end().await;
    drop(server);
    assert_eq!(client.rest().await, format!("{OK}{OK}{DENIED}"));
}

#[tokio::test]
async fn a_response_until_close_ends_with_the_connection() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server.send("HTTP/1.1 200 OK\r\n\r\nsome ").await;
    client.expect("HTTP/1.1 200 OK\r\n\r\nsome ").await;
    server.send("bytes").await;
    drop(server);
    assert_eq!(client.rest().await, "bytes");
}

#[tokio::test]
async fn the_side_that_closed_first_at_the_server_closes_first_at_the_client() {
    let lab = Lab::new().await;
    for _ in 0..20 {
        let request = "GET /ok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let (mut client, mut server) = asked(&lab, request).await;
        server
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .await;
        drop(server);
        let mut read = vec![0; 200];
        let count = client.0.read(&mut read).await.unwrap();
        assert!(lossy(&read[..count]).ends_with("ok"));
        // The FIN came with the data: it is there before the client could close.
        assert_eq!(client.0.try_read(&mut read).unwrap(), 0);
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closes_is_closed() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server.send(OK).await;
    client.expect(OK).await;
    server.end().await;
    client.expect_end().await;
    client.end().await;
    server.expect_end().await;
}

#[tokio::test]
async fn an_idle_connection_that_the_client_closes_is_closed() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server.send(OK).await;
    client.expect(OK).await;
    drop(client);
    server.expect_end().await;
}

#[tokio::test]
async fn resets_pass_both_ways() {
    let lab = Lab::new().await;
    let (client, mut server) = asked(&lab, &get("/ok")).await;
    client.reset();
    server.expect_reset().await;

    let (mut client, server) = asked(&lab, &get("/ok")).await;
    server.reset();
    client.expect_reset().await;

    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server.send(OK).await;
    client.expect(OK).await;
    server.reset();
    client.expect_reset().await;
    assert!(lab.context.counters.upstream_resets.get() >= 2);
}

#[tokio::test]
async fn a_server_that_closes_without_an_answer_is_mirrored() {
    let mut lab = Lab::new().await;
    let (mut client, server) = asked(&lab, &get("/ok")).await;
    drop(server);
    client.expect_end().await;
    assert_eq!(
        lab.flow().await.verdict,
        weir_link::proxy::Disposition::Error
    );
}

#[tokio::test]
async fn a_body_cut_short_is_passed_on_cut_short() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(
        &lab,
        "POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc",
    )
    .await;
    client.end().await;
    server.expect_end().await;
    server
        .send("HTTP/1.1 400 Short\r\nContent-Length: 9\r\n\r\nabc")
        .await;
    drop(server);
    assert_eq!(
        client.rest().await,
        "HTTP/1.1 400 Short\r\nContent-Length: 9\r\n\r\nabc"
    );
}

#[tokio::test]
async fn draining_closes_idle_connections_and_finishes_the_others() {
    let lab = Lab::new().await;
    let (mut idle, mut idle_server) = asked(&lab, &get("/ok")).await;
    idle_server.send(OK).await;
    idle.expect(OK).await;
    let (mut busy, mut busy_server) = asked(&lab, &get("/ok")).await;
    lab.drain.send(true).unwrap();
    idle.expect_end().await;
    idle_server.expect_end().await;
    busy_server.send(OK).await;
    assert_eq!(busy.rest().await, OK);
    busy_server.expect_end().await;
}

#[tokio::test]
async fn nothing_is_left_open() {
    let lab = Lab::new().await;
    for _ in 0..10 {
        let (mut client, mut server) = asked(&lab, &get("/ok")).await;
        server.send(OK).await;
        client.expect(OK).await;
        drop((client, server));
    }
    let gone = async {
        while lab.served.load(Ordering::SeqCst) < 10 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, gone)
        .await
        .expect("all connections served to their end");
    assert_eq!(lab.context.counters.connections_open.get(), 0);
    assert_eq!(lab.context.counters.connections_total.get(), 10);
}
