//! HTTP/2 and gRPC under HTTP rules, between programs of others: curl, nghttp, nghttpd and Python's
//! grpcio.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use weir_lab::Topology;

use crate::common::{FAMILIES, Family, TestLab, in_both_topologies, wait_for, weir};

in_both_topologies!(
    each_stream_is_judged_by_ingress_rules,
    each_stream_is_judged_by_egress_rules,
    calls_of_grpc_are_judged_by_ingress_rules,
    calls_of_grpc_are_judged_by_egress_rules,
    a_call_ends_with_the_rule_that_allows_it,
    a_server_of_http1_is_told,
);

const SLEEP: &str = "deploy/sleep";
const POD: &str = "echo";
const GRPC: u16 = 7301;
const WEB: u16 = 7302;
const SCRIPT: &str = include_str!("calls.py");

/// A program of a pod, which ends with the test, and the lines that it says.
struct Running {
    process: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(lab: &TestLab, pod: &str, words: &[&str]) -> Self {
        let mut command = lab.lab.command(pod, "default", words).unwrap();
        command.env("PYTHONPATH", tools().join("grpc"));
        command.env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect(words[0]);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let running = Self {
            process,
            said: Arc::clone(&said),
        };
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                said.lock().unwrap().push(line);
            }
        });
        running
    }

    /// Waits for a line; gives all there are.
    fn until(&self, what: &str) -> Vec<String> {
        let mut all = Vec::new();
        wait_for(what, || {
            all.clone_from(&self.said.lock().unwrap());
            all.iter().any(|line| line.contains(what))
        });
        all
    }

    fn tell(&mut self, line: &str) {
        let input = self.process.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Where scripts/setup.sh puts what tests run against.
#[allow(
    clippy::disallowed_methods,
    reason = "a test is told by its environment"
)]
fn tools() -> PathBuf {
    let own = std::env::var_os("WEIR_CACHE").map(PathBuf::from);
    let home = || Path::new(&std::env::var_os("HOME").expect("HOME")).join(".cache/weir");
    own.unwrap_or_else(home).join("tools")
}

fn python<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["python3", "-c", SCRIPT], words].concat()
}

fn grpc_server(lab: &TestLab) -> Running {
    let port = GRPC.to_string();
    let server = Running::start(lab, POD, &python(&["server", &port]));
    server.until("ready");
    server
}

/// What came of these calls over one channel: a line each.
fn calls(lab: &TestLab, family: Family, names: &[&str]) -> Vec<String> {
    let address = format!("{}:{GRPC}", lab.host(POD, family));
    let words = python(&["client", &address]);
    let mut client = Running::start(lab, SLEEP, &[&words, names].concat());
    client.process.wait().unwrap();
    wait_for("what the client says", || {
        client.said.lock().unwrap().len() == names.len()
    });
    client.said.lock().unwrap().clone()
}

/// A server of HTTP/2 with files.
fn web_server(lab: &TestLab) -> (Running, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    std::fs::create_dir(files.path().join("ok")).unwrap();
    for name in ["ok/a", "ok/b", "secret"] {
        std::fs::write(files.path().join(name), name).unwrap();
    }
    std::fs::write(files.path().join("ok/large"), vec![b'x'; 4 << 20]).unwrap();
    let (folder, port) = (files.path().to_str().unwrap(), WEB.to_string());
    let words = ["nghttpd", "--no-tls", "--echo-upload", "-d", folder, &port];
    (Running::start(lab, POD, &words), files)
}

/// HTTP rules for both ports, of the echo's ingress or of the sleep's egress.
fn rules(direction: &str, http: &str) -> String {
    let (app, side) = match direction {
        "ingress" => (
            "echo",
            "ingress: [{fromEndpoints: [{matchLabels: {app: sleep}}]",
        ),
        _ => (
            "sleep",
            "egress: [{toEndpoints: [{matchLabels: {app: echo}}]",
        ),
    };
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: http2}}, \
         spec: {{endpointSelector: {{matchLabels: {{app: {app}}}}}, {side}, toPorts: [\
         {{ports: [{{port: '{GRPC}', protocol: TCP}}, {{port: '{WEB}', protocol: TCP}}], \
         rules: {{http: [{http}]}}}}]}}]}}}}"
    )
}

fn each_stream_is_judged_by_ingress_rules(topology: Topology) {
    each_stream_is_judged(&TestLab::up(topology), "ingress");
}

fn each_stream_is_judged_by_egress_rules(topology: Topology) {
    each_stream_is_judged(&TestLab::up(topology), "egress");
}

