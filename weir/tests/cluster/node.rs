//! A node: a network namespace, an API server in it, and an agent and a proxy.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_cluster::testing::ApiServer;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// For whatever must come; a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Node {
    pub name: String,
    pub server: ApiServer,
    pub folder: TempDir,
    /// More words for the agent.
    pub options: &'static [&'static str],
    agent: Option<Child>,
    proxy: Option<Child>,
}

/// Runs a test as the node: on a thread in a network namespace of its own.
pub fn on_node(test: impl AsyncFnOnce(&mut Node) + Send) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("tc{}n{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    ip(&["netns", "add", &name]);
    ip(&["-n", &name, "link", "set", "lo", "up"]);
    let outcome = thread::scope(|scope| {
        let running = scope.spawn(|| {
            let file = File::open(format!("/run/netns/{name}")).unwrap();
            setns(&file, CloneFlags::CLONE_NEWNET).expect("these tests need root");
            for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
            }
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut node = Node {
                    server: ApiServer::start().await.unwrap(),
                    name: name.clone(),
                    folder: tempfile::tempdir().unwrap(),
                    options: &[],
                    agent: None,
                    proxy: None,
                };
                for folder in ["bin", "net.d"] {
                    fs::create_dir(node.folder.path().join(folder)).unwrap();
                }
                test(&mut node).await;
                node.stop();
            });
        });
        running.join()
    });
    let cleaned = Command::new(WEIR)
        .args(["cleanup", "--name", &name])
        .output()
        .unwrap();
    ip(&["netns", "del", &name]);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    assert!(cleaned.status.success(), "{cleaned:?}");
}

pub fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words:?}: {said}");
}

/// Waits until something holds.
pub fn wait_for<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Node {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the agent, and waits until it is ready.
    pub fn start_agent(&mut self) {
        self.launch_agent();
        wait_for("a ready agent", || {
            let running = self.agent.as_mut().unwrap().try_wait().unwrap();
            assert_eq!(running, None, "{}", self.log("agent"));
            self.ask(&json!({"command": "alive"}))
                .filter(|answer| answer["failure"].is_null())
        });
    }

    /// Starts the agent.
    pub fn launch_agent(&mut self) {
        self.server.kubeconfig(&self.path("kubeconfig")).unwrap();
        let path = |name| self.path(name).to_str().unwrap().to_owned();
        let (config, bin, net) = (path("kubeconfig"), path("bin"), path("net.d"));
        let words = [
            "agent",
            "--cluster",
            "--kubeconfig",
            &config,
            "--node-name",
            "node-a",
            "--cni-bin-dir",
            &bin,
            "--cni-conf-dir",
            &net,
            "--flow-log",
            "none",
            "--health",
            "127.0.0.1:9878",
        ];
        self.agent = Some(self.spawn("agent", &[&words, self.options].concat()));
    }

    pub fn start_proxy(&mut self) {
        self.proxy = Some(self.spawn("proxy", &["proxy", "--workers", "1"]));
        wait_for("a proxy with a policy", || {
            self.ask(&json!({"command": "status"}))
                .filter(|status| status["proxy"]["revision"].is_u64())
        });
    }

    pub fn kill_agent(&mut self) {
        let mut agent = self.agent.take().expect("a running agent");
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    fn spawn(&self, what: &str, words: &[&str]) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(what))
            .unwrap();
        Command::new(WEIR)
            .args(words)
            .args(["--name", &self.name])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Asks the agent; `None` where it is away.
    pub fn ask(&self, question: &Value) -> Option<Value> {
        let path = format!("/run/weir/{}/agent.sock", self.name);
        let mut stream = UnixStream::connect(path).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{question}\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Status and body of a probe.
    pub fn probe(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:9878{path}");
        let output = Command::new("curl")
            .args(["-s", "-m", "20", "-w", "%{http_code}", &url])
            .output();
        String::from_utf8(output.expect("curl").stdout).unwrap()
    }

    pub fn log(&self, of: &str) -> String {
        fs::read_to_string(self.path(of)).unwrap_or_default()
    }

    fn stop(&mut self) {
        for child in [self.agent.take(), self.proxy.take()].into_iter().flatten() {
            stop(child);
        }
    }
}

fn stop(mut child: Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() {
            for of in ["agent", "proxy"] {
                eprintln!("--- {of} ---\n{}", self.log(of));
            }
            self.stop();
        }
    }
}

/// What `curl` in a network namespace gets: a status, or `timeout`.
pub fn curl(netns: &str, url: &str) -> String {
    let words = [
        "netns",
        "exec",
        netns,
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-m",
        "2",
        "-w",
        "%{http_code}",
        url,
    ];
    let output = Command::new("ip")
        .args(words)
        .output()
        .expect("iproute2 and curl");
    match output.status.code() {
        Some(0) => String::from_utf8(output.stdout).unwrap(),
        Some(28) => "timeout".to_owned(),
        other => format!("curl exit {other:?}"),
    }
}

/// A web server in a network namespace, as a container's first process: it answers `/headers` and
/// `/ip`.
pub fn serve(netns: &str, folder: &Path) -> Serving {
    fs::create_dir_all(folder).unwrap();
    for page in ["headers", "ip"] {
        fs::write(folder.join(page), "hello\n").unwrap();
    }
    let child = Command::new("ip")
        .args([
            "netns",
            "exec",
            netns,
            "python3",
            "-m",
            "http.server",
            "80",
            "--bind",
            "0.0.0.0",
        ])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let serving = Serving(child);
    wait_for("a server", || {
        (curl(netns, "http://127.0.0.1/ip") == "200").then_some(())
    });
    serving
}

/// A server; it ends with the test.
pub struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().expect("a child of this test");
        self.0.wait().expect("a child of this test");
    }
}
