//! Pins that nobody needs: of interfaces that are gone, and of agents of another version.

use std::fs;
use std::path::{Path, PathBuf};

use aya::maps::MapData;
use aya::programs::links::{FdLink, PinnedLink};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_lab::{Part, Topology};

use crate::common::{FAMILIES, TestLab, in_both_topologies, inside, wait_for};
use crate::policies::ALLOW_GET_HEADERS;

in_both_topologies!(
    pins_of_an_interface_go_with_it,
    pins_of_another_version_go_when_this_one_is_in_charge
);

const SLEEP: &str = "deploy/sleep";

/// Folders of the instance's pins, one for each version.
fn versions(lab: &TestLab) -> Vec<PathBuf> {
    let root = format!("/sys/fs/bpf/weir/weir-lab-{}", lab.name);
    let entries = fs::read_dir(root).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn own_version(lab: &TestLab) -> PathBuf {
    let versions = versions(lab);
    let [own] = versions.as_slice() else {
        panic!("more than one version: {versions:?}");
    };
    own.clone()
}

/// The pins of a pod's two programs.
fn pins(lab: &TestLab, interface: u32) -> Vec<String> {
    let entries = fs::read_dir(own_version(lab).join("links")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with(&format!("pod-{interface}-")))
        .collect()
}

fn index(lab: &TestLab, pod: &str) -> u32 {
    let name = lab.lab.pod(pod).unwrap().interface.unwrap();
    inside(&lab.netns("@node"), || {
        nix::net::if_::if_nametoindex(&*name).unwrap()
    })
}

fn kill_agent(lab: &TestLab) {
    let pid = lab.lab.pid(Part::Agent).unwrap().expect("it runs");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_for("a dead agent", || {
        lab.lab.pid(Part::Agent).unwrap().is_none()
    });
}

fn judged(lab: &TestLab) {
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
        lab.forbidden(SLEEP, family, &["httpbin:8000/ip"]);
    }
}

fn pins_of_an_interface_go_with_it(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    let (gone, lost) = (index(&lab, "stranger"), index(&lab, "echo"));
    assert_eq!((pins(&lab, gone).len(), pins(&lab, lost).len()), (2, 2));
    lab.delete("Pod", "stranger");
    wait_for("no pin of a deleted pod", || pins(&lab, gone).is_empty());
    // One that goes while there is no agent.
    kill_agent(&lab);
    let name = lab.lab.pod("echo").unwrap().interface.unwrap();
    let output = lab.exec("@node", &["ip", "link", "del", &name]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(pins(&lab, lost).len(), 2);
    let entries = fs::read_dir(lab.manifests()).unwrap();
    let mut files = entries.map(|entry| entry.unwrap().path());
    let of_echo = files.find(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.contains("kind: Pod") && text.contains("\n  name: echo\n")
    });
    fs::remove_file(of_echo.expect("a manifest of echo")).unwrap();
    lab.lab.restart(Part::Agent).unwrap();
    wait_for("no pin of a lost interface", || pins(&lab, lost).is_empty());
    judged(&lab);
}

/// Pins a link or a map a second time.
fn pin_again(from: &Path, to: &Path) {
    match to.parent().is_some_and(|folder| folder.ends_with("links")) {
        true => drop(
            FdLink::from(PinnedLink::from_pin(from).unwrap())
                .pin(to)
                .unwrap(),
        ),
        false => MapData::from_pin(from).unwrap().pin(to).unwrap(),
    }
}

fn pins_of_another_version_go_when_this_one_is_in_charge(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    let own = own_version(&lab);
    kill_agent(&lab);
    let other = own.with_file_name("v0");
    fs::create_dir_all(other.join("links")).unwrap();
    for pin in [
        format!("links/pod-{}-to", index(&lab, "deploy/httpbin")),
        format!("links/pod-{}-from", index(&lab, "deploy/httpbin")),
        "POLICY".to_owned(),
    ] {
        pin_again(&own.join(&pin), &other.join(&pin));
    }
    assert_eq!(versions(&lab).len(), 2);
    lab.lab.restart(Part::Agent).unwrap();
    wait_for("pins of this version alone", || {
        versions(&lab) == [own.clone()]
    });
    judged(&lab);
}
