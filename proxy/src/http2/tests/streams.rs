//! What comes of single streams.

use super::*;

#[tokio::test]
async fn each_stream_is_judged_and_the_connection_goes_on() {
    let mut lab = Lab::new().await;
    let mut send = client(&lab).await;
    let denied = got(ask(&mut send, "/denied").await).await.unwrap();
    assert_eq!(
        (denied.status, denied.body.as_slice()),
        (403, &b"Access denied\r\n"[..])
    );
    assert_eq!(denied.head["content-type"], "text/plain");
    lab.assert_server_untouched().await;
    let answer = ask(&mut send, "/ok?a=b").await;
    let mut server = server(&lab).await;
    let (request, mut respond) = server.next().await;
    assert_eq!(request.uri(), "http://h/ok?a=b");
    let mut body = ok(&mut respond);
    body.send_data("yes".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "1".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let answer = got(answer).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"yes"[..]));
    assert_eq!(answer.trailers.unwrap()["x-end"], "1");
    // The next one goes over the same connection.
    let answer = ask(&mut send, "/ok/2").await;
    let (_, mut respond) = server.next().await;
    ok(&mut respond).send_data("".into(), true).unwrap();
    assert_eq!(got(answer).await.unwrap().status, 200);
    let records = [lab.flow().await, lab.flow().await, lab.flow().await];
    let seen = records.each_ref().map(|record| {
        let http = http(record);
        (
            http.path.as_str(),
            record.verdict,
            http.status,
            http.version,
        )
    });
    let version = HttpVersion::Http2;
    let wanted = [
        ("/denied", Disposition::Denied, Some(403), version),
        ("/ok?a=b", Disposition::Allowed, Some(200), version),
        ("/ok/2", Disposition::Allowed, Some(200), version),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(http(&records[0]).host, "h");
}

#[tokio::test]
async fn every_reading_of_a_path_must_be_allowed() {
    let lab = Lab::new().await;
    let mut send = client(&lab).await;
    for path in ["/ok/../secret", "/ok/%2e%2e/secret", "//ok/x/../../secret"] {
        assert_eq!(got(ask(&mut send, path).await).await.unwrap().status, 403);
    }
    lab.assert_server_untouched().await;
}

#[tokio::test]
async fn a_denied_call_of_grpc_is_told_in_its_own_words() {
    let mut lab = Lab::new().await;
    let mut send = client(&lab).await;
    let (answer, _messages) = call(&mut send, "/pkg.Service/Method").await;
    let answer = got(answer).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.head["grpc-status"], "7");
    assert_eq!(answer.head["grpc-message"], "Access denied");
    assert_eq!(answer.head["content-type"], "application/grpc");
    let record = lab.flow().await;
    assert_eq!(record.verdict, Disposition::Denied);
    assert_eq!(http(&record).grpc_status, Some(7));
    assert_eq!(http(&record).path, "/pkg.Service/Method");
}

#[tokio::test]
async fn how_a_call_ended_is_in_its_record() {
    let mut lab = Lab::new().await;
    let mut send = client(&lab).await;
    for (code, only_trailers) in [("0", false), ("5", false), ("12", true)] {
        let (answer, mut messages) = call(&mut send, "/ok").await;
        messages.send_data("ask".into(), true).unwrap();
        let mut server = server(&lab).await;
        let (_, mut respond) = server.next().await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        if only_trailers {
            let mut head = Response::new(());
            *head.headers_mut() = trailers;
            respond.send_response(head, true).unwrap();
        } else {
            let mut body = ok(&mut respond);
            body.send_data("told".into(), false).unwrap();
            body.send_trailers(trailers).unwrap();
        }
        got(answer).await.unwrap();
        let record = lab.flow().await;
        assert_eq!(http(&record).grpc_status, Some(code.parse().unwrap()));
        // A connection each, so that the loop's server has its own.
        send = client(&lab).await;
    }
}

