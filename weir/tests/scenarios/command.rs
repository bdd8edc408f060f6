//! `weir lab run` and the commands that scenarios are made of, from the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: { name: client, labels: { app: client } }
spec: { containers: [{ name: c, image: busybox }] }
---
apiVersion: v1
kind: Pod
metadata: { name: server, labels: { app: server } }
spec: { containers: [{ name: c, image: nginx }] }
";

/// The first check comes, the second does not.
const SCENARIO: &str = "
title: Half of it is wrong
manifests: pods.yaml
families: [IPv4]
steps:
- name: one
  do: [label pod server tier=web, 'get pod/server -o yaml']
  says: 'tier: web'
  check:
  - { from: client, run: 'curl -m 5 {pod server}', expect: HTTP 200, says: Welcome }
  - { from: client, run: 'curl -m 5 {pod server}:81', expect: times out }
  - { log: server, says: '\"GET / HTTP/1.1\" 200' }
- name: two
  check:
  - { pod: extra -l a=b, run: 'sh -c \"exit 7\"', expect: works }
";

fn weir(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(words)
        .output()
        .expect("the weir binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder(scenario: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("pods.yaml"), PODS).expect("pods.yaml");
    fs::write(folder.path().join("scenario.yaml"), scenario).expect("scenario.yaml");
    folder
}

fn run(folder: &Path, name: &str, more: &[&str]) -> Output {
    let path = folder.to_str().expect("a path");
    weir(&[&["lab", "run", path, "--name", name], more].concat())
}

#[test]
fn lists_what_is_built_in() {
    let listed = text(&weir(&["lab", "run", "--list"]).stdout);
    for name in super::NAMES {
        assert!(listed.contains(name), "{listed}");
    }
    let unknown = weir(&["lab", "run", "nosuch"]);
    assert!(!unknown.status.success());
    assert!(
        text(&unknown.stderr).contains("(nodes, s0, s1, s2, s3, s4"),
        "{unknown:?}"
    );
}

#[test]
fn differences_fail() {
    let folder = folder(SCENARIO);
    let name = format!("t{}n100", std::process::id());
    let output = run(folder.path(), &name, &["-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Two commands, and four checks: what is refused does not time out, and 7 is not 0.
    assert_eq!(
        (&told["checks"], &told["differences"]),
        (&6.into(), &2.into())
    );
    let tries = &told["steps"][0]["checks"];
    assert_eq!(tries[0]["tries"][0]["as_expected"], true);
    assert_eq!(tries[1]["tries"][0]["came"], "refused");
    assert_eq!(
        told["steps"][1]["checks"][0]["tries"][0]["came"],
        "exit status 7"
    );
    assert!(
        !Path::new("/run/weir/labs").join(&name).exists(),
        "it is down"
    );
}

#[test]
fn mistakes_name_file_and_field_before_anything_is_made() {
    let folder = folder(&SCENARIO.replace("expect:", "expects:"));
    let name = format!("t{}n101", std::process::id());
    let output = run(folder.path(), &name, &[]);
    let said = text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("scenario.yaml: steps[0].check[0].expects: unknown field"),
        "{said}"
    );
}

#[test]
fn a_pod_for_one_command() {
    let folder = folder("");
    let name = format!("t{}n102", std::process::id());
    let pods = folder.path().join("pods.yaml");
    let up = weir(&[
        "lab",
        "up",
        "--name",
        &name,
        "-f",
        pods.to_str().expect("a path"),
    ]);
    assert!(up.status.success(), "{up:?}");
    let ran = weir(&[
        "lab",
        "run-pod",
        "once",
        "--name",
        &name,
        "--rm",
        "-l",
        "app=once",
        "--",
        "sh",
        "-c",
        "hostname; exit 3",
    ]);
    let listed = weir(&["lab", "ls", "--name", &name]);
    let moved = weir(&[
        "lab",
        "patch",
        "pod/server",
        "--name",
        &name,
        "-p",
        "{metadata: {name: x}}",
    ]);
    let down = weir(&["lab", "down", "--name", &name]);
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    assert_eq!(text(&ran.stdout), "once\npod \"once\" deleted\n");
    assert!(!text(&listed.stdout).contains("once"), "{listed:?}");
    assert!(
        text(&moved.stderr).contains("a patch cannot move an object"),
        "{moved:?}"
    );
    assert!(down.status.success());
}

/// What `make demo` prints: each manifest, and of each request what was expected, what came and why.
#[test]
fn the_demo_shows_and_explains_the_workshop() {
    let name = format!("t{}n103", std::process::id());
    let demo = weir(&["lab", "demo", "--name", &name]);
    let shown = text(&demo.stdout);
    assert!(demo.status.success(), "{demo:?}");
    for part in [
        "\n2. Deny all ingress\n   A denied connection is dropped without a word.",
        "\n     kind: NetworkPolicy\n",
        "\n   $ weir lab apply -f policies/default-deny-ingress.yaml\n",
        "\n     expected  HTTP 403\n     came      IPv4  HTTP 403: Access denied  as expected\n               IPv6  HTTP 403",
        "\n     weir      ingress: allowed by NetworkPolicy/default/allow-ingress-to-httpbin (spec.ingress[0])\n",
        "\nWhat was denied last, and why:\n",
        " checks came as expected, in ",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
    }
    assert!(!shown.contains("DIFFERENT"), "{shown}");
}
