//! A lab that is gone is gone, whatever became of it before.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_lab::{Lab, Part, Topology};

use crate::common::{
    FAMILIES, Footprint, Swept, TestLab, WEIR, free_name, in_both_topologies, one_message,
    scenario, traces, wait_for, weir,
};
use crate::policies::{ALLOW_GET_HEADERS, EGRESS_GET_HEADERS};

in_both_topologies!(
    down_after_traffic,
    down_after_everything_was_killed,
    cleanup_after_the_agent_was_killed,
);

/// A lab whose proxies of both directions have connections behind them.
fn with_traffic(topology: Topology) -> TestLab {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(EGRESS_GET_HEADERS);
    for family in FAMILIES {
        lab.allowed("deploy/sleep", family, &["httpbin:8000/headers"]);
        lab.forbidden("deploy/sleep", family, &["httpbin:8000/ip"]);
    }
    lab
}

fn murder(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

fn down(lab: &TestLab) {
    let output = lab.weir("down", &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("lab {} is down\n", lab.name));
}

fn down_after_traffic(topology: Topology) {
    let lab = with_traffic(topology);
    let footprint = Footprint::of(&lab);
    assert!(!traces(&lab.name).is_empty());
    down(&lab);
    footprint.gone();
}

fn down_after_everything_was_killed(topology: Topology) {
    let lab = with_traffic(topology);
    let footprint = Footprint::of(&lab);
    // The agent and the proxy first: nothing must depend on who dies last.
    for part in [Part::Agent, Part::Proxy] {
        murder(lab.lab.pid(part).unwrap().expect("it runs"));
        wait_for("it is dead", || lab.lab.pid(part).unwrap().is_none());
    }
    for pid in &footprint.processes {
        // The two above among them.
        if Path::new("/proc").join(pid.to_string()).exists() {
            kill(Pid::from_raw(*pid), Signal::SIGKILL).ok();
        }
    }
    down(&lab);
    footprint.gone();
}

/// What the agent made goes without it; what is the lab's stays the lab's.
fn cleanup_after_the_agent_was_killed(topology: Topology) {
    let lab = with_traffic(topology);
    let footprint = Footprint::of(&lab);
    let instance = format!("weir-lab-{}", lab.name);
    for part in [Part::Agent, Part::Proxy] {
        murder(lab.lab.pid(part).unwrap().expect("it runs"));
        wait_for("it is dead", || lab.lab.pid(part).unwrap().is_none());
    }
    let output = weir(&["cleanup", "--name", &instance]);
    assert!(output.status.success(), "{output:?}");
    for left in [
        format!("/sys/fs/bpf/weir/{instance}"),
        format!("/run/weir/{instance}"),
        format!("/run/netns/{instance}-ingress"),
        format!("/run/netns/{instance}-egress"),
    ] {
        assert!(!Path::new(&left).exists(), "{left}");
    }
    let links = lab.exec("@node", &["ip", "-br", "link"]);
    let links = String::from_utf8_lossy(&links.stdout).into_owned();
    assert!(!links.contains("weir-"), "links of the agent: {links}");
    // No program is left that would judge.
    for family in FAMILIES {
        lab.allowed("stranger", family, &["httpbin:8000/ip"]);
    }
    let again = weir(&["cleanup", "--name", &instance]);
    assert!(again.status.success(), "nothing to clean up: {again:?}");
    down(&lab);
    footprint.gone();
}

/// A machine's own agent has links of the same names; another instance's end is not their end.
#[test]
fn cleanup_spares_another_instance() {
    let machine = TestLab::up(Topology::Routed);
    machine.apply(ALLOW_GET_HEADERS);
    let other = free_name();
    // In the namespace where the first instance has its links, as `weir lab down` would run it.
    let words = [WEIR, "cleanup", "--name", &other];
    let output = machine.exec("@node", &words);
    assert!(output.status.success(), "{output:?}");
    for family in FAMILIES {
        machine.allowed("deploy/sleep", family, &["httpbin:8000/headers"]);
        machine.forbidden("deploy/sleep", family, &["httpbin:8000/ip"]);
    }
}

/// `up` killed at any moment leaves what `down` finds.
#[test]
fn down_after_an_up_that_was_killed() {
    let moments: [fn(&str) -> String; 3] = [
        |name| format!("/run/netns/weir-lab-{name}-node"),
        |name| format!("/sys/fs/bpf/weir/weir-lab-{name}"),
        |name| format!("/run/netns/weir-lab-{name}-default-stranger"),
    ];
    for moment in moments {
        let name = free_name();
        let swept = Swept(name.clone());
        let file = format!("{}/tests/common/pods.yaml", env!("CARGO_MANIFEST_DIR"));
        let mut up = Command::new(WEIR)
            .args(["lab", "up", "--name", &name, "-f", &file])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sign = moment(&name);
        wait_for(&sign, || Path::new(&sign).exists());
        up.kill().unwrap();
        up.wait().unwrap();
        assert!(!traces(&name).is_empty());
        let output = weir(&["lab", "down", "--name", &name]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(traces(&name), [""; 0], "killed at {sign}");
        drop(swept);
    }
}

const CLASH: &str = "{apiVersion: v1, kind: Pod, metadata: {name: clash}, spec: {containers: [
  {name: a, image: nginx}, {name: b, image: nginx}]}}";
const UNRUNNABLE: &str = "{apiVersion: v1, kind: Pod, metadata: {name: unrunnable}, \
  spec: {containers: [{name: c, image: x, command: [/etc/passwd]}]}}";
const NAMELESS: &str = "{apiVersion: v1, kind: Pod, metadata: {}, spec: {containers: []}}";
const WRONG_SHAPE: &str = "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: 3}}";
const BROKEN: &str = "apiVersion: v1\nkind: [Pod\nmetadata: {name: x}\n";

/// Before anything is made, and after nearly everything is.
#[test]
fn up_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text, said) in [
        ("broken.yaml", BROKEN, "broken.yaml:3: "),
        (
            "nameless.yaml",
            NAMELESS,
            "nameless.yaml:1: Pod: metadata.name",
        ),
        (
            "shape.yaml",
            WRONG_SHAPE,
            "shape.yaml:1: Pod default/x: spec.containers",
        ),
        (
            "unrunnable.yaml",
            UNRUNNABLE,
            "unrunnable.yaml:1: the command of pod default/unrunnable",
        ),
    ] {
        let name = free_name();
        let swept = Swept(name.clone());
        let path = folder.path().join(file);
        fs::write(&path, text).unwrap();
        let files = [path, scenario()].map(|path| path.display().to_string());
        let output = weir(&[
            "lab", "up", "--name", &name, "-f", &files[0], "-f", &files[1],
        ]);
        let message = one_message(&output);
        assert!(message.contains(said), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert_eq!(traces(&name), [""; 0], "{file}");
        drop(swept);
    }
}

/// Everything is up and a workload dies: its own words are told, and all is taken away.
#[test]
fn up_whose_workload_fails() {
    let name = free_name();
    let swept = Swept(name.clone());
    let up = Lab::up(weir_lab::UpOptions {
        name: name.clone(),
        yaml: vec![CLASH.into()],
        program: Some(WEIR.into()),
        ..weir_lab::UpOptions::default()
    });
    let message = format!("{:#}", up.expect_err("two servers on one port"));
    assert!(
        message.contains("the workload of pod default/clash"),
        "{message}"
    );
    assert!(
        message.contains("port 80: Address already in use"),
        "{message}"
    );
    assert_eq!(traces(&name), [""; 0]);
    drop(swept);
}
