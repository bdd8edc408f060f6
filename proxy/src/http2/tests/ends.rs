//! How streams and connections end: resets, snapshots, servers that are not there, drain.

use std::sync::{Arc, atomic::Ordering};

use super::*;

#[tokio::test]
async fn a_snapshot_decides_the_next_stream_and_ends_what_it_denies() {
    let mut lab = Lab::new().await;
    let mut send = client(&lab).await;
    let (answer, _messages) = call(&mut send, "/ok/long").await;
    let mut server = server(&lab).await;
    let (mut request, mut respond) = server.next().await;
    let mut down = ok(&mut respond);
    down.send_data("hello".into(), false).unwrap();
    let mut stream = soon(answer).await.unwrap().into_body();
    assert_eq!(&soon(stream.data()).await.unwrap().unwrap()[..], b"hello");
    // What still allows it leaves it alone.
    lab.context.policy.set(2, Arc::new(Prefix("/ok/l")));
    down.send_data("again".into(), false).unwrap();
    assert_eq!(&soon(stream.data()).await.unwrap().unwrap()[..], b"again");
    lab.context.policy.set(3, Arc::new(Prefix("/new")));
    let end = soon(stream.data()).await.unwrap().unwrap_err();
    assert!(
        end.is_reset() && end.reason() == Some(Reason::CANCEL),
        "{end}"
    );
    let end = soon(request.body_mut().data()).await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::CANCEL));
    let record = lab.flow().await;
    assert_eq!(
        (record.verdict, record.status()),
        (Disposition::Denied, None)
    );
    let end = "; the connection was open, allowed by revision 2";
    assert!(record.reason.ends_with(end), "{}", record.reason);
    assert_eq!(lab.context.counters.tunnels_ended.get(), 1);
    // On the same connection:
    assert_eq!(got(ask(&mut send, "/ok").await).await.unwrap().status, 403);
    let answer = ask(&mut send, "/new").await;
    let (_, mut respond) = server.next().await;
    ok(&mut respond).send_data("".into(), true).unwrap();
    assert_eq!(got(answer).await.unwrap().status, 200);
}

#[tokio::test]
async fn resets_pass_both_ways() {
    let mut lab = Lab::new().await;
    let mut send = client(&lab).await;
    let (answer, mut body) = call(&mut send, "/ok").await;
    let mut server = server(&lab).await;
    let (mut request, _respond) = server.next().await;
    body.send_reset(Reason::CANCEL);
    let end = soon(request.body_mut().data()).await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::CANCEL));
    drop(answer);
    let record = lab.flow().await;
    assert_eq!(record.reason, "client reset the stream");
    assert_eq!(lab.context.counters.client_resets.get(), 1);
    for reason in [Reason::ENHANCE_YOUR_CALM, Reason::REFUSED_STREAM] {
        let answer = ask(&mut send, "/ok").await;
        let (_, mut respond) = server.next().await;
        respond.send_reset(reason);
        let end = got(answer).await.unwrap_err();
        assert_eq!(end.reason(), Some(reason));
        let record = lab.flow().await;
        assert_eq!(record.verdict, Disposition::Error);
        assert!(
            record.reason.starts_with("server reset the stream"),
            "{record:?}"
        );
    }
    // In the middle of an answer.
    let answer = ask(&mut send, "/ok").await;
    let (_, mut respond) = server.next().await;
    let mut down = ok(&mut respond);
    down.send_data("part".into(), false).unwrap();
    let mut stream = soon(answer).await.unwrap().into_body();
    soon(stream.data()).await.unwrap().unwrap();
    down.send_reset(Reason::INTERNAL_ERROR);
    let end = soon(stream.data()).await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::INTERNAL_ERROR));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut lab = Lab::towards(unused, address, Limits::default()).await;
    let mut send = client(&lab).await;
    let answer = got(ask(&mut send, "/ok").await).await.unwrap();
    assert_eq!(answer.status, 503);
    let record = lab.flow().await;
    assert_eq!(
        (record.verdict, record.status()),
        (Disposition::Error, Some(503))
    );
    let (answer, _messages) = call(&mut send, "/ok").await;
    assert_eq!(got(answer).await.unwrap().head["grpc-status"], "14");
    assert_eq!(http(&lab.flow().await).grpc_status, Some(14));
    assert_eq!(lab.context.counters.upstream_failures.get(), 2);
}

