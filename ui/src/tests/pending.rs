//! What is asked about policies that are not in force.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_observe::ring::Ring;

use super::{observer, serve_with};
use crate::{Access, Change, Foreseen, Foresight, Pending};

/// Denies whatever it is asked about.
#[derive(Debug)]
struct Denies;

impl Foresight for Denies {
    fn foresee(&self, pending: &Pending) -> Result<Foreseen, String> {
        if pending.policy.is_empty() {
            return Err("it is empty".into());
        }
        Ok(Foreseen {
            judged: pending.flows.len(),
            changes: vec![Change {
                places: (0..pending.flows.len()).collect(),
                from: "a".into(),
                to: "b".into(),
                flow: "TCP/80".into(),
                before: "allow".into(),
                after: "deny".into(),
                reason: "because".into(),
            }],
            ..Foreseen::default()
        })
    }
}

/// Asks, and gives the whole answer.
async fn ask(foresight: Option<Arc<dyn Foresight>>, body: &str, headers: &str) -> String {
    let ring = Arc::new(Ring::new(16));
    let address = serve_with(observer(&ring), Access::Local, false, foresight).await;
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let head = format!(
        "POST /api/pending HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("a question");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_policy_is_judged_and_nothing_else() {
    let denies = || -> Option<Arc<dyn Foresight>> { Some(Arc::new(Denies)) };
    let asked = r#"{"policy": "kind: X", "flows": ["{}", "{}"]}"#;
    let answer = ask(denies(), asked, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(r#""judged":2"#) && answer.contains(r#""places":[0,1]"#));
    for (foresight, body, headers, status, says) in [
        (None, asked, "", 501, "start `weir ui` with --manifests"),
        (
            denies(),
            r#"{"policy": "", "flows": []}"#,
            "",
            400,
            "it is empty",
        ),
        (
            denies(),
            r#"{"policy": "x", "flow": []}"#,
            "",
            422,
            "unknown field",
        ),
        (
            denies(),
            asked,
            "Origin: http://example.com\r\n",
            403,
            "another origin",
        ),
    ] {
        let answer = ask(foresight, body, headers).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains(says), "{answer}");
    }
}
