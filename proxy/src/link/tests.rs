//! Agent end and proxy process, over a real socket.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::oneshot,
    time::timeout,
};
use weir_link::proxy::{
    AgentEnd, Application, Disposition, Event, EventKind, Hello, HttpVersion, PROTOCOL, Trusted,
    frame::{self, LinkError, MAX_FRAME},
    message::ToAgent,
};
use weir_policy::{l7::L7Table, model::Direction};

use super::{BATCH, FRAME, frames};
use crate::{
    context::Limits,
    flow::FlowKey,
    process::{ProxyConfig, ProxyError, run_until},
    worker::Place,
};

const SOON: Duration = Duration::from_secs(20);

async fn next(agent: &mut AgentEnd) -> Event {
    timeout(SOON, agent.next())
        .await
        .expect("an event")
        .expect("the agent's end is alive")
}

/// The next event for which `pick` gives something; others are skipped.
async fn until<T>(agent: &mut AgentEnd, mut pick: impl FnMut(EventKind) -> Option<T>) -> T {
    loop {
        if let Some(found) = pick(next(agent).await.kind) {
            return found;
        }
    }
}

async fn connected(agent: &mut AgentEnd) -> Hello {
    until(agent, |kind| match kind {
        EventKind::Connected { hello, listeners } => {
            assert_eq!(listeners.len(), hello.listeners.len());
            Some(hello)
        }
        _ => None,
    })
    .await
}

async fn acked(agent: &mut AgentEnd) -> u64 {
    until(agent, |kind| match kind {
        EventKind::Ack { revision } => Some(revision),
        _ => None,
    })
    .await
}

struct Running {
    stop: oneshot::Sender<()>,
    done: std::thread::JoinHandle<Result<(), ProxyError>>,
}

impl Running {
    fn start(socket: &Path, server: SocketAddr) -> Self {
        let place = Place::Plain {
            endpoint: 3,
            server,
        };
        let config = ProxyConfig {
            places: vec![
                (Direction::Ingress, place.clone()),
                (Direction::Egress, place),
            ],
            workers: 2,
            socket: socket.to_owned(),
            limits: Limits {
                drain: Duration::from_secs(5),
                ..Limits::default()
            },
            drop_privileges: false,
        };
        let (stop, stopped) = oneshot::channel();
        let done = std::thread::spawn(move || {
            run_until(config, async {
                // A dropped sender is a stop as well.
                let _stopped = stopped.await;
                Ok(())
            })
        });
        Self { stop, done }
    }

    async fn stop(self) -> Result<(), ProxyError> {
        self.stop.send(()).unwrap();
        tokio::task::spawn_blocking(|| self.done.join().unwrap())
            .await
            .unwrap()
    }
}

async fn exchange(port: u16, v6: bool, request: &str) -> std::io::Result<String> {
    let address: std::net::IpAddr = if v6 {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    };
    let mut client = TcpStream::connect((address, port)).await?;
    client.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    Ok(answer)
}

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: h\r\nX-Id: 7\r\nAuthorization: secret\r\nX-Other: 8\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_proxy_serves_once_it_has_a_snapshot_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("run/proxy.sock");
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = weir_link::proxy::Recorded {
        requests: true,
        headers: vec!["x-id".to_owned(), "authorization".to_owned()],
    };
    let mut agent =
        AgentEnd::bind_recording(&socket, Trusted::here().unwrap(), &asked, None).unwrap();
    let proxy = Running::start(&socket, server.local_addr().unwrap());

    let hello = connected(&mut agent).await;
    let described: Vec<_> = hello
        .listeners
        .iter()
        .map(|info| (info.direction, info.v6))
        .collect();
    use Direction::{Egress, Ingress};
    assert_eq!(
        described,
        [
            (Ingress, false),
            (Ingress, true),
            (Egress, false),
            (Egress, true)
        ]
    );
    assert_eq!((hello.protocol, hello.pid), (PROTOCOL, std::process::id()));

    // Without a snapshot: reset.
    let [first, .., last] = hello.listeners.as_slice() else {
        panic!("no listeners")
    };
    let error = exchange(first.port, false, REQUEST).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    agent.send_snapshot(&L7Table::default()).unwrap();
    assert_eq!(acked(&mut agent).await, L7Table::default().revision());

    // An empty table denies, in every worker and family.
    for _ in 0..8 {
        assert!(
            exchange(first.port, false, REQUEST)
                .await
                .unwrap()
                .starts_with("HTTP/1.1 403 ")
        );
        assert!(
            exchange(last.port, true, REQUEST)
                .await
                .unwrap()
                .starts_with("HTTP/1.1 403 ")
        );
    }
    let flow = until(&mut agent, |kind| match kind {
        EventKind::Flows(flows) => flows.into_iter().find(|f| f.verdict == Disposition::Denied),
        _ => None,
    })
    .await;
    let Application::Http(http) = &flow.application else {
        panic!("{flow:?}")
    };
    assert_eq!(
        (http.path.as_str(), http.status, flow.endpoint),
        ("/x", Some(403), Some(3))
    );
    // What was asked for, but never a secret; the rest does not leave the proxy.
    let told = ("X-Id".to_owned(), "7".to_owned());
    assert_eq!(http.headers, [told]);
    assert_eq!(http.version, HttpVersion::Http11);
    until(&mut agent, |kind| match kind {
        EventKind::Counters(counters) => {
            (counters.requests_denied == 16 && counters.no_policy == 1).then_some(())
        }
        _ => None,
    })
    .await;

    // The agent restarts: the proxy comes back by itself, and served meanwhile.
    drop(agent);
    assert!(
        exchange(first.port, false, REQUEST)
            .await
            .unwrap()
            .starts_with("HTTP/1.1 403 ")
    );
    let mut agent = AgentEnd::bind(&socket, Trusted::here().unwrap()).unwrap();
    agent.send_snapshot(&L7Table::default()).unwrap();
    assert_eq!(connected(&mut agent).await, hello);
    acked(&mut agent).await;

    let stopping = tokio::spawn(proxy.stop());
    until(&mut agent, |kind| {
        matches!(kind, EventKind::Draining).then_some(())
    })
    .await;
    until(&mut agent, |kind| {
        matches!(kind, EventKind::Disconnected).then_some(())
    })
    .await;
    stopping.await.unwrap().unwrap();
    assert!(
        exchange(first.port, false, REQUEST).await.is_err(),
        "still listening"
    );
}