#[tokio::test]
async fn interim_heads_and_early_answers_pass() {
    let lab = Lab::new().await;
    let mut send = client(&lab).await;
    let (mut answer, mut body) = call(&mut send, "/ok").await;
    let mut server = server(&lab).await;
    let (mut request, mut respond) = server.next().await;
    let hints = Response::builder().status(103).header("link", "</a>");
    respond.send_informational(hints.body(()).unwrap()).unwrap();
    let interim = soon(std::future::poll_fn(|cx| answer.poll_informational(cx))).await;
    let interim = interim.unwrap().unwrap();
    assert_eq!(
        (interim.status().as_u16(), &interim.headers()["link"]),
        (103, &"</a>".parse::<http::HeaderValue>().unwrap())
    );
    // The server answers before it was told everything, and the rest still comes.
    ok(&mut respond).send_data("early".into(), true).unwrap();
    assert_eq!(got(answer).await.unwrap().body, b"early");
    body.send_data("late".into(), true).unwrap();
    let late = soon(request.body_mut().data()).await.unwrap().unwrap();
    assert_eq!(&late[..], b"late");
}

/// Larger than every window on the way, in both directions at once.
#[tokio::test]
async fn large_bodies_pass_whole() {
    const SIZE: usize = 10 << 20;
    let lab = Lab::new().await;
    let mut send = client(&lab).await;
    let (answer, body) = call(&mut send, "/ok").await;
    let mut server = server(&lab).await;
    let (request, mut respond) = server.next().await;
    let down = ok(&mut respond);
    let push = |mut to: SendStream<Bytes>| async move {
        let mut left = SIZE;
        while left > 0 {
            to.reserve_capacity(left);
            let window = soon(std::future::poll_fn(|cx| to.poll_capacity(cx))).await;
            let count = window.unwrap().unwrap().min(left);
            left -= count;
            to.send_data(vec![b'x'; count].into(), left == 0).unwrap();
        }
    };
    let pull = |mut from: RecvStream| async move {
        let mut all = 0;
        while let Some(data) = soon(from.data()).await {
            let count = data.unwrap().len();
            all += count;
            from.flow_control().release_capacity(count).unwrap();
        }
        all
    };
    let answered = async { soon(answer).await.unwrap().into_body() };
    let answered = answered.await;
    let (_, _, up, back) = tokio::join!(
        push(body),
        push(down),
        pull(request.into_body()),
        pull(answered)
    );
    assert_eq!((up, back), (SIZE, SIZE));
}

/// A reader that takes nothing is waited for with no more than the windows and one buffer.
#[tokio::test]
async fn nothing_is_buffered_without_bound() {
    let lab = Lab::new().await;
    let mut send = client(&lab).await;
    let answer = ask(&mut send, "/ok").await;
    let mut server = server(&lab).await;
    let (_, mut respond) = server.next().await;
    let mut down = ok(&mut respond);
    let _unread = soon(answer).await.unwrap();
    let mut sent = 0;
    loop {
        down.reserve_capacity(1 << 20);
        let window = std::future::poll_fn(|cx| down.poll_capacity(cx));
        let Ok(window) = timeout(std::time::Duration::from_secs(1), window).await else {
            break;
        };
        let count = window.unwrap().unwrap();
        down.send_data(vec![b'x'; count].into(), false).unwrap();
        sent += count;
        assert!(sent < 2 << 20, "{sent} bytes went nowhere");
    }
}

#[tokio::test]
async fn hosts_that_disagree_are_refused() {
    let mut lab = Lab::new().await;
    let mut send = client(&lab).await;
    let mut ready = soon(send.clone().ready()).await.unwrap();
    let head = request("GET", "/ok").header("host", "other");
    let (answer, _) = ready.send_request(head.body(()).unwrap(), true).unwrap();
    assert_eq!(got(answer).await.unwrap().status, 400);
    refused(&mut lab, Refusal::HostDisagrees).await;
    assert_eq!(counted(&lab, Refusal::HostDisagrees), 1);
    // The connection goes on.
    assert_eq!(got(ask(&mut send, "/no").await).await.unwrap().status, 403);
    lab.assert_server_untouched().await;
}

#[tokio::test]
async fn a_trailer_that_routes_is_refused() {
    let mut lab = Lab::new().await;
    let mut send = client(&lab).await;
    let (answer, mut body) = call(&mut send, "/ok").await;
    let mut server = server(&lab).await;
    let (mut request, _respond) = server.next().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("host", "other".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let answer = got(answer).await.unwrap();
    assert_eq!(answer.head["grpc-status"], "13");
    let end = soon(request.body_mut().data()).await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::CANCEL));
    refused(&mut lab, Refusal::Trailer).await;
}
