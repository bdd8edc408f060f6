//! Bodies in both directions, interim responses, upgrades, and bad responses.

use super::*;

/// One allowed request on a new connection, up to the server having read it.
async fn asked(lab: &Lab, request: &str) -> (Peer, Peer) {
    let mut client = lab.client().await;
    client.send(request).await;
    let mut server = lab.accept().await;
    server.expect(request).await;
    (client, server)
}

#[tokio::test]
async fn every_split_of_a_response_is_forwarded_unchanged() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server.send(OK).await;
    client.expect(OK).await;
    let response = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for split in 1..response.len() {
        client.send(get("/ok")).await;
        server.expect(get("/ok")).await;
        server.send(&response[..split]).await;
        tokio::task::yield_now().await;
        server.send(&response[split..]).await;
        client.expect(response).await;
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways_at_once() {
    let lab = Lab::new().await;
    let size = 3 << 20;
    let head = format!("POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
    let body: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
    let (client, server) = asked(&lab, &head).await;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    let total = answer.len() + body.len();
    // The server echoes while it reads: both directions must move at the same time.
    let echo = tokio::spawn(async move {
        let (mut from, mut to) = server.0.into_split();
        to.write_all(answer.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 10_000];
        let mut left = size as usize;
        while left > 0 {
            let count = from.read(&mut buffer).await.unwrap();
            assert!(count > 0, "{left} bytes missing");
            to.write_all(&buffer[..count]).await.unwrap();
            left -= count;
        }
        (from, to)
    });
    let (mut from, mut to) = client.0.into_split();
    let sent = body.clone();
    let sender = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to
    });
    let mut read = vec![0; total];
    timeout(SOON, from.read_exact(&mut read))
        .await
        .expect("the whole echo")
        .unwrap();
    assert!(read.ends_with(&body));
    let (_open, _ends) = (sender.await.unwrap(), echo.await.unwrap());
}

#[tokio::test]
async fn a_large_body_leaves_the_connection_usable_and_ends_exactly() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    for size in [65_536, 65_537, 81_920, 1 << 20] {
        let body = "0123456789abcdef".repeat(size / 16) + &"x".repeat(size % 16);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
        // The head alone first, so that the whole body comes while it is waited for.
        server.send(&answer).await;
        client.expect(&answer).await;
        tokio::join!(server.send(&body), client.expect(&body));
        client.send(get("/ok")).await;
        server.expect(get("/ok")).await;
    }
}

#[tokio::test]
async fn a_large_body_cut_short_or_reset_midway() {
    let lab = Lab::new().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n";
    let part = "y".repeat(300_000);
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server.send(head).await;
    client.expect(head).await;
    tokio::join!(server.send(&part), client.expect(&part));
    drop(server);
    client.expect_end().await;

    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server.send(head).await;
    client.expect(head).await;
    tokio::join!(server.send(&part), client.expect(&part));
    server.reset();
    client.expect_reset().await;

    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server.send(head).await;
    client.expect(head).await;
    client.reset();
    // Noticed while forwarding, whichever direction sees it first.
    let mut gone = false;
    while !gone {
        gone = server.0.write_all(part.as_bytes()).await.is_err();
    }
}

#[tokio::test]
async fn expect_continue_passes_through() {
    let lab = Lab::new().await;
    let head = "PUT /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let (mut client, mut server) = asked(&lab, head).await;
    server.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("hello").await;
    server.expect("hello").await;
    server.send(OK).await;
    client.expect(OK).await;
    client.send(get("/ok")).await;
    server.expect(get("/ok")).await;
}

