//! A server that takes a body for a request, as a process of a pod, and what curl and a raw client get
//! to it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use weir_lab::Topology;

use crate::common::{
    FAMILIES, Family, PATIENCE, Reply, TestLab, in_both_topologies, tcp, wait_for,
};

in_both_topologies!(
    a_body_of_get_is_no_second_request,
    a_body_that_nobody_asked_for_is_no_second_request
);

const SLEEP: &str = "deploy/sleep";
const POD: &str = "echo";
const PORT: u16 = 7070;
const SERVER: &str = include_str!("bodies.py");
/// What an attacker hides in a body.
const HIDDEN: &str = "GET /secret HTTP/1.1\r\nHost: h\r\n\r\n";

/// So large a body curl does not send unasked.
const LARGE: usize = 2 << 20;
const RULE: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: below-ok
  namespace: default
  annotations: { weir.dev/get-body: BODIES }
spec:
  endpointSelector: { matchLabels: { app: echo } }
  ingress:
  - fromEndpoints: [{ matchLabels: { app: sleep } }]
    toPorts:
    - ports: [{ port: "7070", protocol: TCP }]
      rules: { http: [{ path: "/ok.*" }] }
"#;

/// The server, which ends with the test, and what it took for requests.
struct Lenient {
    process: Child,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Lenient {
    fn start(lab: &TestLab) -> Self {
        let port = PORT.to_string();
        let words = ["python3", "-c", SERVER, &port];
        let mut command = lab.lab.command(POD, "default", &words).unwrap();
        let mut process = command.stdout(Stdio::piped()).spawn().expect("python3");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            process,
            seen: Arc::clone(&seen),
        };
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        wait_for("the lenient server", || server.took() == ["ready"]);
        server
    }

