//! Old clients and servers: what they do by habit passes, and the other end sees it put right.

use super::{
    smuggling::{rule, rules},
    *,
};

#[tokio::test]
async fn a_request_without_a_host_passes_where_no_rule_asks_for_one() {
    let lab = Lab::new().await;
    let any = |host: Option<&str>| {
        let second = rule(serde_json::json!({"path": "/else", "host": host}));
        Arc::new(rules(serde_json::json!([
            rule(serde_json::json!({"path": "/ok"})),
            second
        ])))
    };
    lab.context.policy.set(1, any(None));
    let old = "GET /ok HTTP/1.0\r\n\r\n";
    let mut client = lab.client().await;
    client.send(old).await;
    let mut server = lab.accept().await;
    server.expect(old).await;
    server.send(OK).await;
    client.expect(OK).await;
    // The rule that asks is not the one that allows: a server may choose by host all the same.
    lab.context.policy.set(1, any(Some("h")));
    for request in [old, "GET http://h/ok HTTP/1.0\r\n\r\n"] {
        let mut client = lab.client().await;
        client.send(request).await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\nno host\r\n"),
            "{answer}"
        );
    }
    lab.assert_server_untouched().await;
}

#[tokio::test]
async fn one_empty_line_before_a_request_is_dropped() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    let post = "POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab";
    // Some clients end a body with an empty line.
    client.send(format!("\r\n{post}\r\n{}", get("/ok"))).await;
    let mut server = lab.accept().await;
    server.expect(post).await;
    server.send(OK).await;
    server.expect(get("/ok")).await;
    server.send(OK).await;
    client.expect(format!("{OK}{OK}")).await;
    client.send("\r").await;
    tokio::task::yield_now().await;
    client.send("\n").await;
    client.send(format!("{}\r\n", get("/denied"))).await;
    client.expect(DENIED).await;
    // An empty line that nothing follows is an idle connection.
    client.end().await;
    client.expect_end().await;
    server.expect_end().await;
}

#[tokio::test]
async fn a_target_may_name_the_default_port() {
    let lab = Lab::new().await;
    let only_web = rule(serde_json::json!({"host": "web"}));
    lab.context
        .policy
        .set(1, Arc::new(rules(serde_json::json!([only_web]))));
    let mut client = lab.client().await;
    let request = "GET http://web:80/ HTTP/1.1\r\nHost: web\r\n\r\n";
    client.send(request).await;
    let mut server = lab.accept().await;
    server.expect(request).await;
    server.send(OK).await;
    client.expect(OK).await;
}

#[tokio::test]
async fn heads_of_old_servers_are_put_right() {
    let lab = Lab::new().await;
    for (old, seen) in [
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", OK),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\nContent-Length: 2\r\n\r\nok",
            OK,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", OK),
        (
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
    ] {
        for split in 1..old.len() {
            let mut client = lab.client().await;
            client.send(get("/ok")).await;
            let mut server = lab.accept().await;
            server.expect(get("/ok")).await;
            server.send(&old[..split]).await;
            tokio::task::yield_now().await;
            server.send(&old[split..]).await;
            client.expect(seen).await;
            // And the connection goes on.
            client.send(get("/ok")).await;
            server.expect(get("/ok")).await;
        }
    }
}

#[tokio::test]
async fn a_head_that_is_not_put_right_is_answered_with_its_line() {
    let mut lab = Lab::new().await;
    for (bad, said) in [
        (
            "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok!",
            "ambiguous response: bad content-length, line 3 of the head",
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\nB\r\n\r\n",
            "malformed response head, line 3",
        ),
    ] {
        let mut client = lab.client().await;
        client.send(get("/ok")).await;
        let mut server = lab.accept().await;
        server.expect(get("/ok")).await;
        server.send(bad).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{said}\r\n")), "{answer}");
        assert_eq!(lab.flow().await.reason, said);
    }
}
