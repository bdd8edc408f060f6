//! What dies, and what holds all the same.

use std::net::SocketAddr;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use aya::maps::{Map, MapData, SockMap};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_lab::{Part, Topology};

use crate::common::{FAMILIES, Http, PATIENCE, TestLab, WEIR, in_both_topologies, wait_for};
use crate::policies::*;

in_both_topologies!(
    proxy_killed_under_load,
    agent_killed,
    proxy_replaced_under_load,
    the_newest_proxy_is_in_charge,
    a_proxy_that_hears_nothing_is_noticed
);

const SLEEP: &str = "deploy/sleep";
/// Verdicts of the kernel alone, beside the HTTP rule.
const ECHO_FOR_SLEEP: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: echo-for-sleep }
spec:
  podSelector: { matchLabels: { app: echo } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: sleep } } }] }]
"#;

/// Requests of both kinds, over connections kept and new, until they are told to stop.
struct Load {
    stop: AtomicBool,
    allowed: AtomicU32,
    failed: AtomicU32,
    wrong: AtomicU32,
}

impl Load {
    fn new() -> Self {
        Self {
            stop: AtomicBool::new(false),
            allowed: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            wrong: AtomicU32::new(0),
        }
    }

    fn run(&self, netns: &str, to: SocketAddr, kept: bool) {
        let mut open = None;
        while !self.stop.load(Ordering::Relaxed) {
            let reused = open.is_some();
            let http = open
                .take()
                .map_or_else(|| Http::open_within(netns, to, Duration::from_secs(1)), Ok);
            let Ok(mut http) = http else {
                self.failed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            http.wait_at_most(Duration::from_secs(2));
            let answer = http.request("GET", "/headers");
            match answer {
                Ok(200) => {
                    self.allowed.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => {
                    self.wrong.fetch_add(1, Ordering::Relaxed);
                }
                // A server may close a connection between two requests; clients ask again.
                Err(_) if reused => continue,
                Err(_) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            }
            if let Ok(status) = http.request("GET", "/ip")
                && status != 403
            {
                self.wrong.fetch_add(1, Ordering::Relaxed);
            }
            open = kept.then_some(http);
        }
    }

    /// Runs the load of both families while something happens.
    fn during(&self, lab: &TestLab, work: impl FnOnce()) {
        let netns = lab.netns(SLEEP);
        std::thread::scope(|scope| {
            for family in FAMILIES {
                let to = SocketAddr::new(lab.address("deploy/httpbin", family), 80);
                for kept in [true, false] {
                    let netns = &netns;
                    scope.spawn(move || self.run(netns, to, kept));
                }
            }
            // Also when the work fails: else its threads would never end.
            struct Stop<'a>(&'a AtomicBool);
            impl Drop for Stop<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _stop = Stop(&self.stop);
            self.progress();
            work();
        });
        assert_eq!(
            self.wrong.load(Ordering::Relaxed),
            0,
            "answers that the rules do not give"
        );
    }

    fn progress(&self) {
        let goal = self.allowed.load(Ordering::Relaxed) + 40;
        wait_for("allowed requests under load", || {
            self.allowed.load(Ordering::Relaxed) >= goal
        });
    }
}

fn end(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn kill_part(lab: &TestLab, part: Part) {
    let pid = lab.lab.pid(part).unwrap().expect("it runs");
    end(pid, Signal::SIGKILL);
    wait_for("it is dead", || lab.lab.pid(part).unwrap().is_none());
}

fn only_headers_reached(lab: &TestLab) {
    for line in lab.access_log("deploy/httpbin") {
        let request = line.contains('"');
        assert!(
            !request || line.contains("\"GET /headers HTTP/1.1\" 200"),
            "reached: {line}"
        );
    }
}

fn kernel_verdicts(lab: &TestLab) {
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["echo"]);
        lab.dropped("stranger", family, &["echo"]);
        lab.dropped("stranger", family, &["httpbin:8000/headers"]);
    }
}

fn all_verdicts(lab: &TestLab) {
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
        lab.forbidden(SLEEP, family, &["httpbin:8000/ip"]);
    }
    kernel_verdicts(lab);
}

fn proxy_killed_under_load(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(ECHO_FOR_SLEEP);
    let load = Load::new();
    load.during(&lab, || {
        kill_part(&lab, Part::Proxy);
        for family in FAMILIES {
            lab.dropped(SLEEP, family, &["httpbin:8000/headers"]);
            lab.dropped(SLEEP, family, &["httpbin:8000/ip"]);
        }
        kernel_verdicts(&lab);
        lab.lab.restart(Part::Proxy).unwrap();
        load.progress();
    });
    all_verdicts(&lab);
    only_headers_reached(&lab);
}