/// Such a server may look for its next request in whatever comes.
#[tokio::test]
async fn a_server_of_http1_gets_nothing_of_the_request() {
    for says in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"",
    ] {
        let mut lab = Lab::new().await;
        let mut send = client(&lab).await;
        let answer = ask(&mut send, "/ok/hidden").await;
        let (mut stream, _) = soon(lab.server.accept()).await.unwrap();
        let mut preface = vec![0; frames::PREFACE.len()];
        soon(stream.read_exact(&mut preface)).await.unwrap();
        assert_eq!(preface, frames::PREFACE);
        stream.write_all(says).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = got(answer).await.unwrap();
        assert_eq!(answer.status, 502);
        let mut rest = Vec::new();
        // It may end with a reset: it had not read everything.
        soon(stream.read_to_end(&mut rest)).await.ok();
        let mut scanner = frames::Scanner::new(false);
        scanner.scan(&rest, |seen| {
            if let frames::Seen::Begins(frame) = seen {
                assert_eq!(frame.stream, 0, "{frame:?}");
            }
        });
        let record = lab.flow().await;
        assert_eq!(
            (record.verdict, record.status()),
            (Disposition::Error, Some(502))
        );
        assert!(record.reason.contains("HTTP/2"), "{}", record.reason);
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_connected_to_anew() {
    let lab = Lab::new().await;
    let mut send = client(&lab).await;
    let first = ask(&mut send, "/ok/1").await;
    let mut old = server(&lab).await;
    let (_, mut respond) = old.next().await;
    old.goaway.send(()).unwrap();
    // Until the proxy has heard of it, streams may still go the old way.
    let second = loop {
        let answer = ask(&mut send, "/ok/2").await;
        tokio::select! {
            accepted = lab.server.accept() => break (accepted.unwrap().0, answer),
            again = old.requests.recv() => {
                let (_, mut respond) = again.expect("a stream");
                ok(&mut respond).send_data("old".into(), true).unwrap();
                assert_eq!(got(answer).await.unwrap().body, b"old");
            }
        }
    };
    let (stream, answer) = second;
    let mut connection = soon(h2::server::handshake(stream)).await.unwrap();
    let (_, mut answers) = soon(connection.accept()).await.unwrap().unwrap();
    ok(&mut answers).send_data("new".into(), true).unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    assert_eq!(got(answer).await.unwrap().body, b"new");
    // What was under way ends where it began.
    ok(&mut respond).send_data("first".into(), true).unwrap();
    assert_eq!(got(first).await.unwrap().body, b"first");
}

#[tokio::test]
async fn a_drain_lets_streams_end_and_takes_no_more() {
    let lab = Lab::new().await;
    let mut send = client(&lab).await;
    let answer = ask(&mut send, "/ok").await;
    let mut server = server(&lab).await;
    let (_, mut respond) = server.next().await;
    let mut idle = client(&lab).await;
    assert_eq!(got(ask(&mut idle, "/no").await).await.unwrap().status, 403);
    lab.drain.send_replace(true);
    // The idle connection ends at once.
    soon(async {
        while lab.served.load(Ordering::SeqCst) < 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(soon(idle.ready()).await.is_err());
    ok(&mut respond).send_data("whole".into(), true).unwrap();
    assert_eq!(got(answer).await.unwrap().body, b"whole");
    soon(async {
        while lab.served.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(soon(send.ready()).await.is_err());
}

/// A server that has said all and lets the stream go resets it behind its answer (RFC 9113, 8.1).
#[tokio::test]
async fn a_reset_does_not_overtake_the_answer() {
    let mut lab = Lab::new().await;
    let mut send = client(&lab).await;
    let mut server = None;
    for _ in 0..20 {
        let (answer, mut messages) = call(&mut send, "/ok").await;
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(super::server(&lab).await),
        };
        let (request, mut respond) = server.next().await;
        let head = http::Response::builder().header("grpc-status", "4");
        respond.send_response(head.body(()).unwrap(), true).unwrap();
        drop((request, respond));
        let got = got(answer).await.expect("the answer, whole");
        assert_eq!(got.head["grpc-status"], "4");
        let reset = soon(std::future::poll_fn(|cx| messages.poll_reset(cx))).await;
        assert_eq!(reset.unwrap(), Reason::NO_ERROR);
        lab.flow().await;
    }
}
