//! An open WebSocket, a CONNECT and a TLS connection while policies change, in both directions.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;
use weir_lab::Topology;

use crate::common::{FAMILIES, PATIENCE, TestLab, in_both_topologies, listen, tcp, wait_for, weir};
use crate::language::hello;
use crate::policies::DENY_INGRESS;

in_both_topologies!(
    tunnels_end_with_the_rule_that_allows_them,
    tunnels_end_with_the_peer_that_may_open_them,
);

const SLEEP: &str = "deploy/sleep";
const UPGRADE: &str =
    "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
const CONNECT: &str = "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
const GO: &str = "HTTP/1.1 200 Go\r\n\r\n";

/// Port, what the client says first, and what the server answers.
fn kinds() -> [(u16, Vec<u8>, &'static [u8]); 3] {
    [
        (7101, UPGRADE.into(), SWITCH.as_bytes()),
        (7102, CONNECT.into(), GO.as_bytes()),
        (7103, hello("a.example"), b"hello"),
    ]
}

/// Rules for the three ports, of the echo's ingress or of the sleep's egress.
fn rules(direction: &str, path: &str, method: &str, name: &str) -> String {
    let (app, side) = match direction {
        "ingress" => ("echo", "ingress: [{fromEndpoints: [{}]"),
        _ => (
            "sleep",
            "egress: [{toEndpoints: [{matchLabels: {app: echo}}]",
        ),
    };
    let port = |port: u16| format!("ports: [{{port: '{port}', protocol: TCP}}]");
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: tunnels}}, \
         spec: {{endpointSelector: {{matchLabels: {{app: {app}}}}}, {side}, toPorts: [\
         {{{}, rules: {{http: [{{method: GET, path: {path}}}]}}}}, \
         {{{}, rules: {{http: [{{method: {method}}}]}}}}, \
         {{{}, serverNames: [{name}]}}]}}]}}}}",
        port(7101),
        port(7102),
        port(7103),
    )
}

/// An open tunnel, from both its ends.
struct Tunnel {
    what: String,
    near: TcpStream,
    far: TcpStream,
    _listener: TcpListener,
}

impl Tunnel {
    fn open(lab: &TestLab, at: SocketAddr, first: &[u8], answer: &[u8]) -> Self {
        let listener = listen(&lab.netns("echo"), at);
        let mut near = tcp(&lab.netns(SLEEP), at, PATIENCE).unwrap();
        near.write_all(first).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        expect(&mut far, first);
        far.write_all(answer).unwrap();
        expect(&mut near, answer);
        let mut open = Self {
            what: at.to_string(),
            near,
            far,
            _listener: listener,
        };
        open.passes();
        open
    }

    fn passes(&mut self) {
        self.near.write_all(b"ping").unwrap();
        expect(&mut self.far, b"ping");
        self.far.write_all(b"pong").unwrap();
        expect(&mut self.near, b"pong");
    }

    /// Both ends are told, and not only once they speak.
    fn ends(&mut self) {
        for (end, side) in [(&mut self.near, "client"), (&mut self.far, "server")] {
            let error = end.read(&mut [0]).expect_err("an end");
            let kind = error.kind();
            assert_eq!(kind, ErrorKind::ConnectionReset, "{} {side}", self.what);
        }
    }
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).expect("bytes of the tunnel");
    assert_eq!(read, bytes);
}

/// One of each kind in each family.
fn open_all(lab: &TestLab) -> Vec<Tunnel> {
    let mut open = Vec::new();
    for family in FAMILIES {
        for (port, first, answer) in kinds() {
            let at = SocketAddr::new(lab.address("echo", family), port);
            open.push(Tunnel::open(lab, at, &first, answer));
        }
    }
    open
}

/// The records that say that a tunnel was ended.
fn ended(lab: &TestLab) -> Vec<Value> {
    let words = ["observe", "--lab", &lab.name, "--all", "--why"];
    let output = weir(&[&words[..], &["--verdict", "DROPPED", "-o", "jsonpb"]].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let flows = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["flow"].clone()
    });
    let open = "the connection was open, allowed by revision";
    let ended = |flow: &Value| flow["weir"]["reason"].to_string().contains(open);
    flows.filter(ended).collect()
}

/// One record for each port and family, with the policy's direction.
fn all_are_told(lab: &TestLab, direction: &str) {
    let direction = direction.to_ascii_uppercase();
    let mut told = Vec::new();
    wait_for("a record of each tunnel", || {
        told = ended(lab);
        told.retain(|flow| flow["traffic_direction"] == direction.as_str());
        told.len() >= 6
    });
    let mut seen: Vec<String> = told
        .iter()
        .map(|flow| {
            let (to, port) = (
                &flow["IP"]["destination"],
                &flow["l4"]["TCP"]["destination_port"],
            );
            format!("{to} {port}")
        })
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!((told.len(), seen.len()), (6, 6), "{told:#?}");
}

/// Rules that still allow them leave them alone, rules for something else end them.
fn tunnels_end_with_the_rule_that_allows_them(topology: Topology) {
    let lab = TestLab::up(topology);
    for direction in ["ingress", "egress"] {
        lab.apply(&rules(direction, "/chat", "CONNECT", "a.example"));
        let mut open = open_all(&lab);
        lab.apply(&rules(direction, "/c.*", "CON.*", "'*.example'"));
        open.iter_mut().for_each(Tunnel::passes);
        assert_eq!(
            ended(&lab).len(),
            if direction == "ingress" { 0 } else { 6 }
        );
        lab.apply(&rules(direction, "/other", "GET", "b.example"));
        open.iter_mut().for_each(Tunnel::ends);
        all_are_told(&lab, direction);
        lab.delete_all("CiliumNetworkPolicy");
    }
    let check = &lab.status()["self_check"];
    assert_eq!(check["mismatches"], 0, "{check}");
}

/// No policy any more: they go on. One that allows nobody: they end, idle as they are.
fn tunnels_end_with_the_peer_that_may_open_them(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(&rules("ingress", "/chat", "CONNECT", "a.example"));
    let mut open = open_all(&lab);
    lab.delete_all("CiliumNetworkPolicy");
    open.iter_mut().for_each(Tunnel::passes);
    lab.apply(DENY_INGRESS);
    open.iter_mut().for_each(Tunnel::ends);
    all_are_told(&lab, "ingress");
}
