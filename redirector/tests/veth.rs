//! Finding the node's end of a pod's veth, in network namespaces that play a node and its pods.
//!
//! Needs root, network namespaces and iproute2; fails where they are missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    net::IpAddr,
    process::{Child, Command, Stdio},
    thread,
};

use nix::sched::{CloneFlags, setns};
use weir_redirector::network::veth;

/// A node in a network namespace of its own, with pods that live as long as it does.
struct Node {
    name: String,
    pods: Vec<String>,
    /// What keeps network namespaces that have no name.
    processes: Vec<Child>,
}

impl Node {
    fn new(test: &str) -> Self {
        let name = format!("vt{}{test}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Self {
            name,
            pods: Vec::new(),
            processes: Vec::new(),
        }
    }

    fn ip(&self, words: &[&str]) {
        run("ip", &[&["-n", &self.name], words].concat());
    }

    /// A pod with an address, joined to the node by a veth.
    fn pod(&mut self, short: &str, address: &str) -> String {
        let netns = format!("{}{short}", self.name);
        run("ip", &["netns", "add", &netns]);
        let node_end = format!("v{short}");
        self.ip(&[
            "link", "add", &node_end, "type", "veth", "peer", "name", "eth0", "netns", &netns,
        ]);
        self.ip(&["link", "set", &node_end, "up"]);
        run("ip", &["-n", &netns, "link", "set", "eth0", "up"]);
        run(
            "ip",
            &["-n", &netns, "addr", "add", address, "dev", "eth0", "nodad"],
        );
        self.pods.push(netns.clone());
        netns
    }

    /// Takes a pod's network namespace its name; from now on a process keeps it.
    fn take_name(&mut self, netns: &str) {
        let sleeping = sleeping_in(netns);
        let entered = || {
            let at = |path: &str| {
                std::fs::metadata(path).map(|m| std::os::unix::fs::MetadataExt::ino(&m))
            };
            at(&format!("/proc/{}/ns/net", sleeping.id())).ok()
                == at(&format!("/run/netns/{netns}")).ok()
        };
        while !entered() {
            thread::yield_now();
        }
        run("ip", &["netns", "del", netns]);
        self.pods.retain(|pod| pod != netns);
        self.processes.push(sleeping);
    }

    /// Runs something as the node.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).expect("the node's netns");
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&file, CloneFlags::CLONE_NEWNET).expect("these tests need root");
                work()
            });
            thread.join().expect("it goes well")
        })
    }

    fn find(&self, addresses: &[&str]) -> BTreeMap<String, String> {
        let wanted: BTreeSet<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let found = self.within(|| veth::of_addresses(&wanted).unwrap().found);
        found
            .into_iter()
            .map(|(a, name)| (a.to_string(), name))
            .collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for child in &mut self.processes {
            child.kill().expect("a child of this test");
            child.wait().expect("a child of this test");
        }
        for netns in &self.pods {
            run("ip", &["netns", "del", netns]);
        }
        run("ip", &["netns", "del", &self.name]);
    }
}

/// A process that keeps a netns in use. It holds nothing of this test's open.
fn sleeping_in(netns: &str) -> Child {
    Command::new("ip")
        .args(["netns", "exec", netns, "sleep", "60"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("iproute2")
}

fn run(program: &str, words: &[&str]) {
    let output = Command::new(program)
        .args(words)
        .output()
        .expect("iproute2");
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn found(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn by_the_route_to_one_address() {
    let mut node = Node::new("r");
    node.pod("a", "10.9.0.2/32");
    node.ip(&["route", "add", "10.9.0.2/32", "dev", "va"]);
    assert_eq!(
        node.find(&["10.9.0.2", "10.9.0.3"]),
        found(&[("10.9.0.2", "va")])
    );
}

#[test]
fn behind_a_bridge_in_both_families() {
    let mut node = Node::new("b");
    node.ip(&["link", "add", "cni0", "type", "bridge"]);
    for (short, v4, v6) in [
        ("a", "10.9.0.2/24", "fd09::2/64"),
        ("b", "10.9.0.3/24", "fd09::3/64"),
    ] {
        let netns = node.pod(short, v4);
        run(
            "ip",
            &["-n", &netns, "addr", "add", v6, "dev", "eth0", "nodad"],
        );
        node.ip(&["link", "set", &format!("v{short}"), "master", "cni0"]);
    }
    let everything = found(&[("10.9.0.2", "va"), ("10.9.0.3", "vb"), ("fd09::3", "vb")]);
    let find = |node: &Node| node.find(&["10.9.0.2", "10.9.0.3", "fd09::3"]);
    // By the names of the namespaces, and by the processes in them.
    assert_eq!(find(&node), everything);
    let named = node.pods.clone();
    node.take_name(&named[0]);
    assert_eq!(find(&node), everything);
}

#[test]
fn an_address_that_two_pods_claim_is_nobodys() {
    let mut node = Node::new("d");
    node.pod("a", "10.9.0.2/24");
    let thief = node.pod("b", "10.9.0.3/24");
    run(
        "ip",
        &["-n", &thief, "addr", "add", "10.9.0.2/24", "dev", "eth0"],
    );
    assert_eq!(
        node.find(&["10.9.0.2", "10.9.0.3"]),
        found(&[("10.9.0.3", "vb")])
    );
}

/// A pod that may make interfaces has a namespace of its own making, whose veth says that its
/// other end is number so-and-so: on the node that number is somebody else's.
#[test]
fn what_a_pod_makes_inside_is_not_believed() {
    let mut node = Node::new("n");
    // So that a number of the node's is free in the pod.
    for name in ["x", "y", "z"] {
        node.ip(&["link", "add", name, "type", "bridge"]);
    }
    node.pod("a", "10.9.0.2/24");
    let index = node
        .within(|| nix::net::if_::if_nametoindex("va").unwrap())
        .to_string();
    let pod = node.pod("b", "10.9.0.3/24");
    let nested = format!("{pod}x");
    run("ip", &["netns", "add", &nested]);
    node.pods.push(nested.clone());
    run(
        "ip",
        &[
            "-n", &pod, "link", "add", "inner", "index", &index, "type", "veth", "peer", "name",
            "eth0", "netns", &nested,
        ],
    );
    run(
        "ip",
        &["-n", &nested, "addr", "add", "10.9.0.77/24", "dev", "eth0"],
    );
    assert_eq!(
        node.find(&["10.9.0.77", "10.9.0.3"]),
        found(&[("10.9.0.3", "vb")])
    );
}

#[test]
fn by_the_namespace_and_the_name_of_the_pods_end() {
    let mut node = Node::new("h");
    let netns = node.pod("a", "10.9.0.2/24");
    let side =
        |interface| node.within(|| veth::host_side(&netns, interface).map_err(|e| e.to_string()));
    assert_eq!(side(Some("eth0")).unwrap(), "va");
    assert_eq!(side(None).unwrap(), "va");
    assert!(
        side(Some("eth1"))
            .unwrap_err()
            .contains("no veth named `eth1`")
    );
}

/// What a runtime hands over may be anything; opening some things waits for ever.
#[test]
fn what_is_no_netns_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let missing = folder.path().join("missing");
    for path in [fifo.as_path(), folder.path(), &missing] {
        let path = path.to_str().expect("UTF-8");
        let (tell, told) = std::sync::mpsc::channel();
        let of = path.to_owned();
        std::thread::spawn(move || tell.send(veth::host_side(&of, Some("eth0")).is_err()));
        let refused = told.recv_timeout(std::time::Duration::from_secs(20));
        assert_eq!(refused, Ok(true), "{path}");
    }
}
