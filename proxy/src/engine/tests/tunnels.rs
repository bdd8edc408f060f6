//! Tunnels and snapshots: what a policy no longer allows ends, and what it allows goes on.

use serde_json::json;
use tokio::net::UnixStream;
use weir_link::proxy::Disposition;
use weir_policy::l7::L7Table;

use super::{
    smuggling::{on_trial, rule, rules},
    tls::named,
    *,
};
use crate::tls::tests::hello;

const UPGRADE: &str =
    "GET /ok HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
const CONNECT: &str = "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
const GO: &str = "HTTP/1.1 200 Go\r\n\r\n";

/// How a kind of tunnel opens, a policy that allows it, and one that does not.
struct Kind {
    ask: Vec<u8>,
    answer: &'static str,
    allows: fn() -> L7Table,
    denies: fn() -> L7Table,
}

fn http(given: serde_json::Value) -> L7Table {
    rules(json!([rule(given)]))
}

fn kinds() -> [Kind; 4] {
    [
        Kind {
            ask: UPGRADE.into(),
            answer: SWITCH,
            allows: || http(json!({"path": "/ok"})),
            denies: || http(json!({"path": "/other"})),
        },
        Kind {
            ask: CONNECT.into(),
            answer: GO,
            allows: || http(json!({"method": "CONNECT"})),
            denies: || http(json!({"method": "CONNECT", "host": "other"})),
        },
        Kind {
            ask: hello(Some("a.example")),
            answer: "hello",
            allows: || named("a.example"),
            denies: || named("b.example"),
        },
        Kind {
            ask: b"\0not http".into(),
            answer: "hello",
            allows: || on_trial(http(json!({"path": "/ok"}))),
            denies: || http(json!({})),
        },
    ]
}

async fn opened(lab: &mut Lab, kind: &Kind) -> (Peer, Peer) {
    lab.context.policy.set(1, Arc::new((kind.allows)()));
    let mut client = lab.client().await;
    client.send(&kind.ask).await;
    let mut server = lab.accept().await;
    server.expect(&kind.ask).await;
    server.send(kind.answer).await;
    client.expect(kind.answer).await;
    let began = lab.flow().await;
    let passes = [Disposition::Allowed, Disposition::Audited];
    assert!(passes.contains(&began.verdict), "{began:?}");
    (client, server)
}

async fn passes(client: &mut Peer, server: &mut Peer) {
    client.send("ping").await;
    server.expect("ping").await;
    server.send("pong").await;
    client.expect("pong").await;
}

#[tokio::test]
async fn a_snapshot_that_allows_them_leaves_tunnels_alone() {
    for kind in kinds() {
        let mut lab = Lab::new().await;
        let (mut client, mut server) = opened(&mut lab, &kind).await;
        lab.context.policy.set(2, Arc::new((kind.allows)()));
        passes(&mut client, &mut server).await;
        // No policy at all.
        lab.context.policy.set(3, Arc::new(open()));
        passes(&mut client, &mut server).await;
        assert!(lab.flows.try_recv().is_err());
        assert_eq!(lab.context.counters.tunnels_ended.get(), 0);
    }
}

/// No policy selects the endpoint.
fn open() -> L7Table {
    let mut table = serde_json::to_value(http(json!({}))).unwrap();
    table["endpoints"][0]["enforced"] = json!([]);
    serde_json::from_value(table).expect("a table")
}

#[tokio::test]
async fn a_snapshot_that_denies_them_ends_tunnels_with_a_record() {
    for kind in kinds() {
        let mut lab = Lab::new().await;
        let (mut client, mut server) = opened(&mut lab, &kind).await;
        lab.context.policy.set(2, Arc::new((kind.denies)()));
        client.expect_reset().await;
        server.expect_reset().await;
        let flow = lab.flow().await;
        assert_eq!((flow.verdict, flow.status()), (Disposition::Denied, None));
        let end = "; the connection was open, allowed by revision 1";
        assert!(flow.reason.ends_with(end), "{}", flow.reason);
        assert_eq!(lab.context.counters.tunnels_ended.get(), 1);
    }
}

/// A snapshot counts from the moment it is put in force, whatever is on its way already.
#[tokio::test]
async fn no_byte_passes_after_the_snapshot_that_denies_it() {
    for kind in kinds() {
        for _ in 0..20 {
            let mut lab = Lab::new().await;
            let (client, mut server) = opened(&mut lab, &kind).await;
            let (bell, ringing) = UnixStream::pair().unwrap();
            assert_eq!(bell.try_write(b"!").unwrap(), 1);
            assert_eq!(client.0.try_write(b"late").unwrap(), 4);
            // Woken by the same look at all sockets as the tunnel is, and before it.
            ringing.readable().await.unwrap();
            lab.context.policy.set(2, Arc::new((kind.denies)()));
            server.expect_reset_without_a_byte().await;
        }
    }
}

#[tokio::test]
async fn a_snapshot_between_verdict_and_tunnel_counts() {
    for kind in kinds().into_iter().take(2) {
        let lab = Lab::new().await;
        lab.context.policy.set(1, Arc::new((kind.allows)()));
        let mut client = lab.client().await;
        client.send(&kind.ask).await;
        let mut server = lab.accept().await;
        server.expect(&kind.ask).await;
        lab.context.policy.set(2, Arc::new((kind.denies)()));
        server.send(kind.answer).await;
        server.expect_reset().await;
    }
}

#[tokio::test]
async fn audit_mode_ends_no_tunnel_and_says_once_that_it_would() {
    for kind in kinds().into_iter().take(3) {
        let mut lab = Lab::new().await;
        let (mut client, mut server) = opened(&mut lab, &kind).await;
        for revision in [2, 3] {
            let table = on_trial((kind.denies)());
            lab.context.policy.set(revision, Arc::new(table));
            passes(&mut client, &mut server).await;
        }
        assert_eq!(lab.flow().await.verdict, Disposition::Audited);
        assert!(lab.flows.try_recv().is_err());
        assert_eq!(lab.context.counters.audited.get(), 1);
    }
}

/// What the server was offered under audit mode no rule would have let pass.
#[tokio::test]
async fn an_upgrade_that_only_audit_mode_let_pass_ends_with_it() {
    let mut lab = Lab::new().await;
    let kind = Kind {
        ask: UPGRADE.replace("websocket", "h2c").into(),
        answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        allows: || on_trial(http(json!({"path": "/ok"}))),
        denies: || http(json!({"path": "/ok"})),
    };
    let (mut client, mut server) = opened(&mut lab, &kind).await;
    lab.context.policy.set(2, Arc::new((kind.allows)()));
    passes(&mut client, &mut server).await;
    lab.context.policy.set(3, Arc::new((kind.denies)()));
    client.expect_reset().await;
}

/// A pipe that waits for a reader is ended all the same.
#[tokio::test]
async fn a_tunnel_whose_reader_sleeps_ends_too() {
    let mut lab = Lab::new().await;
    let [kind, ..] = kinds();
    let (mut client, _server) = opened(&mut lab, &kind).await;
    // Until nobody takes any more.
    let stuck = async {
        loop {
            client.0.writable().await.unwrap();
            let _sent = client.0.try_write(&[0; 65536]);
        }
    };
    assert!(timeout(Duration::from_millis(300), stuck).await.is_err());
    lab.context.policy.set(2, Arc::new((kind.denies)()));
    assert_eq!(lab.flow().await.verdict, Disposition::Denied);
    client.expect_reset().await;
}
