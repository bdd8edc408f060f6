//! What is not TCP, and what the node itself sends: under rules of each kind.

mod probe;

use std::io::Read as _;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use weir_lab::Topology;

use crate::common::{
    PATIENCE, SILENCE, SILENT, TestLab, in_both_families, in_both_topologies, inside,
};
use crate::policies::{ALLOW_GET_HEADERS, DENY_INGRESS, DENY_SLEEP_EGRESS, EGRESS_GET_HEADERS};
use probe::{Try, at, datagrams, ping, pings, refused, silent, web};

in_both_topologies!(
    without_a_policy,
    under_a_rule_for_a_peer,
    under_rules_for_ports,
    under_http_rules,
    under_egress_rules,
    the_node_reaches_its_pods,
    sctp,
);

const SLEEP: &str = "deploy/sleep";
const HTTPBIN: &str = "deploy/httpbin";

/// A policy for the echo's ingress with one rule.
fn for_echo(rule: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: for-echo}}, \
         spec: {{podSelector: {{matchLabels: {{app: echo}}}}, policyTypes: [Ingress], \
         ingress: [{rule}]}}}}"
    )
}

fn from_sleep(ports: &str) -> String {
    for_echo(&format!(
        "{{from: [{{podSelector: {{matchLabels: {{app: sleep}}}}}}], ports: [{ports}]}}"
    ))
}

fn without_a_policy(topology: Topology) {
    let lab = TestLab::up(topology);
    in_both_families(|family| {
        for from in [SLEEP, "stranger", "@node", "@world"] {
            pings(&lab, from, "echo", family);
            datagrams(&lab, from, at(&lab, "echo", family, 9000));
            refused(&lab, from, at(&lab, "echo", family, 9999));
        }
        let service = format!("{}:9000", lab.service("default/echo", family));
        datagrams(&lab, SLEEP, service.parse().unwrap());
    });
}

/// A rule without ports allows every protocol of its peers.
fn under_a_rule_for_a_peer(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(&for_echo(
        "{from: [{podSelector: {matchLabels: {app: sleep}}}]}",
    ));
    in_both_families(|family| {
        pings(&lab, SLEEP, "echo", family);
        datagrams(&lab, SLEEP, at(&lab, "echo", family, 9000));
        refused(&lab, SLEEP, at(&lab, "echo", family, 9999));
        lab.allowed(SLEEP, family, &[&web(&lab, "echo", family)]);
        let tries = [Try::Ping, Try::Udp(9000), Try::Udp(9999), Try::Web];
        for from in ["stranger", "@world"] {
            silent(&lab, "echo", family, &tries.map(|what| (from, what)));
        }
        // What the isolated pod asks itself is answered.
        pings(&lab, "echo", SLEEP, family);
        refused(&lab, "echo", at(&lab, SLEEP, family, 9999));
    });
}

/// A rule with ports allows those of their protocol, and no ping.
fn under_rules_for_ports(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(&from_sleep("{port: 8080}"));
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &[&web(&lab, "echo", family)]);
        // The same number in another protocol is another port.
        let tries = [Try::Ping, Try::Udp(9000), Try::Udp(8080)];
        silent(&lab, "echo", family, &tries.map(|what| (SLEEP, what)));
    });
    lab.apply(&from_sleep("{port: 9000, protocol: UDP}"));
    in_both_families(|family| {
        datagrams(&lab, SLEEP, at(&lab, "echo", family, 9000));
        let tries = [
            (SLEEP, Try::Ping),
            (SLEEP, Try::Web),
            (SLEEP, Try::Udp(9999)),
            ("stranger", Try::Udp(9000)),
        ];
        silent(&lab, "echo", family, &tries);
    });
}

fn under_http_rules(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    in_both_families(|family| {
        lab.forbidden(SLEEP, family, &[&web(&lab, HTTPBIN, family)]);
        let tries = [
            (SLEEP, Try::Ping),
            ("stranger", Try::Ping),
            ("@world", Try::Ping),
            // UDP of the port that the rule is for.
            (SLEEP, Try::Udp(80)),
        ];
        silent(&lab, HTTPBIN, family, &tries);
        pings(&lab, HTTPBIN, SLEEP, family);
    });
}

