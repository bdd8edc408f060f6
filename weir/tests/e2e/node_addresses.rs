//! A node has many addresses, and none of them is a way around what policies say of the node; an
//! address of the cluster's pods is never the world's.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::process::Command;
use std::time::Instant;

use weir_lab::Topology;

use crate::common::{
    FAMILIES, Family, PATIENCE, SILENT, TestLab, in_both_topologies, inside, listen, tcp,
};
use crate::policies::NODE_PORT;

in_both_topologies!(
    a_denied_node_is_denied_by_every_address,
    the_world_opens_no_address_of_the_node,
    a_pods_address_that_no_object_tells_is_not_the_worlds,
    a_node_port_is_no_way_around_an_http_rule,
    a_node_port_is_no_way_around_a_prefix_without_the_pods,
);

const SLEEP: &str = "deploy/sleep";
const PORT: u16 = 8099;
/// What somebody adds to the node's `lo` while the agent runs.
const EXTRA: [&str; 2] = ["192.0.2.53", "fd53::53"];

fn cilium(name: &str, app: &str, rules: &str) -> String {
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: {name}}}, \
         spec: {{endpointSelector: {{matchLabels: {{app: {app}}}}}, {rules}}}}}"
    )
}

fn a_denied_node_is_denied_by_every_address(topology: Topology) {
    let lab = TestLab::up(topology);
    let _server = server(&lab);
    lab.apply(&cilium(
        "no-node",
        "sleep",
        "egress: [{toEntities: [all]}], egressDeny: [{toEntities: [host, remote-node]}]",
    ));
    nowhere(&lab, topology);
    // Everything else is open.
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
    }
}

fn the_world_opens_no_address_of_the_node(topology: Topology) {
    let lab = TestLab::up(topology);
    let _server = server(&lab);
    lab.apply(&cilium("world", "sleep", "egress: [{toEntities: [world]}]"));
    nowhere(&lab, topology);
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[&world(family)]);
    }
}

fn a_pods_address_that_no_object_tells_is_not_the_worlds(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(&cilium(
        "from-world",
        "httpbin",
        "ingress: [{fromEntities: [world]}]",
    ));
    let url = |family| format!("{}:80/headers", lab.host("deploy/httpbin", family));
    for family in FAMILIES {
        lab.allowed("@world", family, &[&url(family)]);
        lab.dropped("stranger", family, &[&url(family)]);
    }
    // The agent forgets the pod, which runs on.
    let before = lab.status()["revision"].as_u64();
    let files = fs::read_dir(lab.manifests()).unwrap().flatten();
    let of_pod = |name: &str| name.starts_with("pod") && name.contains("stranger");
    let mut forgotten = 0;
    for file in files {
        let name = file.file_name().to_string_lossy().to_lowercase();
        if of_pod(&name) {
            fs::remove_file(file.path()).unwrap();
            forgotten += 1;
        }
    }
    assert_eq!(forgotten, 1, "{:?}", lab.manifests());
    until("the agent forgets the pod", || {
        lab.status()["revision"].as_u64() > before
    });
    for family in FAMILIES {
        lab.dropped("stranger", family, &[&url(family)]);
        lab.allowed("@world", family, &[&url(family)]);
    }
}

/// Every address that leads to httpbin, by the node's own ones, too.
fn ways(lab: &TestLab, family: Family, topology: Topology) -> Vec<String> {
    let mut ways = vec![
        format!("{}:80", lab.host("deploy/httpbin", family)),
        format!("{}:8000", lab.service("default/httpbin-outside", family)),
    ];
    let of_node = match (family, topology) {
        (Family::V4, Topology::Routed) => ["172.18.0.2", "169.254.1.1"].as_slice(),
        (Family::V4, Topology::Bridge) => &["172.18.0.2", "10.244.0.1"],
        (Family::V6, Topology::Routed) => &["[fd00:18::2]"],
        (Family::V6, Topology::Bridge) => &["[fd00:18::2]", "[fd00:10:244::1]"],
    };
    ways.extend(of_node.iter().map(|address| format!("{address}:30080")));
    ways
}

