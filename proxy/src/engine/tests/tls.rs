//! TLS by the name in its first message, with the messages of real clients, old and new.

use std::process::{Command, Stdio};

use weir_policy::l7::L7Table;

use super::*;

/// TLS to one name.
fn one_name() -> L7Table {
    named("a.example")
}

pub(super) fn named(name: &str) -> L7Table {
    let mut table = serde_json::to_value(smuggling::rules(serde_json::json!([]))).unwrap();
    table["rules"][0][0]["l7"] = serde_json::json!({"tls": [name]});
    serde_json::from_value(table).expect("a table")
}

async fn lab() -> Lab {
    let lab = Lab::new().await;
    lab.context.policy.set(1, Arc::new(one_name()));
    lab
}

struct Killed(std::process::Child);
impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail once it has ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts openssl's client towards the proxy; it says its first message and waits.
fn s_client(lab: &Lab, options: &str) -> Killed {
    let child = Command::new("openssl")
        .args(["s_client", "-connect", &lab.proxy.to_string()])
        .args(options.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    Killed(child)
}

#[tokio::test]
async fn messages_of_real_clients_old_and_new_pass_by_their_name() {
    let mut lab = lab().await;
    for version in [
        "-tls1_3",
        "-tls1_2",
        // Neither signature_algorithms nor, without elliptic curves, supported_groups.
        "-tls1 -cipher kRSA:@SECLEVEL=0",
        "-tls1_1 -cipher kRSA:@SECLEVEL=0",
        // Over several records.
        "-tls1_2 -max_send_frag 512 -alpn aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,h2",
    ] {
        let client = s_client(&lab, &format!("{version} -servername A.example"));
        let mut server = lab.accept().await;
        let mut first = [0; 3];
        timeout(SOON, server.0.read_exact(&mut first))
            .await
            .expect("a message")
            .unwrap();
        assert_eq!(first[..2], [0x16, 3], "{version}");
        let flow = lab.flow().await;
        let name = "A.example".to_owned();
        assert_eq!(flow.application, Application::Tls { name });
        assert_eq!(
            flow.verdict,
            weir_link::proxy::Disposition::Allowed,
            "{version}: {}",
            flow.reason
        );
        drop(client);
    }
    for (options, reason) in [
        (
            "-tls1_2 -servername b.example",
            "server name `b.example` is none of a.example",
        ),
        ("-tls1_3 -noservername", "the client gives no server name"),
        (
            "-tls1_3 -servername a.example.",
            "not TLS: its server name ends with a dot",
        ),
    ] {
        let _client = s_client(&lab, options);
        let flow = lab.flow().await;
        assert_eq!(flow.reason, reason);
        lab.assert_server_untouched().await;
    }
    assert_eq!(lab.context.counters.tls_denied.get(), 3);
}

/// A policy on trial resets nothing.
#[tokio::test]
async fn where_only_audit_mode_asks_any_first_message_passes() {
    let lab = lab().await;
    lab.context
        .policy
        .set(1, Arc::new(smuggling::on_trial(one_name())));
    for first in [&b"\x16\x03\x01\x00\x01\x02"[..], b"\x16strange"] {
        let mut client = lab.client().await;
        client.send(first).await;
        lab.accept().await.expect(first).await;
    }
    assert_eq!(lab.context.counters.tls_denied.get(), 0);
}

#[tokio::test]
async fn a_first_message_that_does_not_end_is_bounded() {
    let mut lab = lab().await;
    // Records of one byte: many bytes for few.
    let record = [22u8, 3, 1, 0, 1, 0];
    let mut endless = vec![22, 3, 1, 0, 4, 1, 0, 0x7f, 0];
    endless.extend(record.iter().cycle().take(6 * 20_000));
    let mut client = lab.client().await;
    let _sent = client.0.write_all(&endless).await;
    client.expect_reset().await;
    let flow = lab.flow().await;
    assert_eq!(
        flow.reason,
        "not TLS: its first message has too many records"
    );
    lab.assert_server_untouched().await;
}