fn under_egress_rules(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(EGRESS_GET_HEADERS);
    in_both_families(|family| {
        lab.forbidden(SLEEP, family, &["httpbin:8000/get"]);
        silent(&lab, HTTPBIN, family, &[(SLEEP, Try::Ping)]);
        let tries = [Try::Ping, Try::Udp(9000), Try::Web];
        silent(&lab, "echo", family, &tries.map(|what| (SLEEP, what)));
        // Who asks it is answered.
        pings(&lab, "stranger", SLEEP, family);
        refused(&lab, "stranger", at(&lab, SLEEP, family, 9999));
    });
    lab.delete_all("CiliumNetworkPolicy");
    lab.apply(DENY_SLEEP_EGRESS);
    in_both_families(|family| {
        // A pod may not reach its node where it may reach nothing.
        let node = if family.is_v6() {
            "fd00:18::2"
        } else {
            "172.18.0.2"
        };
        assert!(!ping(&lab, SLEEP, node, SILENCE), "the node is reached");
        assert!(
            ping(&lab, "stranger", node, "20"),
            "the node is not reached"
        );
        pings(&lab, "@node", SLEEP, family);
    });
}

/// As the kubelet probes: past every rule, and never through the proxy.
fn the_node_reaches_its_pods(topology: Topology) {
    let lab = TestLab::up(topology);
    for policy in [DENY_INGRESS, ALLOW_GET_HEADERS] {
        lab.apply(policy);
        in_both_families(|family| {
            pings(&lab, "@node", HTTPBIN, family);
            datagrams(&lab, "@node", at(&lab, "echo", family, 9000));
            // A 403 would be the proxy's.
            for path in ["/ip", "/status/200", "/headers"] {
                let url = format!("{}:80{path}", lab.host(HTTPBIN, family));
                let reply = lab.allowed("@node", family, &[&url]);
                let log = lab.access_log(HTTPBIN);
                let port = format!(":{} ", reply.local_port);
                let mut lines = log.iter();
                let seen = lines.any(|line| line.contains(&port) && line.contains(path));
                assert!(seen, "{url} from port {port}: {:?}", log.last());
            }
            let tries = [("@world", Try::Web), ("stranger", Try::Web)];
            silent(&lab, HTTPBIN, family, &tries);
        });
    }
    let counters = lab.status()["counters"].clone();
    assert_eq!(counters["redirect_to_proxy"], 0, "{counters}");
}

/// Policy sees addresses and ports of SCTP; raw sockets play it where the kernel has none.
fn sctp(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(&from_sleep("{port: 9001, protocol: SCTP}"));
    in_both_families(|family| {
        let domain = if family.is_v6() {
            Domain::IPV6
        } else {
            Domain::IPV4
        };
        let open = |pod: &str| {
            let protocol = Some(Protocol::from(132));
            inside(&lab.netns(pod), || Socket::new(domain, Type::RAW, protocol)).unwrap()
        };
        let mut server = open("echo");
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let to = SocketAddr::new(lab.address("echo", family), 0);
        let cases = [
            ("stranger", 9001),
            (SLEEP, 9002),
            (SLEEP, 8080),
            (SLEEP, 9001),
        ];
        for (own, (from, port)) in (5000..).zip(cases) {
            open(from).send_to(&init(own, port), &to.into()).unwrap();
        }
        let mut buffer = [0; 128];
        let length = server.read(&mut buffer).expect("what is allowed");
        assert!(buffer[..length].ends_with(&init(5003, 9001)), "{buffer:?}");
        server.set_read_timeout(Some(SILENT)).unwrap();
        let more = server.read(&mut buffer);
        assert!(more.is_err(), "{more:?}: {buffer:?}");
    });
}

/// An INIT chunk of RFC 9260; nobody here looks at its checksum.
fn init(from: u16, to: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    packet.extend([0; 8]);
    packet.extend([1, 0, 0, 20]);
    packet.extend([0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    packet
}
