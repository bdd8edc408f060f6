//! `weir simulate`: its contract, line by line.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::common::{WEIR, one_message, scenario, weir};
use serde_json::{Value, json};

const PODS: &str = include_str!("../common/pods.yaml");

/// Judges lines of flows by the manifests at a path.
pub fn simulate(manifests: &Path, lines: &str) -> Output {
    let mut child = Command::new(WEIR)
        .args(["simulate", "--flows", "-", "-f"])
        .arg(manifests)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines.to_owned();
    // Beside reading, else both sides may wait for each other.
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

pub fn answers(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    said.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// Pods without a cluster that gave them addresses, and a policy.
fn manifests() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pods.yaml"), PODS).unwrap();
    fs::write(folder.path().join("policy.yaml"), SHUT_ECHO).unwrap();
    folder
}

const SHUT_ECHO: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: echo }
spec:
  endpointSelector: { matchLabels: { app: echo } }
  ingress:
  - fromEndpoints: [{ matchLabels: { app: stranger } }]
    toPorts:
    - ports: [{ port: "8080", protocol: TCP }]
      rules: { http: [{ method: GET, path: /ok }] }
"#;

#[test]
fn each_line_has_its_answer_in_order() {
    let folder = manifests();
    let flow = |path: &str| {
        json!({"from": "default/stranger", "to": "default/echo", "protocol": "TCP", "port": 8080,
               "http": {"method": "GET", "path": path}})
    };
    let plain =
        json!({"from": "sleep/other", "to": "default/echo", "protocol": "TCP", "port": 8080});
    let with = |field: &str, value: Value| {
        let mut flow = plain.clone();
        flow[field] = value;
        flow.to_string()
    };
    let table = [
        (flow("/ok").to_string(), Ok("allow")),
        ("{ not JSON".to_owned(), Err("not a flow: ")),
        (flow("/no").to_string(), Ok("http-deny")),
        (String::new(), Err("not a flow: ")),
        (plain.to_string(), Ok("deny")),
        (with("colour", json!("red")), Err("unknown field `colour`")),
        (with("port", json!(70_000)), Err("70000")),
        (with("port", json!(0)), Err("`port` is missing")),
        (
            with("from", json!("nowhere/nobody")),
            Err("`from`: no pod `nowhere/nobody`"),
        ),
        (with("protocol", json!("IPX")), Err("IPX")),
        (
            with("to", json!("default/sleep")),
            Err("`to`: no pod `default/sleep`"),
        ),
        (with("to", json!("8.8.8.8")), Ok("allow")),
        ("\u{7f}\u{0}{}".to_owned(), Err("not a flow: ")),
        (with("protocol", json!("ICMP")), Ok("deny")),
        // Last, and without the end of its line.
        (flow("/ok").to_string(), Ok("allow")),
    ];
    let lines: Vec<&str> = table.iter().map(|(line, _)| line.as_str()).collect();
    let output = simulate(folder.path(), &lines.join("\n"));
    assert!(output.stderr.is_empty(), "{output:?}");
    let answers = answers(&output);
    assert_eq!(answers.len(), table.len(), "{answers:#?}");
    for ((line, wanted), answer) in table.iter().zip(&answers) {
        match wanted {
            Ok(verdict) => {
                assert_eq!(answer["verdict"], *verdict, "{line}: {answer}");
                for side in ["egress", "ingress"] {
                    assert!(answer[side]["reason"].is_string(), "{line}: {answer}");
                }
            }
            Err(reason) => {
                let error = answer["error"].as_str().expect(line);
                assert!(error.contains(reason), "{line}: {error}");
                assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
            }
        }
    }
    assert_eq!(
        answers[0]["ingress"]["policies"],
        json!(["CiliumNetworkPolicy/default/echo"])
    );
}

/// Pods without an address get one that does not depend on files, order or run.
#[test]
fn addresses_are_the_same_in_every_run() {
    let folder = manifests();
    let mut lines = String::new();
    let to_address = |address: &str| {
        json!({"from": "default/stranger", "to": address, "protocol": "TCP", "port": 8080,
               "http": {"method": "GET", "path": "/no"}})
    };
    // Which address is the echo's: the one behind which its rule answers.
    for number in 1..9 {
        lines += &format!("{}\n", to_address(&format!("10.244.0.{number}")));
        lines += &format!("{}\n", to_address(&format!("fd00:10:244::{number:x}")));
    }
    let first = simulate(folder.path(), &lines);
    let denied = answers(&first);
    let denied = denied
        .iter()
        .filter(|answer| answer["verdict"] == "http-deny");
    assert_eq!(
        denied.count(),
        2,
        "one IPv4 and one IPv6 address: {first:?}"
    );
    assert_eq!(
        simulate(folder.path(), &lines).stdout,
        first.stdout,
        "another run"
    );
    // The same objects, each in a file of its own, in the opposite order.
    let other = tempfile::tempdir().unwrap();
    for (number, object) in PODS.split("\n---\n").chain([SHUT_ECHO]).enumerate() {
        let file = other.path().join(format!("{:02}.yaml", 99 - number));
        fs::write(file, object).unwrap();
    }
    assert_eq!(
        simulate(other.path(), &lines).stdout,
        first.stdout,
        "other files"
    );
}

#[test]
fn manifests_that_cannot_be_read_are_refused() {
    let folder = manifests();
    let flows = folder.path().join("none.jsonl");
    fs::write(&flows, "").unwrap();
    let flows = flows.display().to_string();
    let run = |path: &str| weir(&["simulate", "-f", path, "--flows", &flows]);
    let message = one_message(&run("/nowhere"));
    assert_eq!(message, "weir: /nowhere: no such file or folder");
    let good = run(&folder.path().display().to_string());
    assert!(good.status.success() && good.stdout.is_empty(), "{good:?}");
    // A bad policy is told, and judged as it is enforced.
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, SHUT_ECHO.replace("path: /ok", "path: /(ok")).unwrap();
    let flow = r#"{"from":"default/stranger","to":"default/echo","protocol":"TCP","port":8080,"http":{"path":"/(ok"}}"#;
    let output = simulate(folder.path(), flow);
    assert_eq!(answers(&output)[0]["verdict"], "http-deny", "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("policy.yaml:2: CiliumNetworkPolicy/default/echo: spec.ingress[0]"),
        "{said}"
    );
    fs::write(&policy, "a: [\n").unwrap();
    let output = run(&folder.path().display().to_string());
    let message = one_message(&output);
    assert!(
        message.contains("policy.yaml:1: is not YAML: "),
        "{message}"
    );
    assert!(
        message.ends_with("weir: 1 file was not read: what is said is without it"),
        "{message}"
    );
    let message = one_message(&weir(&[
        "simulate",
        "-f",
        &scenario().display().to_string(),
        "--flows",
        "/nowhere",
    ]));
    assert!(
        message.contains("cannot read /nowhere: No such file"),
        "{message}"
    );
}
