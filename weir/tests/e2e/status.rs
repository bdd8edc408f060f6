//! `weir status` on an agent that runs: every fault is told, and the exit code says that there is one.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use aya::maps::{LpmTrie, Map, MapData, lpm_trie::Key};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_abi::policy::{PolicyKey, PolicyValue, verdict};
use weir_lab::{Part, Topology};

use crate::common::{Family, PATIENCE, TestLab, WEIR, wait_for, weir};
use crate::policies::{ALLOW_GET_HEADERS, ALLOW_SLEEP};

const SLEEP: &str = "deploy/sleep";
const WELL: &str = "all is well";
/// On this node, and without an interface.
const LOST: &str = "
apiVersion: v1
kind: Pod
metadata: { name: lost, namespace: default, annotations: { weir.dev/interface: gone0 } }
spec: { nodeName: lab-node, containers: [{ name: c, image: x }] }
status: { phase: Running, podIP: 10.244.77.77, podIPs: [{ ip: 10.244.77.77 }] }
";
const BAD: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: bad, namespace: default }
spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/99 } }] }] }
";

/// What it says, and whether its exit code says that all is well.
fn status(lab: &TestLab) -> (String, bool) {
    let output = weir(&["status", "--lab", &lab.name]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, output.status.success())
}

fn tells(lab: &TestLab, fault: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (said, well) = status(lab);
        assert_eq!(well, said.starts_with(WELL), "{said}");
        if said.lines().next().is_some_and(|line| line.contains(fault)) {
            return;
        }
        assert!(Instant::now() < until, "{fault} is not told: {said}");
    }
}

/// A file in the folder of manifests, for as long as its fault takes to be told.
fn with_file(lab: &TestLab, text: &str, fault: &str) {
    let file = lab.manifests().join("fault.yaml");
    fs::write(&file, text).unwrap();
    tells(lab, fault);
    fs::remove_file(&file).unwrap();
    tells(lab, WELL);
}

fn pins(lab: &TestLab) -> PathBuf {
    let root = format!("/sys/fs/bpf/weir/weir-lab-{}", lab.name);
    fs::read_dir(root).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn every_fault_of_a_live_agent_is_told() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(ALLOW_GET_HEADERS);
    tells(&lab, WELL);
    with_file(&lab, BAD, "1 refused");
    with_file(&lab, LOST, "1 not under policy");
    let proxy = lab.lab.pid(Part::Proxy).unwrap().expect("it runs");
    kill(Pid::from_raw(proxy), Signal::SIGKILL).unwrap();
    tells(&lab, "no proxy is connected");
    lab.lab.restart(Part::Proxy).unwrap();
    tells(&lab, WELL);
}

/// An agent in the place of the lab's.
struct Agent(Child);

impl Agent {
    fn instead(lab: &TestLab, more: &[&str]) -> Self {
        let pid = lab.lab.pid(Part::Agent).unwrap().expect("it runs");
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let line = String::from_utf8(line).unwrap();
        let words: Vec<&str> = line.split_terminator('\0').skip(1).collect();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        wait_for("a dead agent", || {
            lab.lab.pid(Part::Agent).unwrap().is_none()
        });
        let words = [&[WEIR], words.as_slice(), more].concat();
        let mut command: Command = lab.lab.command("@node", "default", &words).unwrap();
        let log = format!("/run/weir/labs/{}/logs/agent.log", lab.name);
        let log = fs::OpenOptions::new().append(true).open(log).unwrap();
        Self(command.stderr(log).spawn().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Prefixes that are no neighbours, so that each is an entry.
fn many_prefixes(count: u32) -> String {
    let each: Vec<String> = (0..count)
        .map(|number| format!("{{ipBlock: {{cidr: 198.18.{number}.1/32}}}}"))
        .collect();
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: many, \
         namespace: default}}, spec: {{podSelector: {{matchLabels: {{app: echo}}}}, ingress: \
         [{{from: [{}]}}]}}}}",
        each.join(", ")
    )
}

#[test]
fn maps_that_are_nearly_full_or_full_are_told() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(ALLOW_SLEEP);
    let _agent = Agent::instead(&lab, &["--map-size", "addresses=256"]);
    tells(&lab, WELL);
    let file = lab.manifests().join("many.yaml");
    for (count, fault) in [
        (190, "map ADDRESSES is nearly full"),
        (250, "the last change is not in force: map ADDRESSES"),
    ] {
        fs::write(&file, many_prefixes(count)).unwrap();
        tells(&lab, fault);
    }
    lab.allowed(SLEEP, Family::V4, &["httpbin:8000/headers"]);
}

/// The kernel's map says other than the rules: the agent finds out from the flows.
#[test]
fn a_verdict_that_differs_from_the_rules_is_told() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(ALLOW_SLEEP);
    lab.allowed(SLEEP, Family::V4, &["httpbin:8000/headers"]);
    let pinned = MapData::from_pin(pins(&lab).join("POLICY")).unwrap();
    let mut policy: LpmTrie<_, PolicyKey, PolicyValue> =
        LpmTrie::try_from(Map::LpmTrie(pinned)).unwrap();
    let entries: Vec<_> = policy.iter().map(Result::unwrap).collect();
    for (key, value) in entries {
        let wrong = PolicyValue {
            verdict: verdict::DENY,
            ..value
        };
        let key = Key::new(key.prefix_len(), key.data());
        policy.insert(&key, wrong, 0).unwrap();
    }
    lab.dropped(SLEEP, Family::V4, &["httpbin:8000/headers"]);
    tells(
        &lab,
        "the kernel decided otherwise than the rules say (self-check)",
    );
    // What this test did is no failure that the lab should tell of at its end.
    fs::write(format!("/run/weir/labs/{}/logs/agent.log", lab.name), "").unwrap();
}