/// A listener for each direction, as a proxy brings them.
fn listeners() -> (Vec<weir_link::proxy::ListenerInfo>, Vec<OwnedFd>) {
    let listener = |direction| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let info = weir_link::proxy::ListenerInfo {
            direction,
            v6: false,
            udp: false,
            port: listener.local_addr().unwrap().port(),
        };
        (info, OwnedFd::from(listener))
    };
    Direction::BOTH.into_iter().map(listener).unzip()
}

#[tokio::test]
async fn what_does_not_speak_the_protocol_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy.sock");
    let mut agent = AgentEnd::bind(&socket, Trusted::here().unwrap()).unwrap();
    let hello = |protocol, listeners| {
        frame::encode(&ToAgent::Hello(Hello {
            protocol,
            version: String::new(),
            pid: 1,
            started: 1,
            listeners,
        }))
        .unwrap()
    };
    let info = weir_link::proxy::ListenerInfo {
        direction: Direction::Ingress,
        v6: false,
        udp: false,
        port: 1,
    };
    for bytes in [
        hello(PROTOCOL + 1, vec![]),
        hello(PROTOCOL, vec![info]),
        frame::encode(&ToAgent::Draining).unwrap(),
        // Nothing that a proxy alone has.
        hello(PROTOCOL, vec![]),
        (frame::MAX_HELLO as u32 + 1).to_le_bytes().to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
        b"\x02\0\0\0{}".to_vec(),
    ] {
        let mut proxy = UnixStream::connect(&socket).await.unwrap();
        proxy.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        // A close with unread bytes may be a reset; either way it is over.
        let _end = timeout(SOON, proxy.read_to_end(&mut rest))
            .await
            .expect("turned away");
        assert!(rest.is_empty());
    }
    // A good one gets through; only it was ever told about.
    let mut proxy = UnixStream::connect(&socket).await.unwrap();
    let (infos, listeners) = listeners();
    let good = hello(PROTOCOL, infos);
    frame::send_with_sockets(&mut proxy, &good, &listeners)
        .await
        .unwrap();
    assert!(matches!(
        next(&mut agent).await.kind,
        EventKind::Connected { .. }
    ));
    drop(proxy);
    assert!(matches!(
        next(&mut agent).await.kind,
        EventKind::Disconnected
    ));
}

#[tokio::test]
async fn frames_are_bounded_and_survive_any_split() {
    let mut announced = ((MAX_FRAME + 1) as u32).to_le_bytes().to_vec();
    announced.extend(b"{}");
    let result = frame::read::<ToAgent>(&mut announced.as_slice()).await;
    assert!(matches!(result, Err(LinkError::TooLarge { length }) if length == MAX_FRAME + 1));

    let bytes = frame::encode(&ToAgent::Ack { revision: 9 }).unwrap();
    for end in 0..bytes.len() {
        assert!(
            frame::read::<ToAgent>(&mut &bytes[..end]).await.is_err(),
            "cut at {end}"
        );
    }
    let (mut from, mut to) = tokio::io::duplex(1);
    let writer = tokio::spawn(async move { to.write_all(&bytes).await });
    assert!(matches!(
        frame::read(&mut from).await,
        Ok(ToAgent::Ack { revision: 9 })
    ));
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_frame_of_records_is_large_whatever_clients_send() {
    let key = FlowKey {
        endpoint: 1,
        direction: Direction::Ingress,
        client: ([127, 0, 0, 1], 1).into(),
        server: ([127, 0, 0, 1], 2).into(),
        protocol: weir_policy::model::Protocol::Tcp,
        mark: 0,
    };
    let large = key.record(Disposition::Denied, "x".repeat(80_000));
    let larger = key.record(Disposition::Denied, "y".repeat(2 * FRAME));
    let mut batch = vec![large; BATCH - 1];
    batch.insert(500, larger);
    let bytes = frames(&batch).unwrap();
    let (mut rest, mut told) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let before = rest.len();
        match frame::read_from_proxy(&mut rest).await.unwrap() {
            frame::FromProxy::Flows(flows) => {
                let size = before - rest.len();
                assert!(size <= FRAME || flows.len() == 1, "{size} bytes");
                told.extend(flows);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, batch);
}
