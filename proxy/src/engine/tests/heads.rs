//! What is refused before any rule is asked, and that nothing of it reaches the server.

use super::*;

/// Sends bytes, half-closes, and returns the answer; the server must not be touched.
async fn refused(lab: &Lab, bytes: &[u8]) -> String {
    let mut client = lab.client().await;
    client.send(bytes).await;
    let answer = client.rest().await;
    lab.assert_server_untouched().await;
    answer
}

#[tokio::test]
async fn smuggling_corpus_is_answered_400_and_never_forwarded() {
    let mut lab = Lab::new().await;
    let smuggled = "GET /ok/smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let post = |fields: &str, body: &str| {
        format!("POST /ok HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}{smuggled}")
    };
    for attack in [
        post(
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post(
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "0\r\n\r\n",
        ),
        post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
        post("Content-Length: 5, 5\r\n", "hello"),
        post("Content-Length: +5\r\n", "hello"),
        post("Content-Length: 0x5\r\n", "hello"),
        post("Content-Length: 5 5\r\n", "hello"),
        post("Content-Length: 99999999999999999999\r\n", "hello"),
        post("Content-Length:\r\n", "hello"),
        post("Content_Length: 5\r\n", "hello"),
        post("Content-Length : 5\r\n", "hello"),
        post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: identity\r\n", ""),
        post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            "0\r\n\r\n",
        ),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\t\r\n", "0\r\n\r\n"),
        post("Content-Length:\t5\r\n", "hello"),
        post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
        post(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: y\r\n\tTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: y\r\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: \0\r\n", ""),
        post("X\0: y\r\n", ""),
        post("Host: i\r\n", ""),
        post("Host: h\r\n", ""),
        post(
            "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post("Transfer-Encoding: chunked\r\n", "5;\r\nhello\r\n0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
        ),
        post("Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhello0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\n",
            "0\r\nContent-Length: 40\r\n\r\n",
        ),
        post("Transfer-Encoding: chunked\r\n", "0\r\nHost: i\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFFF\r\n"),
        format!(
            "POST /ok HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!("GET /ok HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET /ok HTTP/1.1\nHost: h\n\n{smuggled}"),
        format!("\r\n\r\nGET /ok HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("\r\n\nGET /ok HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("GET http://other/ok HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("GET http://u@h/ok HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("GET ok HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("GET  HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("GET /ok#x HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("GET /ok\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("GET /ok HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("GET /ok HTTP/3.0\r\nHost: h\r\n\r\n{smuggled}"),
        format!("G@T /ok HTTP/1.1\r\nHost: h\r\n\r\n{smuggled}"),
        format!("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 5\r\n\r\nhello{smuggled}"),
    ] {
        let answer = refused(&lab, attack.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{attack:?} got {answer:?}"
        );
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer:?}");
        let flow = lab.flow().await;
        assert_eq!(
            (flow.verdict, flow.status()),
            (weir_link::proxy::Disposition::Refused, Some(400))
        );
    }
}

#[tokio::test]
async fn a_bad_request_after_a_good_one_ends_the_connection() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send(format!(
            "{}GET /ok HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            get("/ok")
        ))
        .await;
    let mut server = lab.accept().await;
    server.expect(get("/ok")).await;
    server.send(OK).await;
    client.expect(OK).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
    server.expect_end().await;
}

#[tokio::test]
async fn a_bad_chunk_in_the_middle_is_not_forwarded_and_the_server_is_reset() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    let start = "POST /ok HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    client.send(start).await;
    let mut server = lab.accept().await;
    server.expect(start).await;
    client.send("5;\r\nworld\r\n0\r\n\r\n").await;
    server.expect_reset().await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_431() {
    let lab = Lab::new().await;
    let long = format!(
        "GET /ok HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    assert!(
        refused(&lab, long.as_bytes())
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    let many = format!(
        "GET /ok HTTP/1.1\r\nHost: h\r\n{}\r\n",
        "X: x\r\n".repeat(300)
    );
    assert!(
        refused(&lab, many.as_bytes())
            .await
            .starts_with("HTTP/1.1 431 ")
    );
}

#[tokio::test]
async fn a_path_that_is_too_long_gets_414() {
    let limits = Limits {
        path: 10,
        ..Limits::default()
    };
    let lab = Lab::with(limits).await;
    let mut client = lab.client().await;
    client.send(get("/denied?xy")).await;
    client.expect(DENIED).await;
    let answer = refused(&lab, get("/ok?12345678").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
    lab.assert_server_untouched().await;
}

#[tokio::test]
async fn a_client_does_not_choose_how_long_its_record_is() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send(get(&format!("/denied/{}", "x".repeat(8000))))
        .await;
    client.expect(DENIED).await;
    let flow = lab.flow().await;
    let size = serde_json::to_string(&flow).unwrap().len();
    assert!(size < 2500, "{flow:?}");
    assert!(http(&flow).path.contains("… (8008 bytes, "), "{flow:?}");
}

#[tokio::test]
async fn a_head_that_takes_too_long_gets_408() {
    let limits = Limits {
        head_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let lab = Lab::with(limits).await;
    assert!(
        refused(&lab, b"GET /ok HTTP/1.1\r\nHo")
            .await
            .starts_with("HTTP/1.1 408 ")
    );
    // An idle connection is not a slow head.
    let mut client = lab.client().await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(80)).await;
        client.send(get("/denied")).await;
        client.expect(DENIED).await;
    }
}

#[tokio::test]
async fn a_head_cut_short_gets_400() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send("GET /ok HTTP/1.1\r\nHost: h\r\n").await;
    client.end().await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
    lab.assert_server_untouched().await;
}

#[tokio::test]
async fn what_is_not_http_is_reset_and_recorded() {
    let mut lab = Lab::new().await;
    for (bytes, reason) in [
        (&b"\x16\x03\x01\x02\x00"[..], "not HTTP: TLS"),
        (b"SSH-2.0-OpenSSH_9\r\n", "not HTTP"),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", "not HTTP"),
    ] {
        let mut client = lab.client().await;
        client.send(bytes).await;
        client.expect_reset().await;
        let flow = lab.flow().await;
        assert_eq!((flow.reason.as_str(), flow.status()), (reason, None));
        lab.assert_server_untouched().await;
    }
    assert_eq!(lab.context.counters.not_http.get(), 3);
}

#[tokio::test]
async fn every_split_of_a_request_is_forwarded_unchanged() {
    let lab = Lab::new().await;
    let request = "POST /ok/a HTTP/1.1\r\nhOsT:  h \r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n";
    let mut client = lab.client().await;
    client.send(request).await;
    let mut server = lab.accept().await;
    server.expect(request).await;
    server.send(OK).await;
    client.expect(OK).await;
    for split in 1..request.len() {
        client.send(&request[..split]).await;
        tokio::task::yield_now().await;
        client.send(&request[split..]).await;
        server.expect(request).await;
        server.send(OK).await;
        client.expect(OK).await;
    }
    // And byte by byte.
    for byte in request.as_bytes() {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    server.expect(request).await;
    server.send(OK).await;
    client.expect(OK).await;
}