fn a_node_port_is_no_way_around_an_http_rule(topology: Topology) {
    let lab = TestLab::up_with(topology, &[NODE_PORT]);
    let reached = |family| {
        for way in ways(&lab, family, topology) {
            lab.allowed(SLEEP, family, &[&format!("{way}/headers")]);
        }
    };
    FAMILIES.into_iter().for_each(reached);
    lab.apply(&cilium(
        "get-headers",
        "sleep",
        "egress: [{toEndpoints: [{matchLabels: {app: httpbin}}], toPorts: [{ports: [{port: '80', protocol: TCP}], \
         rules: {http: [{method: GET, path: /headers}]}}]}, {toEntities: [host, world]}]",
    ));
    for family in FAMILIES {
        for way in ways(&lab, family, topology) {
            lab.allowed(SLEEP, family, &[&format!("{way}/headers")]);
            lab.forbidden(SLEEP, family, &[&format!("{way}/ip")]);
        }
    }
}

fn a_node_port_is_no_way_around_a_prefix_without_the_pods(topology: Topology) {
    let lab = TestLab::up_with(topology, &[NODE_PORT]);
    lab.apply(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: no-pods}, \
         spec: {podSelector: {matchLabels: {app: sleep}}, policyTypes: [Egress], egress: [{to: [\
         {ipBlock: {cidr: 0.0.0.0/0, except: [10.244.0.0/16]}}, \
         {ipBlock: {cidr: '::/0', except: ['fd00:10:244::/48']}}]}]}}",
    );
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[&world(family)]);
        for way in ways(&lab, family, topology) {
            lab.dropped(SLEEP, family, &[&format!("{way}/headers")]);
            lab.allowed("stranger", family, &[&format!("{way}/headers")]);
        }
    }
}

/// Something on the node that answers on all of its addresses, one of them new.
fn server(lab: &TestLab) -> std::net::TcpListener {
    for (address, length) in EXTRA.into_iter().zip(["32", "128"]) {
        let prefix = format!("{address}/{length}");
        let mut command = Command::new("ip");
        let words = [
            "-n",
            &lab.netns("@node"),
            "addr",
            "add",
            &prefix,
            "dev",
            "lo",
        ];
        assert!(command.args(words).status().unwrap().success());
    }
    listen(&lab.netns("@node"), (Ipv6Addr::UNSPECIFIED, PORT).into())
}

/// The pod reaches no address of its node that a pod without a policy reaches.
fn nowhere(lab: &TestLab, topology: Topology) {
    let mut reached = Vec::new();
    for address in addresses(lab) {
        if connects(lab, "stranger", address) {
            until(&format!("{address} is closed to the pod"), || {
                !connects(lab, SLEEP, address)
            });
            reached.push(address.to_string());
        }
    }
    let mut wanted = vec!["172.18.0.2", "fd00:18::2", EXTRA[0], EXTRA[1]];
    wanted.extend(match topology {
        Topology::Routed => ["169.254.1.1"].as_slice(),
        Topology::Bridge => &["10.244.0.1", "fd00:10:244::1"],
    });
    for address in wanted {
        assert!(
            reached.iter().any(|found| found == address),
            "{address} was to be reached by an open pod: {reached:?}"
        );
    }
}

fn connects(lab: &TestLab, pod: &str, address: IpAddr) -> bool {
    let netns = lab.netns(pod);
    let to = match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let scope = inside(&netns, || nix::net::if_::if_nametoindex("eth0").unwrap());
            SocketAddrV6::new(v6, PORT, 0, scope).into()
        }
        other => SocketAddr::new(other, PORT),
    };
    tcp(&netns, to, SILENT).is_ok()
}

/// Every address of the node, loopback left out.
fn addresses(lab: &TestLab) -> Vec<IpAddr> {
    let mut command = Command::new("ip");
    let output = command
        .args(["-o", "-n", &lab.netns("@node"), "addr"])
        .output();
    let listed = String::from_utf8(output.unwrap().stdout).unwrap();
    let words = listed
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3));
    let mut found: Vec<IpAddr> = words
        .filter_map(|prefix| prefix.split('/').next()?.parse().ok())
        .filter(|address: &IpAddr| !address.is_loopback())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn world(family: Family) -> String {
    match family {
        Family::V4 => "198.51.100.68:80/".to_owned(),
        Family::V6 => "[2001:db8::68]:80/".to_owned(),
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
    }
}
