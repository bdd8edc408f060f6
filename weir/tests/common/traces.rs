//! What a lab has on the machine, and that none of it is left.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aya::maps::{MapInfo, loaded_maps};
use weir_lab::{Lab, Pod};

use super::{TestLab, wait_for};

/// Takes a lab down that a test made by hand, also when the test fails.
pub struct Swept(pub String);

impl Drop for Swept {
    fn drop(&mut self) {
        if let Err(error) = Lab::remove(&self.0) {
            eprintln!("lab {}: {error:#}", self.0);
        }
    }
}

/// Everything on the machine that bears the name of a lab or of an instance.
pub fn traces(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let instance = format!("weir-lab-{name}");
    for folder in ["/run/weir", "/run/weir/labs", "/sys/fs/bpf/weir"] {
        for own in [name, &instance] {
            found.extend(shown(&Path::new(folder).join(own)));
        }
    }
    let netns = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for entry in netns {
        let netns = entry.file_name().to_string_lossy().into_owned();
        let of_lab = netns.starts_with(&format!("{instance}-"));
        let of_instance = [format!("{name}-ingress"), format!("{name}-egress")].contains(&netns);
        if of_lab || of_instance {
            found.push(entry.path().display().to_string());
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts
        .lines()
        .filter(|line| line.contains(&format!("{instance}-")));
    found.extend(mounts.map(|line| format!("mount {line}")));
    found.extend(processes_named(&instance, name));
    found
}

fn shown(path: &Path) -> Option<String> {
    path.exists().then(|| path.display().to_string())
}

/// Processes that the lab's name or folder stands in the command line of.
fn processes_named(instance: &str, name: &str) -> Vec<String> {
    let folder = format!("/run/weir/labs/{name}/");
    let mut found = Vec::new();
    for pid in pids() {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let words: Vec<&str> = line.split(' ').collect();
        if words.contains(&instance) || line.contains(&folder) {
            found.push(format!("process {pid}: {line}"));
        }
    }
    found
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What of a lab bears no name of it: seen while it is up, looked for when it is down.
pub struct Footprint {
    name: String,
    /// The netns themselves, which live as long as anything holds them.
    netns: BTreeSet<u64>,
    /// Every process in them.
    pub processes: BTreeSet<i32>,
    interfaces: Vec<String>,
    /// Kernel maps, which live as long as a program, a pin or a process holds them.
    maps: BTreeSet<u32>,
    host_tables: String,
}

impl Footprint {
    pub fn of(lab: &TestLab) -> Self {
        let prefix = format!("weir-lab-{}-", lab.name);
        let netns: BTreeSet<u64> = fs::read_dir("/run/netns")
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| fs::metadata(entry.path()).unwrap().ino())
            .collect();
        let pods: Vec<Pod> = lab.lab.pods().unwrap();
        // The node, the world, and both directions of the proxy.
        assert_eq!(netns.len(), pods.len() + 4, "netns of the lab");
        let pins = PathBuf::from("/sys/fs/bpf/weir").join(prefix.trim_end_matches('-'));
        let seen = Self {
            name: lab.name.clone(),
            processes: inside(&netns),
            netns,
            interfaces: pods.into_iter().filter_map(|pod| pod.interface).collect(),
            maps: pinned_maps(&pins),
            host_tables: host_tables(),
        };
        assert!(seen.maps.len() > 3, "pinned maps: {:?}", seen.maps);
        assert!(seen.processes.len() > 3, "processes: {:?}", seen.processes);
        assert!(seen.interfaces.len() > 3, "{:?}", seen.interfaces);
        seen
    }

    /// Nothing of it is left: neither by name nor by what it was.
    pub fn gone(&self) {
        assert_eq!(traces(&self.name), [""; 0], "of lab {}", self.name);
        // The number of a netns may be another one's by now; its processes are not.
        let left: BTreeSet<i32> = inside(&self.netns)
            .intersection(&self.processes)
            .copied()
            .collect();
        assert_eq!(left, BTreeSet::new(), "still in its netns");
        for interface in &self.interfaces {
            let left = Path::new("/sys/class/net").join(interface);
            assert!(!left.exists(), "{}", left.display());
        }
        assert_eq!(host_tables(), self.host_tables, "nft tables of the machine");
        // The kernel frees a netns, its links and their programs a moment after the last user.
        wait_for("the kernel has freed the lab's maps", || {
            self.loaded().is_empty()
        });
    }

    fn loaded(&self) -> BTreeSet<u32> {
        let all = loaded_maps().flatten().map(|map| map.id()).collect();
        self.maps.intersection(&all).copied().collect()
    }
}

fn inside(netns: &BTreeSet<u64>) -> BTreeSet<i32> {
    let at = |pid: &i32| fs::metadata(format!("/proc/{pid}/ns/net")).ok();
    pids()
        .filter(|pid| at(pid).is_some_and(|found| netns.contains(&found.ino())))
        .collect()
}

fn pinned_maps(folder: &Path) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            // Pinned links are no maps, but would answer as if they were.
            if path.file_name() != Some("links".as_ref()) {
                found.extend(pinned_maps(&path));
            }
        } else if let Ok(map) = MapInfo::from_pin(&path) {
            found.insert(map.id());
        }
    }
    found
}

fn host_tables() -> String {
    let nft = std::process::Command::new("nft")
        .args(["list", "tables"])
        .output();
    String::from_utf8(nft.expect("nft").stdout).unwrap()
}
