//! What a hostile DNS server may say, and who may say that a server said it.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use weir_lab::Topology;

use crate::common::{Family, SILENT, TestLab, in_both_topologies, inside, listen, tcp, wait_for};

in_both_topologies!(
    a_pod_teaches_no_other_through_a_server_of_its_own,
    what_does_not_answer_is_not_learnt,
    a_fake_proxy_is_told_nothing
);

/// A host of the world, and the one that has an attacker's DNS server in these tests.
const WORLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 68);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const IN: u16 = 1;
const CHAOS: u16 = 3;

/// Answer records: owner (`None`: the name asked for), type, class, data.
type Records = Vec<(Option<Vec<u8>>, u16, u16, Vec<u8>)>;

/// What a server says to one name.
#[derive(Clone, Default)]
struct Said {
    code: u8,
    answers: Records,
    additional: Records,
}

/// A DNS server that says what it is told to.
struct Hostile {
    says: Arc<Mutex<HashMap<Vec<u8>, Said>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hostile {
    fn at(lab: &TestLab) -> Self {
        let socket = inside(&lab.netns("@world"), || UdpSocket::bind((SERVER, 53))).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let says = Arc::<Mutex<HashMap<Vec<u8>, Said>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let (words, stopped) = (says.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut query = [0; 512];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut query) else {
                    continue;
                };
                let query = &query[..length];
                let end = question_end(query);
                let said = words.lock().unwrap().get(&query[12..end - 4]).cloned();
                let answer = response(query, end, &said.unwrap_or_default());
                socket.send_to(&answer, from).unwrap();
            }
        });
        Self {
            says,
            stop,
            thread: Some(thread),
        }
    }

    fn say(&self, name: &[u8], said: Said) {
        self.says.lock().unwrap().insert(name.to_vec(), said);
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A name of these labels, as it is sent.
fn name(labels: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in labels {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

fn question_end(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += 1 + usize::from(query[at]);
    }
    at + 5
}

fn response(query: &[u8], end: usize, said: &Said) -> Vec<u8> {
    let mut bytes = query[..end].to_vec();
    bytes[2] |= 0x80;
    bytes[3] = 0x80 | said.code;
    bytes[6..8].copy_from_slice(&(said.answers.len() as u16).to_be_bytes());
    bytes[10..12].copy_from_slice(&(said.additional.len() as u16).to_be_bytes());
    for (owner, kind, class, data) in said.answers.iter().chain(&said.additional) {
        match owner {
            Some(owner) => bytes.extend_from_slice(owner),
            // A pointer to the question's name.
            None => bytes.extend_from_slice(&[0xc0, 12]),
        }
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&class.to_be_bytes());
        bytes.extend_from_slice(&300u32.to_be_bytes());
        bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
        bytes.extend_from_slice(data);
    }
    bytes
}

/// Asks a server as a pod does; gives the code of the answer.
fn ask(lab: &TestLab, pod: &str, server: SocketAddr, name: &[u8], kind: u16) -> u8 {
    let socket = crate::common::udp(&lab.netns(pod), server);
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(name);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&IN.to_be_bytes());
    socket.send(&query).unwrap();
    let mut answer = [0; 512];
    socket.recv(&mut answer).expect("an answer");
    answer[3] & 15
}

/// A pod that may ask a server of its own for anything, and reach what `*.google.com` is.
fn evil(app: &str, names: &str) -> String {
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: {app}}}, \
         spec: {{endpointSelector: {{matchLabels: {{app: {app}}}}}, egress: [\
         {{toCIDR: [{SERVER}/32], toPorts: [{{ports: [{{port: '53', protocol: UDP}}], \
           rules: {{dns: [{{matchPattern: '*'}}]}}}}]}}, \
         {{toFQDNs: [{names}]}}]}}}}"
    )
}

fn reaches(lab: &TestLab, pod: &str, to: SocketAddr) -> bool {
    tcp(&lab.netns(pod), to, SILENT).is_ok()
}

const TARGET: [&[u8]; 3] = [b"www", b"google", b"com"];

fn a(address: Ipv4Addr) -> Said {
    Said {
        answers: vec![(None, A, IN, address.octets().to_vec())],
        ..Said::default()
    }
}

