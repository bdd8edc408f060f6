//! Requests that some server takes for others, end to end: none of those others reaches it.

use weir_policy::l7::L7Table;

use super::{
    lenient::{Log, server},
    *,
};

const SMUGGLED: &str = "GET /secret HTTP/1.1\r\nHost: h\r\nX-User: evil\r\n\r\n";

/// Rules in force on every port of the endpoint.
pub(super) fn rules(rules: serde_json::Value) -> L7Table {
    serde_json::from_value(serde_json::json!({
        "revision": 1,
        "endpoints": [{"index": 7, "pod": "a/b", "set": 0, "enforced": ["ingress"]}],
        "addresses": [["127.0.0.0/8", 0]],
        "ports": [{
            "set": 0, "direction": "ingress", "class": 0, "protocol": "TCP", "first": 1,
            "last": 65535, "verdict": "l7", "rules": 0, "policies": ["CiliumNetworkPolicy/a/p"],
        }],
        "rules": [[{"policy": "CiliumNetworkPolicy/a/p", "place": "spec", "l7": {"http": rules}}]],
    }))
    .expect("a table")
}

/// The same rules in audit mode.
pub(super) fn on_trial(table: L7Table) -> L7Table {
    let mut table = serde_json::to_value(table).unwrap();
    table["ports"][0]["verdict"] = "l7audit".into();
    serde_json::from_value(table).expect("a table")
}

/// One rule; what is not said is not asked for.
pub(super) fn rule(given: serde_json::Value) -> serde_json::Value {
    let mut rule = serde_json::json!({
        "place": "spec.http[0]", "method": null, "path": null, "host": null, "headers": [],
        "header_rules": [],
    });
    let fields = given.as_object().expect("an object").clone();
    rule.as_object_mut().expect("an object").extend(fields);
    rule
}

fn good_user_below_ok(get_body: bool) -> L7Table {
    rules(serde_json::json!([rule(serde_json::json!({
        "path": "/ok.*",
        "headers": [{"name": "x-user", "value": "good"}],
        "get_body": get_body,
    }))]))
}

async fn towards(address: SocketAddr, policy: L7Table) -> Lab {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lab = Lab::towards(unused, address, Limits::default()).await;
    lab.context.policy.set(1, Arc::new(policy));
    lab
}

/// Sends all of it, half-closes and returns the answers.
async fn send(to: SocketAddr, bytes: &str) -> String {
    let mut client = Peer(TcpStream::connect(to).await.unwrap());
    // A refusal may come, and the connection go, before all is sent.
    let _sent = client.0.write_all(bytes.as_bytes()).await;
    let _ended = client.0.shutdown().await;
    let mut read = Vec::new();
    let _end = timeout(SOON, client.0.read_to_end(&mut read))
        .await
        .expect("an end");
    lossy(&read)
}

fn forbidden(log: &Log) -> Vec<String> {
    let seen = std::mem::take(&mut *log.lock().unwrap());
    let bad = seen.into_iter().filter(|seen| seen.is_forbidden());
    bad.map(|seen| format!("{seen:?}")).collect()
}

fn attacks() -> Vec<String> {
    let request = |line: &str, fields: &str, body: &str| {
        format!("{line} HTTP/1.1\r\nHost: h\r\nX-User: good\r\n{fields}\r\n{body}")
    };
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let mut attacks = vec![
        request(
            "PUT /ok",
            &format!("{length}Expect: 100-continue\r\n"),
            SMUGGLED,
        ),
        request(
            "PUT /ok",
            &format!("{length}Expect: 100-Continue\r\n"),
            SMUGGLED,
        ),
        request("PUT /ok", &format!("{length}Expect: x\r\n"), SMUGGLED),
        request(
            "PUT /ok",
            &format!("{chunked}Expect: 100-continue\r\n"),
            &chunk,
        ),
        request("POST /ok", "Transfer-Encoding:\tchunked\r\n", &chunk),
        request("POST /ok", "Transfer-Encoding: chunked\t\r\n", &chunk),
        request("POST /ok", &length.replace(": ", ":\t"), SMUGGLED),
        request("POST /ok", chunked, "0\r\nX-User: evil\r\n\r\n"),
        request("POST /ok", chunked, "1\r\na\r\n0\r\nx_USER: evil\r\n\r\n"),
        request("GET /ok", "Connection: close, X-User\r\n", ""),
        request("GET /ok", "Connection: x-user\r\n", ""),
        request("GET /ok", "X_User: evil\r\n", ""),
        request(
            "GET /ok",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n",
            "",
        ),
        request(
            "GET /ok",
            "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
            "",
        ),
    ];
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "get", "Delete"] {
        attacks.push(request(&format!("{method} /ok"), &length, SMUGGLED));
        attacks.push(request(&format!("{method} /ok"), chunked, &chunk));
    }
    for path in [
        "/ok/../secret",
        "/ok/%2e%2e/secret",
        "/ok/%252e%252e/secret",
        "/ok%252f..%252fsecret",
        "/ok%255c..%255csecret",
        "/ok/%25%32%65%25%32%65/secret",
        "/ok/%c0%ae%c0%ae/secret",
        "/ok%C0%AF..%C0%AFsecret",
        "/ok/%e0%80%ae%e0%80%ae/secret",
        "/ok/%25c0%25ae%25c0%25ae/secret",
        "/ok/..;/secret",
        "/ok/..;x=1/secret",
        "/ok/..%3b/secret",
        "/ok/..%253Bx/secret",
        "/ok/a%2fb/../../secret",
        "/ok\\..\\secret",
        "/ok/../%2573ecret",
    ] {
        attacks.push(request(&format!("GET {path}"), "", ""));
    }
    attacks
}

