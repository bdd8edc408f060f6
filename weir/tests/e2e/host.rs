//! Host policies: the node's own traffic, whoever it is with, and nothing else's.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::Value;
use weir_lab::{Topology, UpOptions};
use weir_policy::model::HostPolicies;

use crate::common::{
    FAMILIES, Family, PATIENCE, SILENT, TestLab, in_both_families, in_both_topologies, inside,
    listen, tcp, udp, wait_for, weir,
};
use crate::policies::NODE_PORT;

in_both_topologies!(
    the_node_is_reached_as_policy_says,
    the_node_reaches_what_policy_says_and_its_pods,
    a_proxied_flow_is_no_way_to_the_node,
    what_passes_through_the_node_is_not_the_nodes,
    what_passes_through_makes_no_way_to_the_node,
    the_programs_come_and_go_with_the_policy,
    in_audit_mode_it_is_only_told,
);

const SLEEP: &str = "deploy/sleep";
const OPEN: u16 = 2222;
const CLOSED: u16 = 3333;

fn enforcing(topology: Topology, more: &[&str]) -> TestLab {
    let enforce = |options: &mut UpOptions| options.host_policies = HostPolicies::Enforce;
    TestLab::up_as(topology, more, enforce)
}

fn host_policy(rules: &str) -> String {
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {{name: host}}, \
         spec: {{nodeSelector: {{}}, {rules}}}}}"
    )
}

/// The node's addresses, one of each family.
fn node(family: Family, port: u16) -> SocketAddr {
    let address = match family {
        Family::V4 => "172.18.0.2",
        Family::V6 => "fd00:18::2",
    };
    SocketAddr::new(address.parse().unwrap(), port)
}

fn world(family: Family) -> &'static str {
    match family {
        Family::V4 => "198.51.100.68:80/",
        Family::V6 => "[2001:db8::68]:80/",
    }
}

/// Answers every request on the node with 200, until it is dropped.
struct Server {
    over: Arc<AtomicBool>,
    ports: Vec<u16>,
    netns: String,
}

impl Server {
    fn start(lab: &TestLab, ports: &[u16]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let netns = lab.netns("@node");
        for port in ports {
            let listener = listen(&netns, (Ipv6Addr::UNSPECIFIED, *port).into());
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if over.load(Relaxed) {
                        return;
                    }
                    std::thread::spawn(move || answer(stream));
                }
            });
        }
        Self {
            over,
            ports: ports.to_vec(),
            netns,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for port in &self.ports {
            tcp(&self.netns, ([127, 0, 0, 1], *port).into(), PATIENCE).ok();
        }
    }
}

fn answer(mut stream: std::net::TcpStream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).is_ok_and(|length| length > 0) {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn connects(lab: &TestLab, from: &str, to: SocketAddr) -> bool {
    tcp(&lab.netns(from), to, SILENT).is_ok()
}

fn the_node_is_reached_as_policy_says(topology: Topology) {
    let lab = enforcing(topology, &[]);
    let _server = Server::start(&lab, &[OPEN, CLOSED]);
    let reached = |from: &str, port| {
        let all = FAMILIES.map(|family| connects(&lab, from, node(family, port)));
        assert_eq!(all[0], all[1], "{from} {port}: both families alike");
        all[0]
    };
    for (from, port) in [("@world", OPEN), ("@world", CLOSED), (SLEEP, CLOSED)] {
        assert!(
            reached(from, port),
            "{from} {port}: nothing selects the node"
        );
    }
    lab.apply(&host_policy(&format!(
        "ingress: [{{fromEntities: [world], toPorts: [{{ports: [{{port: '{OPEN}', protocol: TCP}}]}}]}}, \
         {{fromEndpoints: [{{matchLabels: {{app: sleep, k8s:io.kubernetes.pod.namespace: default}}}}]}}]"
    )));
    for (from, port, wanted) in [
        ("@world", OPEN, true),
        ("@world", CLOSED, false),
        (SLEEP, OPEN, true),
        (SLEEP, CLOSED, true),
        ("stranger", OPEN, false),
        ("@node", CLOSED, true),
    ] {
        assert_eq!(reached(from, port), wanted, "{from} {port}");
    }
    // It is told as the node's.
    wait_for("a denied flow to the node", || {
        let output = weir(&[
            "observe",
            "--lab",
            &lab.name,
            "--verdict",
            "DROPPED",
            "--to-port",
            "3333",
            "-o",
            "jsonpb",
        ]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().any(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            let flow = &answer["flow"];
            flow["destination"]["labels"][0] == "reserved:host"
                && flow["traffic_direction"] == "INGRESS"
        })
    });
    let explained = weir(&[
        "explain",
        "--lab",
        &lab.name,
        "--from",
        "stranger",
        "--to",
        "node/lab-node",
        "--port",
        "2222",
    ]);
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        text.contains("CiliumClusterwideNetworkPolicy/host"),
        "{text}"
    );
}