#[tokio::test]
async fn a_final_answer_instead_of_100_ends_the_connection() {
    // Whether the bytes that follow are the body or a request is not certain any more.
    let lab = Lab::new().await;
    let head = "PUT /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\nExpect: 100-continue\r\n\r\n";
    let (mut client, mut server) = asked(&lab, head).await;
    server
        .send("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        .await;
    client
        .expect("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        .await;
    client.expect_end().await;
    server.expect_end().await;
}

#[tokio::test]
async fn an_early_response_does_not_stop_the_body() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(
        &lab,
        "POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234",
    )
    .await;
    server.send(OK).await;
    client.expect(OK).await;
    client.send(format!("56789{}", get("/ok/2"))).await;
    server.expect(format!("56789{}", get("/ok/2"))).await;
    server.send(OK).await;
    client.expect(OK).await;
}

#[tokio::test]
async fn responses_without_a_body() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, "HEAD /ok HTTP/1.1\r\nHost: h\r\n\r\n").await;
    for (request, response) in [
        ("", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        (&get("/ok"), "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            &get("/ok"),
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
        ),
        (&get("/ok"), OK),
    ] {
        client.send(request).await;
        server.expect(request).await;
        server.send(response).await;
        client.expect(response).await;
    }
}

const UPGRADE: &str =
    "GET /ok HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n";

/// A client that asked for an upgrade, and the server that was offered what is judged.
async fn offered(lab: &Lab) -> (Peer, Peer) {
    let mut client = lab.client().await;
    client.send(UPGRADE).await;
    let mut server = lab.accept().await;
    let offer = "GET /ok HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    server.expect(offer).await;
    (client, server)
}

#[tokio::test]
async fn an_upgrade_becomes_a_pipe() {
    let lab = Lab::new().await;
    let (mut client, mut server) = offered(&lab).await;
    client.send("early").await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    server.send(format!("{switch}hi")).await;
    client.expect(format!("{switch}hi")).await;
    server.expect("early").await;
    client.send("\x00\x16not http").await;
    server.expect("\x00\x16not http").await;
    client.end().await;
    server.expect_end().await;
    server.send("bye").await;
    drop(server);
    client.expect("bye").await;
    client.expect_end().await;
}

#[tokio::test]
async fn an_upgrade_to_http_is_refused() {
    let lab = Lab::new().await;
    for protocol in ["h2c", "HTTP/2.0", "TLS/1.3", "other", ""] {
        let (mut client, mut server) = offered(&lab).await;
        server
            .send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\n\r\n"
            ))
            .await;
        assert!(
            client.rest().await.starts_with("HTTP/1.1 502 "),
            "{protocol}"
        );
        server.expect_reset().await;
    }
}

#[tokio::test]
async fn a_declined_upgrade_stays_http() {
    let lab = Lab::new().await;
    let (mut client, mut server) = offered(&lab).await;
    client.send(get("/denied")).await;
    server.send(OK).await;
    client.expect(format!("{OK}{DENIED}")).await;
}

#[tokio::test]
async fn connect_opens_a_tunnel_only_after_2xx() {
    let lab = Lab::new().await;
    let connect = "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
    let (mut client, mut server) = asked(&lab, connect).await;
    server
        .send("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
        .await;
    client
        .expect("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
        .await;
    client.send(get("/denied")).await;
    client.expect(DENIED).await;
    client.send(connect).await;
    server.expect(connect).await;
    server.send("HTTP/1.1 200 Go\r\n\r\n").await;
    client.expect("HTTP/1.1 200 Go\r\n\r\n").await;
    client.send("\x16\x03").await;
    server.expect("\x16\x03").await;
}

#[tokio::test]
async fn ambiguous_responses_get_502() {
    let mut lab = Lab::new().await;
    for bad in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok",
        "hello\r\n\r\n",
    ] {
        let (mut client, mut server) = asked(&lab, &get("/ok")).await;
        server.send(bad).await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with("HTTP/1.1 502 "),
            "{bad:?} got {answer:?}"
        );
        server.expect_reset().await;
        assert_eq!(lab.flow().await.status(), Some(502));
    }
}

#[tokio::test]
async fn a_bad_chunk_late_in_a_response_resets_the_client() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    let start = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    server.send(start).await;
    client.expect(start).await;
    server.send("zz\r\n").await;
    client.expect_reset().await;
    server.expect_reset().await;
}

#[tokio::test]
async fn bytes_nobody_asked_for_end_the_connection() {
    let lab = Lab::new().await;
    let (mut client, mut server) = asked(&lab, &get("/ok")).await;
    server
        .send(format!(
            "{OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        ))
        .await;
    client.expect(OK).await;
    client.expect_end().await;
}
