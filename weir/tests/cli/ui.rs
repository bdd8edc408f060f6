//! `weir ui` beside a record: what a pending policy would change of it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::common::{LAB, repository, weir};

/// A running `weir ui`; it ends with the test.
struct Ui {
    child: Child,
    address: String,
}

impl Ui {
    fn start(more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["ui", "--listen", "127.0.0.1:0"])
            .args(["--input-file", "docs/examples/flows.jsonl"])
            .args(more)
            .current_dir(repository())
            .stdout(Stdio::piped())
            .spawn()
            .expect("weir ui");
        let mut url = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut url).expect("its URL");
        let address = url.trim().trim_start_matches("http://");
        let address = address.trim_end_matches('/').to_owned();
        Self { child, address }
    }

    /// Asks what a policy would change of the whole record: status and body.
    fn ask(&self, policy: &str) -> (u16, String) {
        let record = fs::read_to_string(repository().join("docs/examples/flows.jsonl"));
        let record = record.expect("the example");
        let flows: Vec<&str> = record.lines().collect();
        let body = json!({ "policy": policy, "flows": flows }).to_string();
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let head = format!(
            "POST /api/pending HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream
            .write_all((head + &body).as_bytes())
            .expect("a question");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body.to_owned())
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_pending_policy_is_judged_as_diff_judges_it() {
    let manifests: Vec<String> = [
        "sleep.yaml",
        "httpbin.yaml",
        "policies/allow-get-headers.yaml",
    ]
    .map(|file| format!("{LAB}/{file}"))
    .to_vec();
    let mut words = vec!["--manifests"];
    words.extend(manifests.iter().map(String::as_str));
    let ui = Ui::start(&words);
    let policy = format!("{LAB}/policies/allow-ingress-to-httpbin.yaml");
    let text = fs::read_to_string(repository().join(&policy)).expect("a policy");
    let (status, body) = ui.ask(&text);
    assert_eq!(status, 200, "{body}");
    let foreseen: Value = serde_json::from_str(&body).expect("JSON");

    // What is in force beside what would be, as `weir diff` says it.
    let folder = tempfile::tempdir().expect("a folder");
    for file in [&manifests[2], &policy] {
        let name = file.rsplit('/').next().expect("a name");
        fs::copy(repository().join(file), folder.path().join(name)).expect("a copy");
    }
    let said = weir(&format!(
        "diff --with {} {} -f {} -f {} --flows docs/examples/flows.jsonl -o json",
        manifests[0],
        manifests[1],
        manifests[2],
        folder.path().display()
    ));
    let diff: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(foreseen["judged"], diff["judged"]);
    let pairs = |of: &Value| -> Vec<(Value, Value)> {
        let changes = of["changes"].as_array().expect("a list");
        let pair = |change: &Value| (change["flow"].clone(), change["after"].clone());
        changes.iter().map(pair).collect()
    };
    assert!(!pairs(&diff).is_empty(), "{}", said.out);
    assert_eq!(pairs(&foreseen), pairs(&diff));
    let count = |change: &Value| change["places"].as_array().map(Vec::len);
    assert_eq!(
        count(&foreseen["changes"][0]).map(Value::from),
        diff["changes"][0].get("count").cloned()
    );

    for (policy, says) in [
        ("a: [b", "the policy"),
        ("", "is it a policy?"),
        ("kind: Pod", "apiVersion"),
    ] {
        let (status, body) = ui.ask(policy);
        assert!(
            status == 400 || body.contains("problems"),
            "{policy:?}: {status} {body}"
        );
        assert!(body.contains(says), "{policy:?}: {body}");
    }
}

#[test]
fn without_manifests_it_says_what_is_missing() {
    let (status, body) = Ui::start(&[]).ask("kind: NetworkPolicy");
    assert_eq!(status, 501, "{body}");
    assert!(body.contains("--manifests"), "{body}");
    let gone = weir(
        "ui --input-file docs/examples/flows.jsonl --manifests /nowhere.yaml --listen 127.0.0.1:0",
    );
    assert_ne!(gone.code, 0, "{}", gone.out);
    assert!(gone.err.contains("--manifests"), "{}", gone.err);
}