fn the_node_reaches_what_policy_says_and_its_pods(topology: Topology) {
    let lab = enforcing(topology, &[]);
    let before = lab.curl("@node", Family::V4, &[world(Family::V4)]);
    assert_eq!(before.status, 200, "{before:?}");
    lab.apply(&host_policy(
        "ingress: [{}], egress: [{toEntities: [world], toPorts: [{ports: [{port: '81'}]}]}]",
    ));
    in_both_families(|family| {
        lab.dropped("@node", family, &[world(family)]);
        // The kubelet's probes.
        let pod = format!("{}:80/headers", lab.host("deploy/httpbin", family));
        lab.allowed("@node", family, &[&pod]);
    });
    lab.apply(&host_policy(
        "ingress: [{}], egress: [{toEntities: [world], toPorts: [{ports: [{port: '80'}]}]}]",
    ));
    in_both_families(|family| {
        lab.allowed("@node", family, &[world(family)]);
    });
}

fn a_proxied_flow_is_no_way_to_the_node(topology: Topology) {
    let lab = enforcing(topology, &[]);
    let _server = Server::start(&lab, &[CLOSED]);
    lab.apply(&format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: by-http}}, \
         spec: {{endpointSelector: {{matchLabels: {{app: sleep}}}}, egress: [{{toEntities: [host], \
         toPorts: [{{ports: [{{port: '{CLOSED}', protocol: TCP}}], rules: {{http: [{{method: GET}}]}}}}]}}]}}}}"
    ));
    let url = |family| format!("{}/", node(family, CLOSED));
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[&url(family)]);
    }
    lab.apply(&host_policy("ingress: [{fromEntities: [world]}]"));
    for family in FAMILIES {
        // The client is the proxy's, which does not reach the node either.
        let reply = lab.curls(SLEEP, family, "3", &[&url(family)]).remove(0);
        assert_ne!(reply.status, 200, "{family:?}: {reply:?}");
    }
    lab.delete("CiliumClusterwideNetworkPolicy", "host");
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[&url(family)]);
    }
}

fn what_passes_through_the_node_is_not_the_nodes(topology: Topology) {
    let lab = enforcing(topology, &[NODE_PORT]);
    lab.apply(&host_policy("ingress: [{}], egress: [{}]"));
    in_both_families(|family| {
        // Out of the cluster with the node's address, and back.
        lab.allowed(SLEEP, family, &[world(family)]);
        lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
        // In by a node port, and out to the pod with the node's address.
        let way = format!("{}/headers", node(family, 30_080));
        lab.allowed("@world", family, &[&way]);
        lab.allowed(SLEEP, family, &[&way]);
    });
    // The same of datagrams.
    in_both_families(|family| {
        let (server, own) = match family {
            Family::V4 => ("198.51.100.68:5353", "172.18.0.2"),
            Family::V6 => ("[2001:db8::68]:5353", "fd00:18::2"),
        };
        let server: SocketAddr = server.parse().unwrap();
        let echo = inside(&lab.netns("@world"), || UdpSocket::bind(server).unwrap());
        echo.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = udp(&lab.netns(SLEEP), server);
        socket.send(b"there").unwrap();
        let mut bytes = [0; 16];
        let (_, from) = echo.recv_from(&mut bytes).unwrap();
        assert_eq!(
            from.ip().to_string(),
            own,
            "it left with the node's address"
        );
        echo.send_to(b"and back", from).unwrap();
        assert_eq!(socket.recv(&mut bytes).unwrap(), 8);
    });
}