#[tokio::test]
async fn no_forbidden_request_reaches_a_server_that_reads_bodies_of_get_as_requests() {
    let (address, log) = server().await;
    let mut lab = towards(address, good_user_below_ok(false)).await;
    let mut passed = 0;
    for attack in attacks() {
        send(address, &attack).await;
        assert_ne!(
            forbidden(&log),
            [""; 0],
            "harmless without a proxy: {attack:?}"
        );
        let answer = send(lab.proxy, &attack).await;
        assert_eq!(forbidden(&log), [""; 0], "{attack:?} got {answer:?}");
        let flow = lab.flow().await;
        passed += usize::from(flow.verdict == weir_link::proxy::Disposition::Allowed);
    }
    // What is corrected (offers) or ends in time (Expect): the server got the good part of it.
    assert_eq!(passed, 5);
}

#[tokio::test]
async fn ordinary_requests_reach_that_server() {
    let (address, log) = server().await;
    let lab = towards(address, good_user_below_ok(false)).await;
    let head = "Host: h\r\nX-User: good\r\n";
    for request in [
        format!("GET /ok/a;v=1/b%20c?x=%2e HTTP/1.1\r\n{head}\r\n"),
        format!("GET /ok HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n"),
        format!("GET /ok HTTP/1.1\r\n{head}Connection: keep-alive\r\nX-User-Id: 1\r\n\r\n"),
        format!("POST /ok HTTP/1.1\r\n{head}Content-Length: 2\r\n\r\nab"),
        format!(
            "PUT /ok HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n"
        ),
    ] {
        let answer = send(lab.proxy, &request).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "{request:?} got {answer:?}"
        );
        assert_eq!(log.lock().unwrap().drain(..).count(), 1, "{request:?}");
    }
}

