//! Where one running Weir keeps its things. A node has one instance, named `weir`; every lab
//! has its own.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use weir_abi::ABI_VERSION;

use crate::{MapSizes, host};

const BPFFS: &str = "/sys/fs/bpf";
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// Names of one instance's pins, network namespaces and sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    name: String,
    sizes: MapSizes,
}

/// What is wrong with an instance's surroundings.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The name would not be safe in a path.
    #[error("`{name}` is not an instance name: 1 to 64 letters, digits, `-` or `_`")]
    Name {
        /// The name given.
        name: String,
    },
    /// The BPF file system is missing and cannot be mounted.
    #[error("cannot mount the BPF file system at {BPFFS}: {source} (Weir needs root)")]
    Bpffs {
        /// Why.
        source: io::Error,
    },
    /// A folder cannot be made or removed.
    #[error("cannot {action} {path}: {source}", path = .path.display())]
    Folder {
        /// What was tried.
        action: &'static str,
        /// Which folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

// === impl Instance ===

impl Instance {
    /// The instance of this name.
    pub fn new(name: &str) -> Result<Self, InstanceError> {
        let fits = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !fits {
            return Err(InstanceError::Name { name: name.into() });
        }
        Ok(Self {
            name: name.into(),
            sizes: MapSizes::default(),
        })
    }

    /// The same instance with maps of these sizes: its pins are others.
    #[must_use]
    pub fn with_sizes(self, sizes: MapSizes) -> Self {
        Self { sizes, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sizes of its maps.
    pub fn sizes(&self) -> &MapSizes {
        &self.sizes
    }

    /// Pins of every version: `/sys/fs/bpf/weir/NAME`.
    pub fn pin_root(&self) -> PathBuf {
        Path::new(BPFFS).join("weir").join(&self.name)
    }

    /// Pinned maps of this version: of the ABI, and of the maps' sizes.
    pub fn pins(&self) -> PathBuf {
        self.pin_root()
            .join(format!("v{ABI_VERSION}{}", self.sizes.suffix()))
    }

    /// Pinned links of this version.
    pub fn links(&self) -> PathBuf {
        self.pins().join("links")
    }

    /// Run-time folder: `/run/weir/NAME`.
    pub fn run_dir(&self) -> PathBuf {
        Path::new("/run/weir").join(&self.name)
    }

    /// Control socket of the agent.
    pub fn agent_socket(&self) -> PathBuf {
        self.run_dir().join("agent.sock")
    }

    /// Socket over which the agent gives the proxy its policy.
    pub fn proxy_socket(&self) -> PathBuf {
        self.run_dir().join("proxy.sock")
    }

    /// Name of the proxy's network namespace for a direction.
    pub fn netns(&self, direction: weir_policy::model::Direction) -> String {
        format!("{}-{direction}", self.name)
    }

    /// Makes the folders, and mounts the BPF file system where it is missing.
    pub fn prepare(&self) -> Result<(), InstanceError> {
        mount_bpffs()?;
        for path in [self.links(), self.run_dir()] {
            fs::create_dir_all(&path).map_err(|source| InstanceError::Folder {
                action: "make",
                path,
                source,
            })?;
        }
        Ok(())
    }

    /// Interfaces (indices) that programs of any version of this instance are pinned at, also where
    /// a pin outlived its interface.
    pub fn pinned_interfaces(&self) -> Result<BTreeSet<u32>, InstanceError> {
        let mut found = BTreeSet::new();
        for version in children(&self.pin_root())? {
            for pin in children(&version.join("links"))? {
                let name = pin.file_name().unwrap_or_default().to_string_lossy();
                found.extend(pod_of_pin(&name));
            }
        }
        Ok(found)
    }

    /// Removes what agents of other versions pinned: their programs detach. To be called when
    /// this version's are attached and have their policies.
    pub fn remove_other_versions(&self) -> Result<Vec<PathBuf>, InstanceError> {
        let failed = |action, path: &Path, source| InstanceError::Folder {
            action,
            path: path.to_owned(),
            source,
        };
        let mut removed = Vec::new();
        for path in children(&self.pin_root())? {
            if path != self.pins() && path.is_dir() {
                fs::remove_dir_all(&path).map_err(|source| failed("remove", &path, source))?;
                removed.push(path);
            }
        }
        Ok(removed)
    }

    /// Removes pins (programs detach with their links) and the run-time folder.
    pub fn remove(&self) -> Result<(), InstanceError> {
        for path in [self.pin_root(), self.run_dir()] {
            match fs::remove_dir_all(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(InstanceError::Folder {
                        action: "remove",
                        path,
                        source,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Names of the pins of the two programs at a pod's interface.
pub(crate) fn pod_pins(interface: u32) -> [String; 2] {
    [
        format!("pod-{interface}-from"),
        format!("pod-{interface}-to"),
    ]
}

/// The interface of a pin that [`pod_pins`] named.
fn pod_of_pin(pin: &str) -> Option<u32> {
    pin.strip_prefix("pod-")?.split('-').next()?.parse().ok()
}

/// What is in a folder; nothing where it is not there.
fn children(folder: &Path) -> Result<Vec<PathBuf>, InstanceError> {
    let failed = |source| InstanceError::Folder {
        action: "read",
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    entries
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect()
}

fn mount_bpffs() -> Result<(), InstanceError> {
    let mounted = || {
        nix::sys::statfs::statfs(BPFFS).is_ok_and(|stat| stat.filesystem_type().0 == BPF_FS_MAGIC)
    };
    if mounted() {
        return Ok(());
    }
    let failed = |source| InstanceError::Bpffs { source };
    host::among_mounts(|| {
        fs::create_dir_all(BPFFS)?;
        Ok(nix::mount::mount(
            Some("bpf"),
            BPFFS,
            Some("bpf"),
            nix::mount::MsFlags::empty(),
            Some("mode=0700"),
        )?)
    })
    .map_err(failed)?;
    if !mounted() {
        // What is pinned must outlive the container.
        return Err(failed(io::Error::other(
            "it was mounted on the node and is not seen here: a container needs the node's \
             /sys/fs/bpf with mountPropagation HostToContainer",
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_tells_its_interface() {
        for pin in pod_pins(4711) {
            assert_eq!(pod_of_pin(&pin), Some(4711));
            assert_eq!(pod_of_pin(&format!("{pin}-new")), Some(4711));
        }
        for other in ["ingress-to-proxy", "steer_ingress", "pod-", "pod-x-to"] {
            assert_eq!(pod_of_pin(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_that_leaves_its_folder_is_refused() {
        for name in ["", "..", "a/b", "a b", &"x".repeat(65)] {
            assert!(Instance::new(name).is_err(), "{name:?}");
        }
        let instance = Instance::new("weir-lab-demo").expect("a good name");
        assert_eq!(
            instance.netns(weir_policy::model::Direction::Egress),
            "weir-lab-demo-egress"
        );
    }
}