    /// What it took for requests since the last time.
    fn took(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// The same, up to this request, which is the last one.
    fn took_until(&self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        wait_for(last, || {
            all.extend(self.took());
            all.iter().any(|seen| seen == last)
        });
        all
    }
}

impl Drop for Lenient {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn server(lab: &TestLab, family: Family) -> SocketAddr {
    SocketAddr::new(lab.address(POD, family), PORT)
}

fn curl(lab: &TestLab, family: Family, path: &str, words: &[&str]) -> Reply {
    let url = format!("http://{}{path}", server(lab, family));
    lab.curl(SLEEP, family, &[words, &[&url]].concat())
}

/// Sends these bytes at once, ends, and reads all that comes.
fn raw(lab: &TestLab, family: Family, bytes: &str) -> String {
    let mut stream = tcp(&lab.netns(SLEEP), server(lab, family), PATIENCE).unwrap();
    // Who is refused may hear of it before all is sent.
    stream.write_all(bytes.as_bytes()).ok();
    stream.shutdown(Shutdown::Write).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn with_length(line: &str, more: &str) -> String {
    let length = HIDDEN.len();
    format!("{line} HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {length}\r\n\r\n{HIDDEN}")
}

fn chunked(line: &str, more: &str) -> String {
    let length = HIDDEN.len();
    format!(
        "{line} HTTP/1.1\r\nHost: h\r\n{more}Transfer-Encoding: chunked\r\n\r\n\
         {length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"
    )
}

fn answers(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 "))
        .collect()
}

/// Whatever was sent before: this comes last and is the only thing that came.
fn nothing_else_came(lab: &TestLab, lenient: &Lenient, family: Family) {
    let reply = curl(lab, family, "/ok/last", &[]);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(lenient.took_until("GET /ok/last 0"), ["GET /ok/last 0"]);
}

fn a_body_of_get_is_no_second_request(topology: Topology) {
    let lab = TestLab::up(topology);
    let lenient = Lenient::start(&lab);
    let get = ["-X", "GET", "--data-binary", HIDDEN];
    for family in FAMILIES {
        // The control: without a policy the server is taken in.
        assert_eq!(curl(&lab, family, "/ok", &get).status, 200);
        assert_eq!(
            lenient.took_until("GET /secret 0"),
            ["GET /ok 0", "GET /secret 0"]
        );
        let said = raw(&lab, family, &with_length("GET /ok", ""));
        assert_eq!(answers(&said), ["200 OK", "200 OK"]);
        lenient.took_until("GET /secret 0");
    }
    lab.apply(&RULE.replace("BODIES", "refuse"));
    for family in FAMILIES {
        let reply = curl(&lab, family, "/ok", &get);
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(
            reply.body.contains("body on a method without one"),
            "{reply:?}"
        );
        for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
            let line = format!("{method} /ok");
            let expects = "Expect: 100-continue\r\n";
            for bytes in [
                with_length(&line, ""),
                chunked(&line, ""),
                with_length(&line, expects),
                chunked(&line, expects),
            ] {
                let said = raw(&lab, family, &bytes);
                assert_eq!(answers(&said), ["400 Bad Request"], "{bytes}");
            }
        }
        nothing_else_came(&lab, &lenient, family);
    }
    // Whoever writes the annotation says that the server reads them; what comes after is judged.
    lab.apply(&RULE.replace("BODIES", "allow"));
    for family in FAMILIES {
        let reply = curl(&lab, family, "/ok/reads", &get);
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok\n"));
        let came = format!("GET /ok/reads {}", HIDDEN.len());
        assert_eq!(lenient.took_until(&came), [came.as_str()]);
        let both = format!("{}{HIDDEN}", with_length("GET /ok/reads", ""));
        let said = raw(&lab, family, &both);
        assert_eq!(answers(&said), ["200 OK", "403 Forbidden"], "{said}");
        assert_eq!(lenient.took_until(&came), [came.as_str()]);
        nothing_else_came(&lab, &lenient, family);
    }
}

fn a_body_that_nobody_asked_for_is_no_second_request(topology: Topology) {
    let lab = TestLab::up(topology);
    let lenient = Lenient::start(&lab);
    let expects = "Expect: 100-continue\r\n";
    let upload = tempfile::NamedTempFile::new().unwrap();
    fs::write(&upload, vec![b'x'; LARGE]).unwrap();
    let upload = upload.path().to_str().unwrap();
    for family in FAMILIES {
        // The control: a server that answers without the body takes it for the next request.
        let said = raw(&lab, family, &with_length("PUT /ok", expects));
        assert_eq!(answers(&said), ["200 OK", "200 OK"]);
        assert_eq!(
            lenient.took_until("GET /secret 0"),
            ["PUT /ok 0", "GET /secret 0"]
        );
    }
    lab.apply(&RULE.replace("BODIES", "refuse"));
    for family in FAMILIES {
        for bytes in [
            with_length("PUT /ok", expects),
            chunked("POST /ok", expects),
        ] {
            let said = raw(&lab, family, &bytes);
            assert_eq!(answers(&said), ["200 OK"], "{bytes}");
        }
        let took = lenient.took_until("POST /ok 0");
        assert_eq!(took, ["PUT /ok 0", "POST /ok 0"]);
        // Who is asked for the body sends it.
        let said = raw(&lab, family, &with_length("PUT /ok/asking", expects));
        assert_eq!(answers(&said), ["100 Continue", "200 OK"], "{said}");
        let came = format!("PUT /ok/asking {}", HIDDEN.len());
        assert_eq!(lenient.took_until(&came), [came.as_str()]);
        // Of a large body curl asks by itself, and tries again without, while it still waits.
        let large = ["-T", upload, "--expect100-timeout", "30"];
        let reply = curl(&lab, family, "/ok/silent", &large);
        assert_eq!(reply.status, 200, "{reply:?}");
        let came = format!("PUT /ok/silent {LARGE}");
        assert_eq!(lenient.took_until(&came), ["PUT /ok/silent -", &came]);
        nothing_else_came(&lab, &lenient, family);
    }
}
