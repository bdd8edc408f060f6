//! The server double, asked by the real `kubectl`: what it is believed to do, it does.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use crate::support::Watched;

const POLICY: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: by-hand, namespace: default}
spec: {endpointSelector: {}, ingress: [{}]}
";

fn kubectl(config: &str, words: &[&str], input: &str) -> String {
    let mut child = Command::new("kubectl")
        .args([&["--kubeconfig", config], words].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl is on this machine");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{words:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_applies_is_watched() {
    let watched = Watched::new([]).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    watched.server.kubeconfig(&config).unwrap();
    let run = async |words: &'static [&'static str], input: &'static str| {
        let config = config.to_str().unwrap().to_owned();
        tokio::task::spawn_blocking(move || kubectl(&config, words, input))
            .await
            .unwrap()
    };
    run(&["apply", "--validate=false", "-f", "-"], POLICY).await;
    watched
        .until("its policy", |source| {
            source.read().world.policies.len() == 1
        })
        .await;
    let listed = run(&["get", "ciliumnetworkpolicies", "-o", "name"], "").await;
    assert_eq!(listed.trim(), "ciliumnetworkpolicy.cilium.io/by-hand");
    run(
        &["delete", "--wait=false", "ciliumnetworkpolicies", "by-hand"],
        "",
    )
    .await;
    watched
        .until("it is gone", |source| {
            source.read().world.policies.is_empty()
        })
        .await;
}
