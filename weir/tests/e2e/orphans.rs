//! A pod whose object goes while it runs stays under its policies.

use std::fs;

use serde_json::{Value, json};
use weir_lab::{Part, Topology};

use crate::common::{TestLab, in_both_families, in_both_topologies, wait_for};
use crate::policies::*;

in_both_topologies!(
    a_pod_without_its_object_keeps_its_policies,
    an_interface_that_nobody_knows_denies_until_it_is_gone
);

const SLEEP: &str = "deploy/sleep";
/// A verdict of the kernel alone, beside the HTTP rule.
const ECHO_FOR_SLEEP: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: echo-for-sleep }
spec:
  podSelector: { matchLabels: { app: echo } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: sleep } } }] }]
"#;
/// Comes while the objects of the pods are gone.
const NOTHING_FOR_ECHO: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: nothing-for-echo, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: echo } }
  ingressDeny: [{ fromEntities: [all] }]
"#;

/// Takes pods' objects away from the agent, as `kubectl delete pod --force` does; the pods run on.
fn lose_objects(lab: &TestLab, pods: &[&str]) {
    for pod in pods {
        let name = lab.lab.pod(pod).unwrap().name;
        let entries = fs::read_dir(lab.manifests()).unwrap();
        let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        let file = files.iter().find(|file| {
            let text = fs::read_to_string(file).unwrap();
            let value: Value = serde_yaml_ng::from_str(&text).unwrap();
            value["kind"] == "Pod"
                && value["metadata"]["namespace"] == "default"
                && value["metadata"]["name"] == name.as_str()
        });
        fs::remove_file(file.unwrap_or_else(|| panic!("no manifest of {name}"))).unwrap();
    }
    let synced = lab.ask(&json!({"command": "sync"}));
    assert_eq!(synced["ok"], true, "{synced}");
}

fn orphans(lab: &TestLab) -> usize {
    lab.status()["orphans"].as_array().unwrap().len()
}

fn judged(lab: &TestLab) {
    in_both_families(|family| {
        let (httpbin, echo) = (lab.host("deploy/httpbin", family), lab.host("echo", family));
        let url = |path: &str| format!("{httpbin}:80{path}");
        lab.allowed(SLEEP, family, &[&url("/headers")]);
        lab.forbidden(SLEEP, family, &[&url("/ip")]);
        lab.dropped("stranger", family, &[&url("/headers")]);
        lab.allowed(SLEEP, family, &[&format!("{echo}:8080/")]);
        lab.dropped("stranger", family, &[&format!("{echo}:8080/")]);
    });
}

fn a_pod_without_its_object_keeps_its_policies(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(ECHO_FOR_SLEEP);
    judged(&lab);
    // Servers and, as a peer of theirs, the client.
    lose_objects(&lab, &["deploy/httpbin", "echo", SLEEP]);
    assert_eq!(orphans(&lab), 3, "{}", lab.status());
    assert_eq!(lab.status()["unmanaged"], json!([]));
    judged(&lab);
    // An agent that starts now knows them, too.
    lab.lab.restart(Part::Agent).unwrap();
    wait_for("a proxy with a policy", || {
        lab.status()["proxy"]["revision"].is_u64()
    });
    assert_eq!(orphans(&lab), 3, "{}", lab.status());
    judged(&lab);
    // Policies that come now count for them.
    fs::write(lab.manifests().join("later.yaml"), NOTHING_FOR_ECHO).unwrap();
    lab.ask(&json!({"command": "sync"}));
    in_both_families(|family| {
        let echo = lab.host("echo", family);
        lab.dropped(SLEEP, family, &[&format!("{echo}:8080/")]);
    });
    // A pod that goes with its interface is gone.
    lab.delete("Pod", "stranger");
    wait_for("no pod without an object", || orphans(&lab) == 0);
    assert_eq!(lab.status()["unowned"], 0);
}

fn an_interface_that_nobody_knows_denies_until_it_is_gone(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ECHO_FOR_SLEEP);
    let endpoints = lab.status()["endpoints"].as_u64().unwrap();
    let pod = lab.lab.pod("echo").unwrap();
    let agent = lab.lab.pid(Part::Agent).unwrap().expect("a running agent");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(agent),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    wait_for("a dead agent", || {
        lab.lab.pid(Part::Agent).unwrap().is_none()
    });
    // Neither its object nor what the agent knew of it.
    fs::remove_file(format!("/run/weir/weir-lab-{}/known.json", lab.name)).unwrap();
    let file = lab.manifests();
    let manifest = fs::read_dir(&file)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let of_echo = manifest.into_iter().find(|path| {
        let text = fs::read_to_string(path).unwrap();
        text.contains("kind: Pod") && text.contains("\n  name: echo\n")
    });
    fs::remove_file(of_echo.expect("a manifest of echo")).unwrap();
    lab.lab.restart(Part::Agent).unwrap();
    let status = lab.status();
    assert_eq!(status["unowned"], 1, "{status}");
    assert_eq!(status["endpoints"], endpoints - 1, "{status}");
    in_both_families(|family| {
        let echo = lab.host("echo", family);
        lab.dropped(SLEEP, family, &[&format!("{echo}:8080/")]);
        let httpbin = lab.host("deploy/httpbin", family);
        lab.dropped("echo", family, &[&format!("{httpbin}:80/ip")]);
        lab.allowed(SLEEP, family, &[&format!("{httpbin}:80/ip")]);
    });
    let interface = pod.interface.unwrap();
    let output = lab.exec("@node", &["ip", "link", "del", &interface]);
    assert!(output.status.success(), "{output:?}");
    wait_for("nothing that nobody owns", || lab.status()["unowned"] == 0);
}
