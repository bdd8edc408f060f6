//! What comes, to whom, and what happens to who is slow.

use std::time::Duration;

use weir_observe::{
    json,
    relay::{Address, Peers, Relay, Timing},
    service::response,
};

use super::*;
use crate::Record;

/// Long enough for a busy machine; nothing waits for it where all is well.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn flows_come_as_json_with_their_reasons() {
    let ring = Arc::new(Ring::new(16));
    let (old, new) = (
        flow("1", "a", Verdict::Dropped),
        flow("2", "a", Verdict::Forwarded),
    );
    push(&ring, old.clone());
    let address = serve(observer(&ring), Access::Local, false).await;
    let mut events = Events::open(address, "since=5m").await;
    let hello = events.expect("hello").await;
    assert_eq!(
        (&hello["source"], &hello["recorded"]),
        (&"a test".into(), &false.into())
    );
    assert!(hello["time_ms"].as_u64().expect("a time") > 1_700_000_000_000);
    assert_eq!(events.expect("flow").await, json::to_value(&response(old)));
    push(&ring, new.clone());
    let came = events.expect("flow").await;
    assert_eq!(came, json::to_value(&response(new)));
    assert!(
        came["flow"]["weir"]["reason"]
            .as_str()
            .expect("a reason")
            .contains("default deny")
    );
}

#[tokio::test]
async fn the_observer_filters_and_refuses_what_is_no_filter() {
    let ring = Arc::new(Ring::new(16));
    for (uuid, namespace, verdict) in [
        ("1", "shop", Verdict::Forwarded),
        ("2", "shop", Verdict::Dropped),
        ("3", "other", Verdict::Dropped),
    ] {
        push(&ring, flow(uuid, namespace, verdict));
    }
    let address = serve(observer(&ring), Access::Local, false).await;
    let query = "since=5m&namespace=shop&verdict=DROPPED&workload=sleep";
    let mut events = Events::open(address, query).await;
    events.expect("hello").await;
    assert_eq!(events.expect("flow").await["flow"]["uuid"], "2");
    push(&ring, flow("4", "shop", Verdict::Forwarded));
    push(&ring, flow("5", "shop", Verdict::Dropped));
    assert_eq!(events.expect("flow").await["flow"]["uuid"], "5");

    for (query, said) in [
        ("verdict=maybe", "parameter `verdict`: is no verdict"),
        ("colour=red", "parameter `colour`: is not known"),
        ("http-status=x", "http_status_code"),
    ] {
        let answer = get(address, &format!("/api/flows?{query}"), &[]).await;
        let text = String::from_utf8(answer.body).expect("text");
        assert_eq!(answer.status, 400, "{query}");
        assert!(text.contains(said), "{query}: {text}");
    }
}