/// A pod sends by the port that the node listens at, and netfilter keeps it.
fn what_passes_through_makes_no_way_to_the_node(topology: Topology) {
    let lab = enforcing(topology, &[]);
    lab.apply(&host_policy("ingress: [{}]"));
    for (family, world, any, own) in [
        (
            Family::V4,
            "198.51.100.68:7790",
            "0.0.0.0:9997",
            "172.18.0.2:9997",
        ),
        (
            Family::V6,
            "[2001:db8::68]:7790",
            "[::]:9997",
            "[fd00:18::2]:9997",
        ),
    ] {
        let (world, own): (SocketAddr, SocketAddr) = (world.parse().unwrap(), own.parse().unwrap());
        let bind = |place: &str, at: SocketAddr| {
            inside(&lab.netns(place), || UdpSocket::bind(at)).unwrap()
        };
        let there = bind("@world", world);
        there.set_read_timeout(Some(PATIENCE)).unwrap();
        let listener = bind("@node", any.parse().unwrap());
        listener.set_read_timeout(Some(SILENT)).unwrap();
        let pod = bind(SLEEP, any.parse().unwrap());
        pod.send_to(b"out", world).unwrap();
        let (_, from) = there.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from.ip(), own.ip(), "{family:?}");
        there.send_to(b"in", own).unwrap();
        assert!(
            listener.recv_from(&mut [0; 16]).is_err(),
            "{family:?}: it reached the node"
        );
    }
}

fn the_programs_come_and_go_with_the_policy(topology: Topology) {
    let lab = enforcing(topology, &[]);
    let _server = Server::start(&lab, &[CLOSED]);
    let pinned = || {
        let root = format!("/sys/fs/bpf/weir/weir-lab-{}", lab.name);
        let versions = std::fs::read_dir(root).unwrap().flatten();
        let links = versions.flat_map(|of| std::fs::read_dir(of.path().join("links")).unwrap());
        let names = links
            .flatten()
            .map(|pin| pin.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("host-")).count()
    };
    assert_eq!(pinned(), 0);
    lab.apply(&host_policy("ingress: [{}]"));
    assert!(pinned() > 0);
    assert!(!connects(&lab, "@world", node(Family::V4, CLOSED)));
    // A pod that comes later is there when its device is judged; a bridge is judged already.
    let before = pinned();
    lab.apply("{apiVersion: v1, kind: Pod, metadata: {name: late}, spec: {containers: [{name: c, image: curlimages/curl}]}}");
    let of_pod = if topology == Topology::Routed { 2 } else { 0 };
    assert_eq!(pinned(), before + of_pod);
    // So is any other device.
    let ip = |words: &str| {
        let mut command = std::process::Command::new("ip");
        command
            .args(["-n", &lab.netns("@node")])
            .args(words.split(' '));
        assert!(command.status().unwrap().success(), "{words}");
    };
    let before = pinned();
    ip("link add late0 type veth peer name late1");
    wait_for("programs at the new devices", || pinned() == before + 4);
    ip("link del late0");
    wait_for("nothing at those that are gone", || pinned() == before);
    lab.delete("CiliumClusterwideNetworkPolicy", "host");
    assert_eq!(pinned(), 0);
    assert!(connects(&lab, "@world", node(Family::V4, CLOSED)));
}

fn in_audit_mode_it_is_only_told(topology: Topology) {
    let lab = TestLab::up(topology);
    let _server = Server::start(&lab, &[CLOSED]);
    lab.apply(&host_policy("ingress: [{}]"));
    assert!(connects(&lab, "@world", node(Family::V4, CLOSED)));
    let listed = weir(&["policy", "get", "--lab", &lab.name]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let line = listed
        .lines()
        .find(|line| line.starts_with("CiliumClusterwide"));
    assert!(line.is_some_and(|line| line.contains("audit")), "{listed}");
    wait_for("what would be denied", || {
        let output = weir(&[
            "observe",
            "--lab",
            &lab.name,
            "--verdict",
            "AUDIT",
            "--to-port",
            "3333",
            "-o",
            "jsonpb",
        ]);
        !output.stdout.is_empty()
    });
}