#[tokio::test]
async fn refusals_that_depend_on_rules_say_why_and_count() {
    let (address, log) = server().await;
    let mut lab = towards(address, good_user_below_ok(false)).await;
    let get = |fields: &str| format!("GET /ok HTTP/1.1\r\nHost: h\r\nX-User: good\r\n{fields}\r\n");
    for (request, reason) in [
        (
            get("Content-Length: 2\r\n") + "ab",
            "body on a method without one",
        ),
        (
            get("Connection: X-User\r\n"),
            "connection names a header of a rule",
        ),
        (get("X_User: a\r\n"), "field name like a header of a rule"),
        (
            get("Transfer-Encoding: chunked\r\n").replace("GET", "PUT") + "0\r\nX-User: a\r\n\r\n",
            "trailer of a rule's name",
        ),
    ] {
        let answer = send(lab.proxy, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
        assert!(
            answer.ends_with(&format!("\r\n\r\n{reason}\r\n")),
            "{answer:?}"
        );
        let flow = lab.flow().await;
        assert_eq!(
            (flow.verdict, flow.status()),
            (weir_link::proxy::Disposition::Refused, Some(400))
        );
        let mut sum = weir_link::proxy::CountersSnapshot::default();
        sum.add(&lab.context.counters);
        assert_eq!(sum.requests_refused.get(reason), Some(&1));
    }
    // Without the rule nothing of it matters, and a denial comes first.
    let denied = get("Content-Length: 2\r\n").replace("/ok", "/secret") + "ab";
    assert!(send(lab.proxy, &denied).await.starts_with("HTTP/1.1 403 "));
    let open = rules(serde_json::json!([rule(serde_json::json!({}))]));
    lab.context.policy.set(1, Arc::new(open));
    for request in [get("Connection: X-User\r\n"), get("X_User: a\r\n")] {
        assert!(send(lab.proxy, &request).await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_policy_may_let_get_have_a_body() {
    let lab = Lab::new().await;
    lab.context
        .policy
        .set(1, Arc::new(good_user_below_ok(true)));
    let search =
        "GET /ok/_search HTTP/1.1\r\nHost: h\r\nX-User: good\r\nContent-Length: 2\r\n\r\n{}";
    let mut client = lab.client().await;
    client.send(search).await;
    let mut server = lab.accept().await;
    server.expect(search).await;
    server.send(OK).await;
    client.expect(OK).await;
}

#[tokio::test]
async fn no_byte_of_a_body_goes_on_before_the_server_asks_for_it() {
    let lab = Lab::new().await;
    let head = "PUT /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let mut client = lab.client().await;
    // It does not wait, and a request follows.
    client.send(format!("{head}hello{}", get("/ok/2"))).await;
    let mut server = lab.accept().await;
    server.expect(head).await;
    // Another interim answer asks for nothing.
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n";
    server.send(hints).await;
    client.expect(hints).await;
    let mut more = [0; 1];
    let early = server.0.try_read(&mut more);
    assert!(early.is_err(), "{early:?}: {more:?}");
    server.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    server.expect("hello").await;
    server.send(OK).await;
    server.expect(get("/ok/2")).await;
    client
        .expect(format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"))
        .await;
}

#[tokio::test]
async fn a_server_that_does_not_ask_for_the_body_never_gets_it() {
    let limits = Limits {
        continue_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut lab = Lab::with(limits).await;
    let head = "PUT /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let mut client = lab.client().await;
    client.send(format!("{head}hello")).await;
    let mut server = lab.accept().await;
    server.expect(head).await;
    // Clients try again without the expectation (RFC 9110, 15.5.18).
    assert!(
        client
            .rest()
            .await
            .starts_with("HTTP/1.1 417 Expectation Failed\r\n")
    );
    server.expect_reset().await;
    let flow = lab.flow().await;
    assert_eq!(
        (flow.status(), flow.reason.as_str()),
        (Some(417), "no 100 from the server")
    );
}

/// A policy on trial changes nothing.
#[tokio::test]
async fn where_only_audit_mode_asks_everything_passes_as_it_came() {
    let lab = Lab::new().await;
    let table = on_trial(good_user_below_ok(false));
    lab.context.policy.set(1, Arc::new(table));
    let mut client = lab.client().await;
    let head = "Host: h\r\nConnection: Upgrade, X-User\r\nUpgrade: h2c\r\nContent-Length: 5\r\n";
    let first = format!("GET /secret HTTP/1.1\r\n{head}X_User: a\r\n\r\nhello");
    client.send(&first).await;
    let mut server = lab.accept().await;
    server.expect(&first).await;
    server.send(OK).await;
    client.expect(OK).await;
    let second = format!("PUT /ok HTTP/1.1\r\n{head}Expect: 100-continue\r\n\r\nhello");
    client.send(&second).await;
    server.expect(&second).await;
    assert_eq!(lab.context.counters.audited.get(), 2);
    assert_eq!(lab.context.counters.requests_denied.get(), 0);
}

/// A server of HTTP/1.0 does not know the expectation: the client that is most used copes.
#[tokio::test]
async fn curl_tries_again_without_the_expectation() {
    let limits = Limits {
        continue_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let lab = Lab::with(limits).await;
    let url = format!("http://{}/ok", lab.proxy);
    // From a mebibyte on it asks first.
    let body = "hello".repeat(300_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &body).unwrap();
    let path = file.path().to_owned();
    let curl = tokio::task::spawn_blocking(move || {
        std::process::Command::new("curl")
            .args(["-q", "-sS", "--noproxy", "*", "-m", "20", "-T"])
            .args([path.as_os_str(), url.as_ref()])
            .output()
            .expect("curl is installed")
    });
    let head = async |server: &mut Peer| {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            let byte = timeout(SOON, server.0.read_u8()).await.expect("a head");
            read.push(byte.unwrap());
        }
        lossy(&read)
    };
    let mut server = lab.accept().await;
    assert!(head(&mut server).await.contains("Expect: 100-continue"));
    server.expect_reset().await;
    let mut server = lab.accept().await;
    let again = head(&mut server).await;
    assert!(
        !again.contains("Expect") && again.contains("Content-Length: 1500000"),
        "{again}"
    );
    server.expect(&body).await;
    server.send(OK).await;
    let output = curl.await.unwrap();
    assert_eq!(lossy(&output.stdout), "ok", "{}", lossy(&output.stderr));
}

#[tokio::test]
async fn what_is_offered_to_the_server_carries_no_requests() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("GET /ok HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n")
        .await;
    let mut server = lab.accept().await;
    server.expect(get("/ok")).await;
    server.send(OK).await;
    client.expect(OK).await;
    client.send(get("/denied")).await;
    client.expect(DENIED).await;
}