fn each_stream_is_judged(lab: &TestLab, direction: &str) {
    let (_server, _files) = web_server(lab);
    let known = ["--http2-prior-knowledge"];
    for family in FAMILIES {
        let url = format!("http://{}:{WEB}/secret", lab.host(POD, family));
        wait_for("the web server", || {
            lab.curl(SLEEP, family, &[known[0], &url]).status == 200
        });
    }
    lab.apply(&rules(
        direction,
        "{method: GET, path: '/ok/.*'}, {method: POST, path: /ok/upload}",
    ));
    for family in FAMILIES {
        let root = format!("http://{}:{WEB}", lab.host(POD, family));
        for (path, status, body) in [
            ("/ok/a", 200, "ok/a"),
            ("/secret", 403, "Access denied\r\n"),
            ("/ok/../secret", 403, "Access denied\r\n"),
        ] {
            let url = format!("{root}{path}");
            let reply = lab.curl(SLEEP, family, &[known[0], "--path-as-is", &url]);
            assert_eq!(
                (reply.status, reply.body.as_str()),
                (status, body),
                "{reply:?}"
            );
        }
        // One after another on one connection, which a denial leaves open.
        let (good, bad) = (format!("{root}/ok/b"), format!("{root}/secret"));
        let words = ["h2load", "-n", "20", "-c", "1", "-m", "1", &good, &bad];
        let said = lab.exec(SLEEP, &words).stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        if family.is_v6() {
            // It leaves out the brackets of an address, which is no host then.
            assert!(said.contains(" 20 errored, 0 timeout"), "{said}");
        } else {
            assert!(said.contains("10 2xx, 0 3xx, 10 4xx, 0 5xx"), "{said}");
            assert!(said.contains(" 0 errored, 0 timeout"), "{said}");
        }
        // Large bodies, both ways at once.
        let upload = format!("{root}/ok/upload");
        let body = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(body.path(), vec![b'y'; 4 << 20]).unwrap();
        let data = format!("@{}", body.path().display());
        let reply = lab.curl(SLEEP, family, &[known[0], "--data-binary", &data, &upload]);
        assert_eq!((reply.status, reply.body.len()), (200, 4 << 20));
        // Many streams at once, of nghttp.
        let (large, secret) = (format!("{root}/ok/large"), format!("{root}/secret"));
        let words = ["nghttp", "-ns", "-m", "10", &large, &secret];
        let output = lab.exec(SLEEP, &words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let status = |code: &str| said.lines().filter(|line| line.contains(code)).count();
        assert_eq!((status(" 200 "), status(" 403 ")), (10, 10), "{said}");
        assert!(said.contains("4M") || said.contains("4096K"), "{said}");
    }
    told(lab, direction, "/ok/a", "FORWARDED");
    told(lab, direction, "/secret", "DROPPED");
}

/// What was asked over HTTP/2 is observed, with the direction of its rules.
fn told(lab: &TestLab, direction: &str, path: &str, verdict: &str) -> Value {
    let mut found = Value::Null;
    wait_for("a record", || {
        let words = [
            "observe",
            "--lab",
            &lab.name,
            "--all",
            "--why",
            "--verdict",
            verdict,
            "-o",
            "jsonpb",
        ];
        let output = weir(&words);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let flows = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let fits = |flow: &Value| {
            let url = flow["l7"]["http"]["url"].as_str().unwrap_or_default();
            url.ends_with(path)
                && flow["l7"]["http"]["protocol"] == "HTTP/2"
                && flow["traffic_direction"] == direction.to_ascii_uppercase().as_str()
        };
        let flow = flows.map(|line| line["flow"].clone()).find(fits);
        flow.map(|flow| found = flow).is_some()
    });
    found
}

fn calls_of_grpc_are_judged_by_ingress_rules(topology: Topology) {
    calls_are_judged(&TestLab::up(topology), "ingress");
}

fn calls_of_grpc_are_judged_by_egress_rules(topology: Topology) {
    calls_are_judged(&TestLab::up(topology), "egress");
}

const ALL: [&str; 8] = [
    "Health", "Unary", "Missing", "Large", "Trailers", "Stream", "Collect", "Chat",
];

fn calls_are_judged(lab: &TestLab, direction: &str) {
    let server = grpc_server(lab);
    let good = |family: Family| {
        // The server sees the client.
        let peer = lab.address(SLEEP, family).to_string();
        let kind = if family.is_v6() { "ipv6:" } else { "ipv4:" };
        let lines = calls(lab, family, &ALL);
        assert!(
            lines[1].starts_with(&format!("Unary OK {kind}")),
            "{lines:?}"
        );
        assert!(lines[1].contains(&peer), "{lines:?}");
        let rest = [
            "Health OK SERVING",
            "Missing NOT_FOUND there is no such thing",
            "Large OK 8388608",
            "Trailers OK kept",
            "Stream OK 0,1,2,3,4",
            "Collect OK 5",
            "Chat OK re: a,re: b",
        ];
        assert_eq!([&lines[..1], &lines[2..]].concat(), rest);
    };
    FAMILIES.into_iter().for_each(good);
    lab.apply(&rules(
        direction,
        "{method: POST, path: '/(echo.Echo|grpc.health.v1.Health)/.*'}",
    ));
    FAMILIES.into_iter().for_each(good);
    // A deadline of the client's is the client's.
    for family in FAMILIES {
        let lines = calls(lab, family, &["Late", "Unary"]);
        assert!(lines[0].starts_with("Late DEADLINE_EXCEEDED"), "{lines:?}");
        assert!(lines[1].starts_with("Unary OK"), "{lines:?}");
    }
    lab.apply(&rules(direction, "{method: POST, path: /echo.Echo/Unary}"));
    let before = server.until("unary").len();
    for family in FAMILIES {
        let lines = calls(lab, family, &["Chat", "Unary", "Stream", "Health", "Unary"]);
        for (line, name) in lines.iter().zip(["Chat", "", "Stream", "Health"]) {
            let denied = format!("{name} PERMISSION_DENIED Access denied");
            assert!(name.is_empty() || *line == denied, "{lines:?}");
        }
        assert!(
            lines[1].starts_with("Unary OK") && lines[4].starts_with("Unary OK"),
            "{lines:?}"
        );
    }
    // Nothing of what was denied came to the server.
    let came = server.until("unary");
    assert!(
        came[before..].iter().all(|line| line.starts_with("unary")),
        "{came:?}"
    );
    told(lab, direction, "/echo.Echo/Unary", "FORWARDED");
    told(lab, direction, "/echo.Echo/Chat", "DROPPED");
}

fn a_call_ends_with_the_rule_that_allows_it(topology: Topology) {
    for direction in ["ingress", "egress"] {
        let lab = TestLab::up(topology);
        let server = grpc_server(&lab);
        lab.apply(&rules(direction, "{method: POST, path: '/echo.Echo/.*'}"));
        let mut open = FAMILIES.map(|family| {
            let address = format!("{}:{GRPC}", lab.host(POD, family));
            let mut client = Running::start(&lab, SLEEP, &python(&["hold", &address]));
            client.tell("first");
            client.until("came re: first");
            client
        });
        // What still allows it leaves it alone.
        lab.apply(&rules(
            direction,
            "{method: POST, path: '/echo.Echo/(Chat|Unary)'}",
        ));
        for client in &mut open {
            client.tell("second");
            client.until("came re: second");
        }
        lab.apply(&rules(direction, "{method: POST, path: /echo.Echo/Unary}"));
        for client in &mut open {
            client.tell("third");
            let said = client.until("then");
            let rest: Vec<_> = said.iter().skip(2).map(String::as_str).collect();
            assert_eq!(rest[0], "ended CANCELLED", "{said:?}");
            assert!(rest[1].starts_with("then OK"), "{said:?}");
        }
        assert!(
            !server
                .until("chat second")
                .iter()
                .any(|line| line == "chat third")
        );
        let flow = told(&lab, direction, "/echo.Echo/Chat", "DROPPED");
        let reason = flow["weir"]["reason"].to_string();
        assert!(reason.contains("the connection was open"), "{reason}");
    }
}

/// One that speaks HTTP/1 only: a clear answer, and nothing of the request goes there.
fn a_server_of_http1_is_told(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(crate::policies::ALLOW_GET_HEADERS);
    for family in FAMILIES {
        let before = lab.access_log("deploy/httpbin").len();
        let url = format!("http://{}:80/headers", lab.host("deploy/httpbin", family));
        let reply = lab.curl(SLEEP, family, &["--http2-prior-knowledge", &url]);
        assert_eq!((reply.status, reply.exit), (502, 0), "{reply:?}");
        assert_eq!(reply.body, "the server does not speak HTTP/2\r\n");
        let log = lab.access_log("deploy/httpbin");
        assert!(
            !log[before..].iter().any(|line| line.contains("headers")),
            "{log:?}"
        );
        // HTTP/1 goes on beside it.
        lab.allowed(SLEEP, family, &[&url]);
    }
    told(&lab, "ingress", "/headers", "ERROR");
}
