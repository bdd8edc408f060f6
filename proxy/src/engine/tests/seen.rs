//! Connections that are only looked into: whatever is spoken passes, whoever speaks first.

use weir_link::proxy::Disposition;

use super::*;

/// Looks for HTTP, and denies nothing.
struct Looks;

impl Judge for Looks {
    fn speaks(&self, _: RequestFlow) -> Speaks {
        Speaks {
            http: true,
            anything: true,
            watched: true,
            ..Speaks::default()
        }
    }

    fn judge_name(&self, _: RequestFlow, _: NameUse, _: Option<&str>) -> RequestVerdict {
        RequestVerdict::new(true, Vec::new(), "seen")
    }

    fn asked(&self, _: RequestFlow) -> Arc<Asked> {
        Arc::default()
    }

    fn judge(&self, _: RequestFlow, _: &Request<'_>) -> RequestVerdict {
        RequestVerdict::new(true, Vec::new(), "seen")
    }
}

async fn looking(limits: Limits) -> Lab {
    let lab = Lab::with(limits).await;
    lab.context.policy.set(2, Arc::new(Looks));
    lab
}

#[tokio::test]
async fn a_request_passes_and_is_recorded() {
    let mut lab = looking(Limits::default()).await;
    let mut client = lab.client().await;
    client.send(get("/anything")).await;
    let mut server = lab.accept().await;
    server.expect(get("/anything")).await;
    server.send(OK).await;
    client.expect(OK).await;
    let flow = lab.flow().await;
    assert_eq!(http(&flow).path, "/anything");
    assert_eq!(flow.verdict, Disposition::Allowed);
    assert_eq!(lab.context.counters.audited.get(), 0);
}

#[tokio::test]
async fn a_server_may_speak_first() {
    let mut lab = looking(Limits::default()).await;
    let mut client = lab.client().await;
    let mut server = lab.accept().await;
    server.send("220 mail\r\n").await;
    client.expect("220 mail\r\n").await;
    client.send("EHLO x\r\n").await;
    server.expect("EHLO x\r\n").await;
    let flow = lab.flow().await;
    assert_eq!(flow.verdict, Disposition::Allowed);
    assert!(
        flow.reason.contains("did not speak first"),
        "{}",
        flow.reason
    );
}

#[tokio::test]
async fn other_text_and_what_takes_its_time_pass() {
    let limits = Limits {
        head_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut lab = looking(limits).await;
    for first in ["get key\r\n", "GET /slow HTTP/1.1\r\nHost:"] {
        let mut client = lab.client().await;
        client.send(first).await;
        let mut server = lab.accept().await;
        server.expect(first).await;
        server.send("VALUE").await;
        client.expect("VALUE").await;
        assert_eq!(lab.flow().await.verdict, Disposition::Allowed);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_answered_for() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let mut lab = Lab::towards(server, address, Limits::default()).await;
    lab.context.policy.set(2, Arc::new(Looks));
    let mut client = lab.client().await;
    client.expect_reset_without_a_byte().await;
    assert_eq!(lab.flow().await.verdict, Disposition::Error);
}
