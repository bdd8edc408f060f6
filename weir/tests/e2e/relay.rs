//! `weir relay` before the agents of two nodes: one address, and the loss of a node is told.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use weir_lab::{Part, Topology};

use crate::common::{Family, TestLab, WEIR, one_message, wait_for, weir};
use crate::policies::ALLOW_GET_HEADERS;

const FAR: &str = "
apiVersion: v1
kind: Pod
metadata: {name: far, labels: {app: far}}
spec: {nodeName: lab-node2, containers: [{name: c, image: curlimages/curl}]}
";

/// A relay that is ended with the test.
struct Relay(Child, String);

impl Relay {
    fn of(lab: &TestLab, socket: &str) -> Self {
        let child = Command::new(WEIR)
            .args(["relay", "--lab", &lab.name, "--listen", "127.0.0.1:0"])
            .args(["--socket", socket, "--window", "100"])
            .stderr(Stdio::null())
            .spawn()
            .expect("a relay");
        let relay = Self(child, format!("unix://{socket}"));
        wait_for("the relay's socket", || fs::metadata(socket).is_ok());
        relay
    }

    fn observe(&self, words: &[&str]) -> (String, String) {
        let words = [&["observe", "--server", &self.1, "--color", "never"], words].concat();
        let output = weir(&words);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let (said, error) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{words:?}: {error}");
        (said, error)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn two_nodes_have_one_address() {
    let lab = TestLab::up_on(2, Topology::Routed, &[FAR]);
    lab.apply(ALLOW_GET_HEADERS);
    lab.dropped("far", Family::V4, &["httpbin:8000/headers"]);
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("relay.sock");
    let mut relay = Relay::of(&lab, socket.to_str().expect("UTF-8"));

    // Of one connection each node tells its part: the client's its egress, the server's its denial.
    let of_http = [
        "--all",
        "--to-port",
        "80",
        "--from-pod",
        "far",
        "--print-node-name",
    ];
    let mut lines = Vec::new();
    wait_for("both nodes' flows", || {
        lines = relay
            .observe(&of_http)
            .0
            .lines()
            .map(str::to_owned)
            .collect();
        let has = |node: &str, end: &str| {
            lines
                .iter()
                .any(|line: &String| line.contains(node) && line.contains(end))
        };
        has("[lab-node2]: ", " to-stack FORWARDED ") && has("[lab-node]: ", " INGRESS DENIED ")
    });
    let sorted = lines.windows(2).all(|pair| pair[0][..19] <= pair[1][..19]);
    assert!(sorted, "{lines:#?}");
    let one = relay
        .observe(&[
            "--last",
            "1",
            "--node-name",
            "lab-node2",
            "--print-node-name",
        ])
        .0;
    assert!(
        one.lines().count() == 1 && one.contains("[lab-node2]"),
        "{one}"
    );
    // What `weir observe --lab` puts together itself is the same.
    let words = ["observe", "--lab", &lab.name, "--color", "never"];
    let direct = weir(&[&words[..], &of_http].concat());
    assert_eq!(
        String::from_utf8_lossy(&direct.stdout).lines().count(),
        lines.len()
    );

    let follower = Follower::start(&relay.1);
    wait_for("a followed flow", || {
        lab.allowed("deploy/sleep", Family::V4, &["httpbin:8000/headers"]);
        follower.nodes().contains(&"lab-node".to_owned())
    });
    kill_second_agent(&lab);
    wait_for("the loss", || follower.said("NODE_UNAVAILABLE: lab-node2"));
    let (_, said) = relay.observe(&["--last", "1"]);
    assert!(said.contains("NODE_UNAVAILABLE: lab-node2"), "{said}");
    lab.lab.restart(Part::Agent).expect("agents");
    wait_for("its return", || follower.said("NODE_CONNECTED: lab-node2"));
    wait_for("a flow of it", || {
        lab.dropped("far", Family::V4, &["httpbin:8000/headers"]);
        follower.nodes().contains(&"lab-node2".to_owned())
    });

    kill(Pid::from_raw(relay.0.id() as i32), Signal::SIGTERM).expect("a signal");
    assert!(relay.0.wait().expect("the relay").success());
}

/// `weir observe -f`, and what it has said so far.
struct Follower {
    child: Child,
    flows: Arc<Mutex<Vec<Value>>>,
    errors: Arc<Mutex<String>>,
}

impl Follower {
    fn start(server: &str) -> Self {
        let mut child = Command::new(WEIR)
            .args(["observe", "--server", server, "-f", "-o", "jsonpb"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a follower");
        let (flows, errors) = (Arc::default(), Arc::default());
        let (told, said): (Arc<Mutex<Vec<Value>>>, Arc<Mutex<String>>) =
            (Arc::clone(&flows), Arc::clone(&errors));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout.expect("a pipe"))
                .lines()
                .map_while(Result::ok)
            {
                let flow = serde_json::from_str(&line).expect("JSON");
                told.lock().expect("a lock").push(flow);
            }
        });
        std::thread::spawn(move || {
            let mut bytes = BufReader::new(stderr.expect("a pipe")).bytes();
            while let Some(Ok(byte)) = bytes.next() {
                said.lock().expect("a lock").push(byte.into());
            }
        });
        Self {
            child,
            flows,
            errors,
        }
    }

    /// The nodes of the flows so far.
    fn nodes(&self) -> Vec<String> {
        let flows = self.flows.lock().expect("a lock");
        let node = |flow: &Value| flow["node_name"].as_str().map(str::to_owned);
        flows.iter().filter_map(node).collect()
    }

    fn said(&self, text: &str) -> bool {
        self.errors.lock().expect("a lock").contains(text)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn kill_second_agent(lab: &TestLab) {
    let name = format!("weir-lab-{}-2", lab.name);
    let is_it = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        words.contains(&&b"agent"[..]) && words.contains(&name.as_bytes())
    };
    let pids = fs::read_dir("/proc").expect("processes").flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid = pids.find(is_it).expect("the second node's agent");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a signal");
}

#[test]
fn what_cannot_be_relayed_is_said_in_one_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let peers = folder.path().join("peers");
    fs::write(&peers, "192.0.2.1:4244\nnobody\n").expect("a file");
    let peers = peers.to_str().expect("UTF-8");
    let said = one_message(&weir(&["relay", "--peers-file", peers]));
    assert!(
        said.contains("line 2") && said.contains("\"nobody\""),
        "{said}"
    );
    let tls = ["--peer", "192.0.2.1:1", "--peer-ca", "/nothing/ca.crt"];
    let said = one_message(&weir(&[&["relay"], &tls[..]].concat()));
    assert!(said.contains("/nothing/ca.crt"), "{said}");
    for words in [&["relay"][..], &["relay", "--peer", "node"]] {
        let output = weir(words);
        assert!(!output.status.success(), "{words:?}");
    }
}
