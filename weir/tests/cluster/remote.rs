//! `weir` far from the cluster, by a kubeconfig alone: agents by exec, observers by port-forward.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::{
    node::{Node, curl, on_node, serve, wait_for},
    objects::{agents_pod, get_headers, namespace, node, pod},
    runtime::{Sandbox, configure, plugins},
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const OBSERVER: &str = "127.0.0.1:4244";

/// A command far from the node.
fn far(node: &Node, words: &[&str]) -> Output {
    let config = node.path("kubeconfig");
    Command::new(WEIR)
        .args(words)
        .arg("--kubeconfig")
        .arg(config)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

/// A pod of Weir as the chart makes it.
fn part_of_weir(component: &str, name: &str, words: &[&str]) -> Value {
    let mut part = agents_pod();
    part["metadata"]["name"] = name.into();
    part["metadata"]["labels"] =
        json!({"app.kubernetes.io/name": "weir", "app.kubernetes.io/component": component});
    part["spec"]["containers"] = json!([{"name": component, "image": "weir", "args": words}]);
    part["status"] =
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    part
}

/// A node with an agent that is asked from afar, a pod, and a flow to it.
fn on_far_node(test: impl AsyncFnOnce(&mut Node) + Send) {
    on_node(async |node_| {
        configure(node_, "bridge");
        for object in [
            namespace(),
            node(),
            pod("sleep"),
            pod("httpbin"),
            get_headers(),
        ] {
            node_.server.put(object);
        }
        node_.options = &["--observe", OBSERVER];
        node_.start_agent();
        node_.start_proxy();
        wait_for("our plugin in the chain", || {
            (plugins(node_).len() == 2).then_some(())
        });
        let (mut server, mut client) =
            (Sandbox::new(node_, "httpbin"), Sandbox::new(node_, "sleep"));
        for sandbox in [&mut server, &mut client] {
            sandbox.add(node_).unwrap();
        }
        let serving = serve(&server.netns, &node_.path("www"));
        let url = format!("http://{}/ip", server.address());
        wait_for("a denied request", || {
            (curl(&client.netns, &url) == "403").then_some(())
        });
        let agent = part_of_weir("agent", "weir-1", &["agent", "--observe", OBSERVER]);
        node_.server.put(agent);
        node_
            .server
            .pod_listens("weir-1", 4244, OBSERVER.parse().unwrap());
        let instance = node_.name.clone();
        node_.server.pod_runs("weir-1", move |words| {
            let [program, words @ ..] = words else {
                panic!("no program");
            };
            assert_eq!(program, "/weir");
            // The instance of a cluster's node is `weir`; this one's is the test's.
            let words = words.iter().filter(|word| !word.starts_with("--instance="));
            Command::new(WEIR)
                .args(words)
                .args(["--instance", &instance])
                .output()
        });
        test(node_).await;
        drop(serving);
        client.del(node_);
        server.del(node_);
    });
}

#[test]
fn agents_are_asked_in_their_containers() {
    on_far_node(async |node_| {
        let status = far(node_, &["status", "--wait", "--timeout", "30"]);
        assert!(status.status.success(), "{}", said(&status));
        assert!(
            said(&status).contains("node    node-a\nall is well"),
            "{}",
            said(&status)
        );

        let endpoints = far(node_, &["endpoint", "list", "pod/httpbin", "-o", "wide"]);
        let text = said(&endpoints);
        assert!(text.contains("NODE") && text.contains("LABELS"), "{text}");
        assert!(
            text.contains("node-a") && text.contains("app=httpbin"),
            "{text}"
        );
        assert!(!text.contains("sleep"), "{text}");

        let policies = far(node_, &["policy", "get", "cnp/get-headers", "-A"]);
        let text = said(&policies);
        assert!(text.contains("1/1") && text.contains("in force"), "{text}");

        let words = [
            "explain",
            "--from",
            "sleep",
            "--to",
            "pod/httpbin",
            "--port",
            "80",
            "--http",
            "/ip",
        ];
        let explained = json_of(&far(node_, &[&words[..], &["-o", "json"]].concat()));
        assert_eq!(explained["verdict"], "http-deny");
        let refused = far(
            node_,
            &[
                "explain", "--from", "nobody", "--to", "httpbin", "--port", "80",
            ],
        );
        assert!(!refused.status.success());
        assert!(
            said(&refused).contains("no pod `nobody`"),
            "{}",
            said(&refused)
        );

        // A node whose agent cannot answer is named, and the others are not kept back.
        let mut second = part_of_weir("agent", "weir-2", &["agent"]);
        second["spec"]["nodeName"] = "node-b".into();
        node_.server.put(second);
        let listed = far(node_, &["endpoint", "list", "-o", "json"]);
        assert_eq!(listed.status.code(), Some(1));
        let listed = json_of(&listed);
        assert_eq!(listed["nodes"][0]["node"], "node-a");
        assert_eq!(listed["silent"][0]["node"], "node-b");
        let error = listed["silent"][0]["error"].as_str().unwrap();
        assert!(error.contains("cannot run weir in pod weir-2"), "{error}");
        let status = far(node_, &["status"]);
        assert_eq!(status.status.code(), Some(1));
        assert!(
            said(&status).contains("node    node-b"),
            "{}",
            said(&status)
        );
        // Which agent answers is the same to what all know.
        let explained = far(node_, &words);
        assert!(explained.status.success(), "{}", said(&explained));
    });
}

#[test]
fn observers_are_reached_by_port_forward() {
    on_far_node(async |node_| {
        let words = [
            "observe",
            "--all",
            "--http-path",
            "/ip",
            "--verdict",
            "DROPPED",
            "-o",
            "json",
        ];
        let flow = |output: &Output| -> Value {
            let text = said(output);
            let line = text.lines().next().unwrap_or_else(|| panic!("no flow"));
            serde_json::from_str(line).unwrap_or_else(|_| panic!("{text}"))
        };
        // Without a relay every agent is asked.
        let flow_of_agent = flow(&far(node_, &words));
        assert_eq!(flow_of_agent["node_name"], "node-a");

        let none = far(
            node_,
            &[
                "observe",
                "--all",
                "--cel-expression",
                "_flow.node_name == 'node-b'",
            ],
        );
        assert!(
            none.status.success() && none.stdout.is_empty(),
            "{}",
            said(&none)
        );
        // With one it is, with the chart's certificates.
        let relay = Relay::start(node_);
        let before = node_.server.requests().len();
        assert!(before > 0);
        let of_relay = far(node_, &words);
        assert_eq!(
            flow(&of_relay)["flow"]["uuid"],
            flow_of_agent["flow"]["uuid"]
        );
        let asked = node_.server.requests();
        let relayed = |asked: &[String], pod: &str| {
            asked
                .iter()
                .any(|request| request.contains(&format!("pods/{pod}/portforward")))
        };
        assert!(
            relayed(&asked, "weir-relay-1") && !relayed(&asked, "weir-1"),
            "{asked:#?}"
        );

        // The map asks by the same way.
        let mut map = Map::start(node_);
        let status = wait_for("the map's observers", || {
            let output = Command::new("curl")
                .args(["-s", "-m", "20", &map.url])
                .output();
            let status: Value = serde_json::from_slice(&output.expect("curl").stdout).ok()?;
            (status["nodes"][0]["name"] == "node-a").then_some(status)
        });
        assert!(map.child.try_wait().unwrap().is_none(), "{status}");
        drop(map);

        // Strangers' certificates, no certificates, a port that nothing listens at.
        node_.server.put(relay.secret(&certificates("other")));
        let strangers = far(node_, &words);
        assert_eq!(strangers.status.code(), Some(1));
        assert!(
            said(&strangers).contains("weir-relay in weir-system"),
            "{}",
            said(&strangers)
        );
        node_
            .server
            .delete("Secret", "weir-system", "weir-observe-tls");
        let none = far(node_, &words);
        assert!(
            said(&none).contains("the certificates in Secret weir-observe-tls"),
            "{}",
            said(&none)
        );
        node_.server.delete("Pod", "weir-system", "weir-relay-1");
        let closed = part_of_weir("agent", "weir-1", &["agent", "--observe", "127.0.0.1:9"]);
        node_.server.put(closed);
        let closed = far(node_, &words);
        assert_eq!(closed.status.code(), Some(1));
        assert!(said(&closed).contains("node-a"), "{}", said(&closed));
        assert!(said(&closed).contains("forwarding 9"), "{}", said(&closed));

        node_.server.delete("Pod", "weir-system", "weir-1");
        for command in [&words[..], &["status"], &["ui", "--listen", "127.0.0.1:0"]] {
            let nobody = far(node_, command);
            let text = said(&nobody);
            assert_eq!(nobody.status.code(), Some(1), "{text}");
            assert!(
                text.contains("no agent of Weir in namespace weir-system"),
                "{text}"
            );
        }
        let elsewhere = far(node_, &["status", "-n", "elsewhere"]);
        assert!(
            said(&elsewhere).contains("in namespace elsewhere"),
            "{}",
            said(&elsewhere)
        );
    });
}

/// `weir ui` far from the node.
struct Map {
    child: Child,
    url: String,
}

impl Map {
    fn start(node: &Node) -> Self {
        let mut child = Command::new(WEIR)
            .args([
                "ui",
                "--no-browser",
                "--listen",
                "127.0.0.1:0",
                "--kubeconfig",
            ])
            .arg(node.path("kubeconfig"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let url = format!("{}/api/status", line.trim().trim_end_matches('/'));
        Self { child, url }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.child.kill().expect("a child of this test");
        self.child.wait().expect("a child of this test");
    }
}

/// A relay of the node's agent with TLS on its side.
struct Relay(Child);

/// An authority's certificate, and one of it with its key, for what the chart says.
fn certificates(name: &str) -> [String; 3] {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names = ["weir-observers.weir-system.svc", name].map(str::to_owned);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    [authority.pem(), certificate.pem(), key.serialize_pem()]
}

impl Relay {
    fn start(node: &Node) -> Self {
        let pem = certificates("localhost");
        let [ca, cert, key] = ["ca.crt", "tls.crt", "tls.key"].map(|file| node.path(file));
        for (file, text) in [&ca, &cert, &key].into_iter().zip(&pem) {
            fs::write(file, text).unwrap();
        }
        let address: SocketAddr = "127.0.0.1:4245".parse().unwrap();
        let child = Command::new(WEIR)
            .args(["relay", "--peer", OBSERVER, "--listen", "127.0.0.1:4245"])
            .arg("--tls-cert")
            .arg(&cert)
            .arg("--tls-key")
            .arg(&key)
            .arg("--tls-client-ca")
            .arg(&ca)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let relay = Self(child);
        wait_for("a relay", || std::net::TcpStream::connect(address).ok());
        let mut pod = part_of_weir(
            "relay",
            "weir-relay-1",
            &["relay", "--listen", "0.0.0.0:4245"],
        );
        pod["spec"]["volumes"] =
            json!([{"name": "observe-tls", "secret": {"secretName": "weir-observe-tls"}}]);
        node.server.put(pod);
        node.server.put(relay.secret(&pem));
        node.server.pod_listens("weir-relay-1", 4245, address);
        relay
    }

    fn secret(&self, [ca, cert, key]: &[String; 3]) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "weir-observe-tls", "namespace": "weir-system"},
            "data": {"ca.crt": base64(ca), "tls.crt": base64(cert), "tls.key": base64(key)}})
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.kill().expect("a child of this test");
        self.0.wait().expect("a child of this test");
    }
}

fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}