/// `stranger` and `sleep` both may reach `*.google.com`; only `stranger` may ask the attacker.
fn a_pod_teaches_no_other_through_a_server_of_its_own(topology: Topology) {
    let lab = TestLab::up(topology);
    let server = Hostile::at(&lab);
    let names = "{matchPattern: '*.google.com'}";
    lab.apply(&evil("stranger", names));
    lab.apply(&format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: victim}}, \
         spec: {{endpointSelector: {{matchLabels: {{app: sleep}}}}, egress: [\
         {{toEndpoints: [{{matchLabels: {{'k8s:io.kubernetes.pod.namespace': kube-system, k8s-app: kube-dns}}}}], \
           toPorts: [{{ports: [{{port: '53'}}], rules: {{dns: [{names}]}}}}]}}, {{toFQDNs: [{names}]}}]}}}}"
    ));
    let at = SocketAddr::from((WORLD, 8099));
    let _listener = listen(&lab.netns("@world"), at);
    server.say(&name(&TARGET), a(WORLD));
    let dns = SocketAddr::from((SERVER, 53));
    assert_eq!(ask(&lab, "stranger", dns, &name(&TARGET), A), 0);
    assert!(reaches(&lab, "stranger", at), "its own rule opens");
    assert!(
        !reaches(&lab, "deploy/sleep", at),
        "taught by another's server"
    );
    // It asks a server of its own, and its rule opens.
    let google = lab.exec("deploy/sleep", &["dig", "+short", "www.google.com"]);
    let said = String::from_utf8_lossy(&google.stdout).into_owned();
    assert_eq!(said, format!("{WORLD}\n"));
    assert!(reaches(&lab, "deploy/sleep", at));
    // A server that names itself is not asked through the proxy any more, and the name stays.
    let itself = SocketAddr::from((SERVER, 8099));
    let _itself = listen(&lab.netns("@world"), itself);
    server.say(&name(&TARGET), a(SERVER));
    assert_eq!(ask(&lab, "stranger", dns, &name(&TARGET), A), 0);
    assert!(reaches(&lab, "stranger", itself));
    assert_eq!(ask(&lab, "stranger", dns, &name(&TARGET), A), 0);
    assert!(reaches(&lab, "stranger", itself));
    // Another rule: what was learnt for the one before opens nothing.
    lab.delete("CiliumNetworkPolicy", "stranger");
    lab.apply(&evil("stranger", "{matchName: other.test}"));
    assert!(!reaches(&lab, "stranger", at));
}

/// Each answer is refused whole or in part; a good one opens, so the test would notice.
fn what_does_not_answer_is_not_learnt(topology: Topology) {
    let lab = TestLab::up(topology);
    let server = Hostile::at(&lab);
    let names = "{matchPattern: '*.evil.test'}, {matchName: good.test}";
    lab.apply(&evil("stranger", names));
    let echo = lab.address("echo", Family::V4);
    let IpAddr::V4(echo_v4) = echo else {
        unreachable!("asked for IPv4")
    };
    let in_pod = SocketAddr::new(echo, 7400);
    let outside = SocketAddr::from((WORLD, 8099));
    let _listeners = [
        listen(&lab.netns("echo"), in_pod),
        listen(&lab.netns("@world"), outside),
    ];
    let world = WORLD.octets().to_vec();
    let www = name(&[b"www", b"evil", b"test"]);
    let mapped = Ipv6Addr::from(echo_v4.to_ipv6_mapped().octets()).octets();
    let to_outside = [
        (
            "a code",
            A,
            Said {
                code: 3,
                ..a(WORLD)
            },
        ),
        (
            "a class",
            A,
            Said {
                answers: vec![(None, A, CHAOS, world.clone())],
                ..Said::default()
            },
        ),
        (
            "a section",
            A,
            Said {
                additional: vec![(None, A, IN, world.clone())],
                ..Said::default()
            },
        ),
        (
            "an owner",
            A,
            Said {
                answers: vec![(Some(name(&[b"x", b"evil", b"test"])), A, IN, world.clone())],
                ..Said::default()
            },
        ),
        (
            "a type",
            AAAA,
            Said {
                answers: vec![(None, A, IN, world.clone())],
                ..Said::default()
            },
        ),
        (
            "an alias of another",
            A,
            Said {
                answers: vec![
                    (Some(name(&[b"x"])), CNAME, IN, name(&[b"y"])),
                    (Some(name(&[b"y"])), A, IN, world.clone()),
                ],
                ..Said::default()
            },
        ),
    ];
    let dns = SocketAddr::from((SERVER, 53));
    for (what, kind, said) in to_outside {
        server.say(&www, said);
        ask(&lab, "stranger", dns, &www, kind);
        assert!(!reaches(&lab, "stranger", outside), "{what}");
    }
    let odd = name(&[b"a.evil", b"test"]);
    server.say(&odd, a(WORLD));
    ask(&lab, "stranger", dns, &odd, A);
    assert!(!reaches(&lab, "stranger", outside), "a dot in a label");
    // The cluster's own, and the link's.
    for (what, kind, data) in [
        ("a pod", A, echo_v4.octets().to_vec()),
        ("a pod, mapped", AAAA, mapped.to_vec()),
        ("metadata", A, vec![169, 254, 169, 254]),
    ] {
        let said = Said {
            answers: vec![(None, kind, IN, data)],
            ..Said::default()
        };
        server.say(&www, said);
        ask(&lab, "stranger", dns, &www, kind);
        assert!(!reaches(&lab, "stranger", in_pod), "{what}");
        // The pod is still who it was, for those that may reach pods.
        assert!(reaches(&lab, "deploy/sleep", in_pod), "{what}");
    }
    let log = format!("/run/weir/labs/{}/logs/agent.log", lab.name);
    wait_for("what was not learnt, in the log", || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.contains("169.254.169.254 is a link-local address") && log.contains("is the cluster's")
    });
    let good = name(&[b"good", b"test"]);
    server.say(&good, a(WORLD));
    ask(&lab, "stranger", dns, &good, A);
    assert!(reaches(&lab, "stranger", outside), "what answers is learnt");
}

