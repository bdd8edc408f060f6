//! What an instance keeps in the kernel while nobody of it runs: pinned programs and maps.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use weir_abi::ABI_VERSION;
use weir_link::Instance;

use crate::{MapSizes, host};

const BPFFS: &str = "/sys/fs/bpf";
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// The pins of an instance, with maps of some sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    instance: Instance,
    sizes: MapSizes,
}

/// What is wrong with an instance's surroundings.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
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

// === impl Pins ===

impl Pins {
    /// The pins of an instance whose maps have these sizes: with others they are others.
    pub fn new(instance: Instance, sizes: MapSizes) -> Self {
        Self { instance, sizes }
    }

    /// The instance.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Sizes of its maps.
    pub fn sizes(&self) -> &MapSizes {
        &self.sizes
    }

    /// Pins of every version: `/sys/fs/bpf/weir/NAME`.
    pub fn root(&self) -> PathBuf {
        Path::new(BPFFS).join("weir").join(self.instance.name())
    }

    /// Pinned maps of this version: of the ABI, and of the maps' sizes.
    pub fn maps(&self) -> PathBuf {
        self.root()
            .join(format!("v{ABI_VERSION}{}", self.sizes.suffix()))
    }

    /// Pinned links of this version.
    pub fn links(&self) -> PathBuf {
        self.maps().join("links")
    }

    /// The program that changes the state of a judged connection.
    pub fn set_state(&self) -> PathBuf {
        self.maps().join("set_state")
    }

    /// The program that looks for flows that have ended.
    pub fn sweep(&self) -> PathBuf {
        self.maps().join("sweep")
    }

    /// Makes the folders, and mounts the BPF file system where it is missing.
    pub fn prepare(&self) -> Result<(), PinsError> {
        mount_bpffs()?;
        for path in [self.links(), self.instance.run_dir()] {
            fs::create_dir_all(&path).map_err(|source| PinsError::Folder {
                action: "make",
                path,
                source,
            })?;
        }
        Ok(())
    }

    /// Interfaces (indices) that programs of any version of this instance are pinned at, also where
    /// a pin outlived its interface.
    pub fn pinned_interfaces(&self) -> Result<BTreeSet<u32>, PinsError> {
        let mut found = BTreeSet::new();
        for version in children(&self.root())? {
            for pin in children(&version.join("links"))? {
                let name = pin.file_name().unwrap_or_default().to_string_lossy();
                found.extend(pod_of_pin(&name));
            }
        }
        Ok(found)
    }

    /// Removes what agents of other versions pinned: their programs detach. To be called when
    /// this version's are attached and have their policies.
    pub fn remove_other_versions(&self) -> Result<Vec<PathBuf>, PinsError> {
        let failed = |action, path: &Path, source| PinsError::Folder {
            action,
            path: path.to_owned(),
            source,
        };
        let mut removed = Vec::new();
        for path in children(&self.root())? {
            if path != self.maps() && path.is_dir() {
                fs::remove_dir_all(&path).map_err(|source| failed("remove", &path, source))?;
                removed.push(path);
            }
        }
        Ok(removed)
    }

    /// Removes pins (programs detach with their links) and the run-time folder.
    pub fn remove(&self) -> Result<(), PinsError> {
        for path in [self.root(), self.instance.run_dir()] {
            match fs::remove_dir_all(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(PinsError::Folder {
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

/// Names of the pins of the two programs at a device of the node.
pub(crate) fn device_pins(device: u32) -> [String; 2] {
    [format!("host-{device}-to"), format!("host-{device}-from")]
}

/// The device of a pin that [`device_pins`] named.
pub(crate) fn device_of_pin(pin: &str) -> Option<u32> {
    pin.strip_prefix("host-")?.split('-').next()?.parse().ok()
}

/// The interface of a pin that [`pod_pins`] named.
fn pod_of_pin(pin: &str) -> Option<u32> {
    pin.strip_prefix("pod-")?.split('-').next()?.parse().ok()
}

/// What is in a folder; nothing where it is not there.
fn children(folder: &Path) -> Result<Vec<PathBuf>, PinsError> {
    let failed = |source| PinsError::Folder {
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

fn mount_bpffs() -> Result<(), PinsError> {
    let mounted = || {
        nix::sys::statfs::statfs(BPFFS).is_ok_and(|stat| stat.filesystem_type().0 == BPF_FS_MAGIC)
    };
    if mounted() {
        return Ok(());
    }
    let failed = |source| PinsError::Bpffs { source };
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
    fn a_pin_tells_its_device() {
        for pin in device_pins(4711) {
            assert_eq!(device_of_pin(&pin), Some(4711));
            assert_eq!(pod_of_pin(&pin), None);
        }
        for other in ["ingress-to-proxy", "pod-7-to", "host-x-to"] {
            assert_eq!(device_of_pin(other), None, "{other}");
        }
    }

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
}
