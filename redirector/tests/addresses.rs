//! The node's own addresses, in network namespaces that play a node.
//!
//! Needs root, network namespaces and iproute2; fails where they are missing.

use std::{collections::BTreeSet, fs::File, process::Command, thread, time::Duration};

use nix::sched::{CloneFlags, setns};
use weir_redirector::network::addresses::{self, Changes};

struct Node(String);

impl Node {
    fn new(test: &str) -> Self {
        let name = format!("at{}{test}", std::process::id());
        ip(&format!("netns add {name}"));
        let node = Self(name);
        node.ip("link set lo up");
        node
    }

    fn ip(&self, words: &str) {
        ip(&format!("-n {} {words}", self.0));
    }

    /// Runs something as the node.
    fn within<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.0)).expect("the node's netns");
        let run = || {
            setns(&file, CloneFlags::CLONE_NEWNET).expect("these tests need root");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(work())
        };
        thread::scope(|scope| scope.spawn(run).join().expect("it goes well"))
    }

    fn read(&self) -> BTreeSet<String> {
        let found = self.within(async || addresses::read().await.expect("netlink answers"));
        found.iter().map(ToString::to_string).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.0));
    }
}

fn ip(words: &str) {
    let output = Command::new("ip")
        .args(words.split(' '))
        .output()
        .expect("iproute2");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}: {error}");
}

#[test]
fn everything_that_ends_on_the_node_is_its_own_and_nothing_else() {
    let node = Node::new("r");
    for words in [
        "addr add 192.0.2.53/32 dev lo",
        "link add cni0 type bridge",
        "link set cni0 up",
        "addr add 10.9.0.1/24 dev cni0",
        "addr add fd09::1/64 dev cni0 nodad",
        "link add p0 type veth peer name p1",
        "addr add 10.9.1.1 peer 10.9.1.7/32 dev p0",
        "link set p0 up",
        "route add local 198.51.100.0/28 dev lo",
        "route add local 203.0.113.0/24 dev lo table 100",
        "route add 203.0.114.0/24 dev cni0",
    ] {
        node.ip(words);
    }
    let found = node.read();
    for own in [
        "127.0.0.0/8",
        "127.0.0.1/32",
        "::1/128",
        "192.0.2.53/32",
        "10.9.0.1/32",
        "fd09::1/128",
        "10.9.1.1/32",
        "198.51.100.0/28",
        "10.9.0.255/32",
    ] {
        assert!(found.contains(own), "{own} is missing: {found:?}");
    }
    assert!(
        found.iter().any(|own| own.starts_with("fe80::")),
        "{found:?}"
    );
    for not in [
        "10.9.1.7/32",
        "203.0.113.0/24",
        "203.0.114.0/24",
        "10.9.0.0/24",
        "0.0.0.0/0",
    ] {
        assert!(!found.contains(not), "{not}: {found:?}");
    }
}

#[test]
fn a_change_is_told() {
    let node = Node::new("f");
    let change = || {
        node.ip("addr add 192.0.2.53/32 dev lo");
        node.ip("addr add fd09::1/128 dev lo nodad");
    };
    node.within(async || {
        let mut changes = Changes::follow().expect("netlink");
        let before = addresses::read().await.expect("netlink answers");
        thread::scope(|scope| scope.spawn(change).join().expect("iproute2"));
        loop {
            let told = tokio::time::timeout(Duration::from_secs(10), changes.changed()).await;
            assert_eq!(told.expect("a change is told"), Some(()));
            let after = addresses::read().await.expect("netlink answers");
            let new: Vec<String> = after.difference(&before).map(ToString::to_string).collect();
            if new == ["192.0.2.53/32", "fd09::1/128"] {
                break;
            }
        }
    });
}