fn agent_killed(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(ECHO_FOR_SLEEP);
    let netns = lab.netns(SLEEP);
    let mut open: Vec<Http> = FAMILIES
        .iter()
        .flat_map(|f| [("deploy/httpbin", 80, f), ("echo", 8080, f)])
        .map(|(pod, port, f)| Http::open(&netns, (lab.address(pod, *f), port).into()).unwrap())
        .collect();
    let mut live = || {
        for http in &mut open {
            assert_eq!(http.request("GET", "/headers").unwrap(), 200);
        }
    };
    live();
    kill_part(&lab, Part::Agent);
    live();
    all_verdicts(&lab);
    lab.lab.restart(Part::Agent).unwrap();
    live();
    all_verdicts(&lab);
    only_headers_reached(&lab);
}

fn second_proxy(lab: &TestLab) -> Child {
    let instance = format!("weir-lab-{}", lab.name);
    let words = [WEIR, "proxy", "--name", &instance];
    let mut command = lab.lab.command("@node", "default", &words).unwrap();
    let child = command.spawn().unwrap();
    in_charge(lab, child.id());
    child
}

fn in_charge(lab: &TestLab, pid: u32) {
    wait_for("the agent steers to the proxy", || {
        lab.status()["proxy"]["pid"] == pid
    });
}

/// Whatever the order in which proxies find a new agent; and when the newest one dies, the one
/// before it takes over again.
fn the_newest_proxy_is_in_charge(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(ECHO_FOR_SLEEP);
    let old = lab.lab.pid(Part::Proxy).unwrap().expect("it runs");
    let mut second = second_proxy(&lab);
    for _ in 0..3 {
        kill_part(&lab, Part::Agent);
        lab.lab.restart(Part::Agent).unwrap();
        in_charge(&lab, second.id());
    }
    all_verdicts(&lab);
    end(second.id().cast_signed(), Signal::SIGKILL);
    second.wait().unwrap();
    in_charge(&lab, old.cast_unsigned());
    all_verdicts(&lab);
    // The same, when the newest one is told to stop.
    let mut third = second_proxy(&lab);
    end(third.id().cast_signed(), Signal::SIGTERM);
    in_charge(&lab, old.cast_unsigned());
    all_verdicts(&lab);
    assert!(third.wait().unwrap().success(), "within {PATIENCE:?}");
    only_headers_reached(&lab);
}

/// Its listeners have left the kernel's map, and everybody believes that it is in charge.
fn a_proxy_that_hears_nothing_is_noticed(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(ECHO_FOR_SLEEP);
    let pins = format!("/sys/fs/bpf/weir/weir-lab-{}", lab.name);
    let version = std::fs::read_dir(pins).unwrap().next().unwrap().unwrap();
    let pinned = MapData::from_pin(version.path().join("LISTENERS")).unwrap();
    let mut listeners = SockMap::try_from(Map::SockMap(pinned)).unwrap();
    // Some slots are for traffic that nobody listens for.
    let cleared = (0..8).filter(|slot| listeners.clear_index(slot).is_ok());
    assert!(cleared.count() >= 4, "TCP in both directions and families");
    lab.dropped(SLEEP, FAMILIES[0], &["httpbin:8000/headers"]);
    wait_for("the proxy is put in charge anew", || {
        lab.curl(SLEEP, FAMILIES[0], &["httpbin:8000/headers"])
            .status
            == 200
    });
    all_verdicts(&lab);
    only_headers_reached(&lab);
}

/// A second proxy takes over; the first finishes what is open. No allowed request fails.
fn proxy_replaced_under_load(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    let old = lab.lab.pid(Part::Proxy).unwrap().expect("it runs");
    let load = Load::new();
    let mut second = None;
    load.during(&lab, || {
        second = Some(second_proxy(&lab));
        load.progress();
        end(old, Signal::SIGTERM);
        load.progress();
        wait_for("the first proxy has ended", || {
            lab.lab.pid(Part::Proxy).unwrap().is_none()
        });
        load.progress();
    });
    let failed = load.failed.load(Ordering::Relaxed);
    assert_eq!(failed, 0, "allowed requests that failed");
    only_headers_reached(&lab);
    let mut second = second.expect("it was started");
    end(second.id().cast_signed(), Signal::SIGTERM);
    assert!(second.wait().unwrap().success(), "within {PATIENCE:?}");
}