#[tokio::test]
async fn a_slow_browser_loses_events_is_told_and_holds_nobody_up() {
    const ALL: u64 = 20_000;
    let ring = Arc::new(Ring::new(256));
    let address = serve(observer(&ring), Access::Local, false).await;
    let mut slow = Events::open(address, "last=1").await;
    slow.expect("hello").await;
    let mut quick = Events::open(address, "last=1").await;
    quick.expect("hello").await;
    let reading = tokio::spawn(async move {
        let mut seen = 0;
        loop {
            seen += match quick.next().await {
                (name, _) if name == "flow" => 1,
                (_, lost) => number(&lost),
            };
            if seen == ALL + 1 {
                return;
            }
        }
    });
    // Nobody reads the slow one's: far more than sockets and queues hold.
    let text = "x".repeat(1000);
    for index in 0..ALL {
        let summary = text.clone();
        push(
            &ring,
            Flow {
                summary,
                ..flow(&index.to_string(), "a", Verdict::Forwarded)
            },
        );
        if index % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    push(&ring, flow("last", "a", Verdict::Forwarded));
    let quick = tokio::time::timeout(PATIENCE, reading).await;
    quick
        .expect("the quick one is not held up")
        .expect("no panic");

    let (mut seen, mut lost) = (0, 0);
    loop {
        match slow.next().await {
            (name, flow) if name == "flow" => {
                seen += 1;
                if flow["flow"]["uuid"] == "last" {
                    break;
                }
            }
            (name, data) => {
                assert_eq!(name, "lost");
                lost += number(&data);
            }
        }
    }
    assert!(lost > 0, "{seen} seen");
    assert_eq!(seen + lost, ALL + 1, "each is seen or counted");
    let status = get(address, "/api/status", &[]).await;
    let status: serde_json::Value = serde_json::from_slice(&status.body).expect("JSON");
    assert!(
        status["lost"].as_u64().expect("a number") >= lost,
        "{status}"
    );
}

fn number(lost: &serde_json::Value) -> u64 {
    let text = lost["lost_events"]["num_events_lost"].as_str();
    text.and_then(|text| text.parse().ok()).expect("a number")
}

/// An agent's observer on a socket, which dies with what is returned.
fn agent(ring: &Arc<Ring>, socket: &std::path::Path) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (observer, socket) = (observer(ring), socket.to_owned());
    let served = runtime.spawn(async move {
        weir_observe::serve::unix(weir_observe::serve::routes(observer).await, &socket).await
    });
    let handle = runtime.handle().clone();
    std::thread::spawn(move || handle.block_on(served))
        .join()
        .expect("a thread")
        .expect("a task")
        .expect("a socket");
    runtime
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_restarts_is_asked_again_and_the_page_knows() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("hubble.sock");
    let ring = Arc::new(Ring::new(16));
    push(&ring, flow("before", "a", Verdict::Forwarded));
    let first = agent(&ring, &socket);
    let peers = Arc::new(Peers::new(None, Timing::default()));
    peers.set(&[Address::Socket(socket.clone())].into());
    let address = serve(Relay::new(peers), Access::Local, false).await;
    let mut events = Events::open(address, "since=5m").await;
    events.expect("hello").await;
    let there = events.expect("node").await;
    assert_eq!(there["node_status"]["state_change"], "NODE_CONNECTED");
    assert_eq!(events.expect("flow").await["flow"]["uuid"], "before");

    first.shutdown_background();
    let gone = events.expect("node").await;
    assert_eq!(gone["node_status"]["state_change"], "NODE_UNAVAILABLE");
    assert_eq!(gone["node_status"]["node_names"][0], "node");
    let status = get(address, "/api/status", &[]).await;
    let status: serde_json::Value = serde_json::from_slice(&status.body).expect("JSON");
    assert_eq!(status["nodes"][0]["state"], "unavailable", "{status}");

    let ring = Arc::new(Ring::new(16));
    push(&ring, flow("after", "a", Verdict::Forwarded));
    let second = agent(&ring, &socket);
    let back = events.expect("node").await;
    assert_eq!(back["node_status"]["state_change"], "NODE_CONNECTED");
    assert_eq!(events.expect("flow").await["flow"]["uuid"], "after");
    second.shutdown_background();
}

#[tokio::test]
async fn a_record_is_filtered_and_ends() {
    let flows = [
        ("1", Verdict::Forwarded),
        ("2", Verdict::Dropped),
        ("3", Verdict::Dropped),
    ];
    let answers = flows.map(|(uuid, verdict)| response(flow(uuid, "a", verdict)));
    let address = serve(Record::new(answers.into()), Access::Local, true).await;
    let mut events = Events::open(address, "verdict=DROPPED&last=0").await;
    assert_eq!(events.expect("hello").await["recorded"], true);
    assert_eq!(events.expect("flow").await["flow"]["uuid"], "2");
    assert_eq!(events.expect("flow").await["flow"]["uuid"], "3");
    events.expect("end").await;
    let status = get(address, "/api/status", &[]).await;
    let status: serde_json::Value = serde_json::from_slice(&status.body).expect("JSON");
    assert_eq!(status["namespaces"], serde_json::json!(["a"]));
    assert_eq!(status["flows"]["held"], 3);
}

#[tokio::test]
async fn only_so_many_pages_are_served_at_once() {
    let ring = Arc::new(Ring::new(4));
    let address = serve(observer(&ring), Access::Local, false).await;
    let mut open = Vec::new();
    for _ in 0..crate::FOLLOWERS {
        open.push(Events::open(address, "last=1").await);
    }
    let refused = get(address, "/api/flows", &[]).await;
    assert_eq!(refused.status, 503);
    drop(open);
    // The server notices when it writes; a flow makes it write.
    tokio::time::timeout(PATIENCE, async {
        loop {
            push(&ring, flow("1", "a", Verdict::Forwarded));
            let status = get(address, "/api/status", &[]).await;
            let status: serde_json::Value = serde_json::from_slice(&status.body).expect("JSON");
            if status["browsers"] == 0 {
                break;
            }
        }
    })
    .await
    .expect("places are given back");
}