/// Says Hello on the proxy's socket, with a listener of the node's network for each direction.
const FAKE: &str = r#"
import array, json, socket, struct, sys, time
link = socket.socket(socket.AF_UNIX)
link.settimeout(10)
link.connect(sys.argv[1])
listeners, infos = [], []
for direction in sys.argv[3:]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listeners.append(listener)
    infos.append({"direction": direction, "v6": False, "udp": False, "port": listener.getsockname()[1]})
hello = {"type": "hello", "protocol": int(sys.argv[2]), "version": "1", "pid": 1, "started": 2**63, "listeners": infos}
body = json.dumps(hello).encode()
fds = array.array("i", [listener.fileno() for listener in listeners])
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if listeners else []
try:
    link.sendmsg([struct.pack("<I", len(body)) + body], rights)
    told = link.recv(4096)
except (ConnectionResetError, BrokenPipeError):
    told = b""
print(len(told))
"#;

/// Whatever user it is, and with listeners that are not in the private namespaces.
fn a_fake_proxy_is_told_nothing(topology: Topology) {
    let lab = TestLab::up(topology);
    let socket = format!("/run/weir/weir-lab-{}/proxy.sock", lab.name);
    let mode = |path: &str| {
        let path = format!("/run/weir/weir-lab-{}/{path}", lab.name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o711);
    let before = lab.status()["proxy"]["pid"].clone();
    let protocol = weir_link::proxy::PROTOCOL.to_string();
    for (user, directions) in [
        ("65534", &["ingress", "egress"][..]),
        ("65523", &["ingress", "egress"]),
        ("65523", &[]),
        ("0", &["ingress", "egress"]),
    ] {
        let mut fake = Command::new("setpriv");
        fake.args([
            &format!("--reuid={user}"),
            &format!("--regid={user}"),
            "--clear-groups",
        ]);
        fake.args(["/usr/bin/python3", "-c", FAKE, &socket, &protocol])
            .args(directions);
        let output = fake.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(told, "0\n", "{user} {directions:?}: {output:?}");
    }
    assert_eq!(lab.status()["proxy"]["pid"], before, "the proxy in charge");
    let log = fs::read_to_string(format!("/run/weir/labs/{}/logs/agent.log", lab.name)).unwrap();
    for reason in [
        "peer with uid 65534 refused",
        "a listener that is not in the private network namespace",
        "no listener in a private network namespace",
    ] {
        assert!(log.contains(reason), "{reason}");
    }
    // What is learnt is for root alone.
    let server = Hostile::at(&lab);
    lab.apply(&evil("stranger", "{matchName: good.test}"));
    let good = name(&[b"good", b"test"]);
    server.say(&good, a(WORLD));
    ask(&lab, "stranger", SocketAddr::from((SERVER, 53)), &good, A);
    wait_for("the file of names", || {
        fs::exists(format!("/run/weir/weir-lab-{}/state/names.json", lab.name)).unwrap()
    });
    assert_eq!((mode("state"), mode("state/names.json")), (0o700, 0o600));
}
