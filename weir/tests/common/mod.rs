//! What every test stands on: a lab with the pods of the workshop, and ways to look at it.
//!
//! Shared by the targets `e2e` and `adversary`; a `mod.rs`, so that cargo takes it for no target.

mod curl;
mod family;
mod socket;
mod traces;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_lab::{Applied, Lab, Topology, UpOptions};

pub use curl::Reply;
pub use family::{FAMILIES, Family, in_both_families};
pub use socket::{Http, inside, listen, tcp, udp};
pub use traces::{Footprint, Swept, traces};

/// The binary under test.
pub const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// A second client in another namespace, and pods to tell apart from `sleep` and `httpbin`.
pub const MORE_PODS: &str = include_str!("pods.yaml");
/// What must happen may take this long on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a client waits for what must not come: two retransmissions of a SYN.
pub const SILENCE: &str = "1.2";
pub const SILENT: Duration = Duration::from_millis(1200);

/// Runs each test once for each topology.
macro_rules! in_both_topologies {
    ($($test:ident),* $(,)?) => {
        mod routed {
            $(#[test] fn $test() { super::$test(weir_lab::Topology::Routed); })*
        }
        mod bridge {
            $(#[test] fn $test() { super::$test(weir_lab::Topology::Bridge); })*
        }
    };
}
pub(crate) use in_both_topologies;

/// A lab that a test holds; it goes down with it, and shows its logs when the test fails.
pub struct TestLab {
    pub lab: Lab,
    pub name: String,
}

// === impl TestLab ===

impl TestLab {
    /// The workshop's pods: sleep and httpbin, sleep and others in namespace `sleep`.
    pub fn up(topology: Topology) -> Self {
        Self::up_with(topology, &[])
    }

    /// The workshop's pods and more objects.
    pub fn up_with(topology: Topology, more: &[&str]) -> Self {
        Self::up_on(1, topology, more)
    }

    /// The same on so many nodes: what names no other is on the first one.
    pub fn up_on(nodes: usize, topology: Topology, more: &[&str]) -> Self {
        Self::up_as(topology, more, |options| options.nodes = nodes)
    }

    /// The same as [`Self::up`], where the kernel judges requests.
    pub fn up_judging(topology: Topology) -> Self {
        Self::up_as(topology, &[], |options| options.l7_kernel = true)
    }

    /// The same as [`Self::up_with`], with more to choose.
    pub fn up_as(topology: Topology, more: &[&str], choose: impl FnOnce(&mut UpOptions)) -> Self {
        sweep();
        let name = free_name();
        let mut yaml = vec![MORE_PODS.to_owned()];
        yaml.extend(more.iter().map(|text| (*text).to_owned()));
        let mut options = UpOptions {
            name: name.clone(),
            topology,
            manifests: vec![scenario()],
            yaml,
            program: Some(WEIR.into()),
            ..UpOptions::default()
        };
        choose(&mut options);
        let (lab, report) = Lab::up(options).unwrap_or_else(|error| {
            panic!("end-to-end tests need root, BPF and network namespaces: {error:#}")
        });
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert!(
            report.proxy,
            "the proxy has not acknowledged revision {}",
            report.revision
        );
        Self { lab, name }
    }

    /// Applies policies that are right as they are.
    pub fn apply(&self, yaml: &str) -> Applied {
        let applied = self
            .lab
            .apply(yaml)
            .unwrap_or_else(|e| panic!("apply: {e:#}"));
        let report = &applied.report;
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert!(
            report.proxy,
            "the proxy has not acknowledged revision {}",
            report.revision
        );
        applied
    }

    pub fn delete_all(&self, kind: &str) {
        let deleted = self.lab.delete_all(kind, "default");
        deleted.unwrap_or_else(|e| panic!("delete --all of {kind}: {e:#}"));
    }

    pub fn delete(&self, kind: &str, name: &str) {
        let deleted = self.lab.delete(kind, "default", name);
        deleted.unwrap_or_else(|e| panic!("delete {kind} {name}: {e:#}"));
    }

    /// The address of a pod, as it is written in URLs.
    pub fn host(&self, pod: &str, family: Family) -> String {
        bracketed(self.address(pod, family))
    }

    pub fn address(&self, pod: &str, family: Family) -> std::net::IpAddr {
        let pod = self.lab.pod(pod).unwrap();
        pod.address(family.is_v6()).unwrap()
    }

    /// The virtual address of a service, as it is written in URLs.
    pub fn service(&self, id: &str, family: Family) -> String {
        let addresses = self.lab.service(id).unwrap();
        let address = addresses.iter().find(|a| a.is_ipv6() == family.is_v6());
        bracketed(*address.unwrap_or_else(|| panic!("{id} has no {family:?} address")))
    }

    pub fn netns(&self, pod: &str) -> String {
        match pod {
            "@node" => format!("weir-lab-{}-node", self.name),
            "@world" => format!("weir-lab-{}-world", self.name),
            _ => self.lab.pod(pod).unwrap().netns,
        }
    }

    pub fn exec(&self, pod: &str, words: &[&str]) -> Output {
        self.lab
            .exec(pod, words)
            .unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// What a server has logged so far: one line a request.
    pub fn access_log(&self, pod: &str) -> Vec<String> {
        let path = self.lab.log_path(pod, "default").unwrap();
        let log = fs::read_to_string(path).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// What the agent says of itself.
    pub fn status(&self) -> Value {
        self.ask(&json!({"command": "status"}))
    }

    pub fn ask(&self, question: &Value) -> Value {
        let path = format!("/run/weir/weir-lab-{}/agent.sock", self.name);
        let mut stream = UnixStream::connect(path).expect("the agent's socket");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(format!("{question}\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn manifests(&self) -> PathBuf {
        Path::new("/run/weir/labs")
            .join(&self.name)
            .join("manifests")
    }

    /// `weir lab COMMAND --name THIS ...`.
    pub fn weir(&self, command: &str, rest: &[&str]) -> Output {
        weir(&[&["lab", command, "--name", &self.name], rest].concat())
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Whatever a test was about: the kernel never decided otherwise than the rules say.
            let log = format!("/run/weir/labs/{}/logs/agent.log", self.name);
            let log = fs::read_to_string(log).unwrap_or_default();
            let differing = log.lines().find(|line| line.contains("decided otherwise"));
            assert_eq!(differing, None, "the agent's self-check");
            return;
        }
        for part in ["agent", "proxy", "takeover"] {
            let path = format!("/run/weir/labs/{}/logs/{part}.log", self.name);
            let log = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(25)..];
            eprintln!("--- end of {path} ---\n{}", tail.join("\n"));
        }
    }
}

/// Runs the binary under test to its end.
pub fn weir(words: &[&str]) -> Output {
    Command::new(WEIR)
        .args(words)
        .output()
        .expect("the weir binary")
}

/// Standard error, and that it is one message: an error does not come as a page.
pub fn one_message(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(!output.status.success(), "it went well: {said}");
    assert!(said.contains("weir: "), "no message of Weir's: {said:?}");
    assert_eq!(
        said.matches("weir: ").count(),
        1,
        "more than one message: {said}"
    );
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Waits until a condition holds, and fails with what was waited for.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A lab name that no other test uses.
pub fn free_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("t{}n{number}", std::process::id())
}

/// The workshop's own manifests.
pub fn scenario() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/scenarios/s4")
}

fn bracketed(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// Takes down what test runs have left that were killed.
pub fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for entry in fs::read_dir("/run/weir/labs")
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.strip_prefix('t').and_then(|rest| rest.split_once('n'));
            let stale = pid.is_some_and(|(pid, number)| {
                pid.parse::<u32>().is_ok()
                    && number.parse::<u32>().is_ok()
                    && !Path::new("/proc").join(pid).exists()
            });
            if stale && let Err(error) = Lab::remove(&name) {
                eprintln!("the lab {name} of an earlier run: {error:#}");
            }
        }
    });
}
