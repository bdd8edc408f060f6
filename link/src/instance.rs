//! Where one running Weir meets the others on its node. A node has one instance, named `weir`; every
//! lab has its own.

use std::path::{Path, PathBuf};

use weir_policy::model::Direction;

/// An instance by its name, which every process of it is given, and what follows from that alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    name: String,
}

/// The name would not be safe in a path, or too long for the name of a socket.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is not an instance name: 1 to 64 letters, digits, `-` or `_`", name.escape_debug())]
pub struct InstanceNameError {
    /// The name given.
    pub name: String,
}

/// The one of a node.
pub const OF_NODE: &str = "weir";

// === impl Instance ===

impl Default for Instance {
    fn default() -> Self {
        Self {
            name: OF_NODE.to_owned(),
        }
    }
}

impl Instance {
    /// The most bytes of a name: its sockets' paths fit into a `sockaddr_un` (unix(7)).
    pub const LONGEST: usize = 64;

    /// The instance of this name.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(name: &str) -> Result<Self, InstanceNameError> {
        let fits = (1..=Self::LONGEST).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        match fits {
            true => Ok(Self { name: name.into() }),
            false => Err(InstanceNameError { name: name.into() }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
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

    /// Socket on which the agent tells flows.
    pub fn observer_socket(&self) -> PathBuf {
        self.run_dir().join("hubble.sock")
    }

    /// Name of the proxy's network namespace for a direction.
    pub fn netns(&self, direction: Direction) -> String {
        format!("{}-{direction}", self.name)
    }

    /// Where that network namespace is.
    pub fn netns_path(&self, direction: Direction) -> PathBuf {
        Path::new("/run/netns").join(self.netns(direction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leaves_its_folder_is_refused() {
        for name in ["", "..", "a/b", "a b", &"x".repeat(65)] {
            assert!(Instance::new(name).is_err(), "{name:?}");
        }
        let instance = Instance::new("weir-lab-demo").expect("a good name");
        assert_eq!(instance.netns(Direction::Egress), "weir-lab-demo-egress");
        let longest = Instance::new(&"x".repeat(Instance::LONGEST)).expect("a long name");
        for socket in [
            longest.agent_socket(),
            longest.proxy_socket(),
            longest.observer_socket(),
        ] {
            assert!(socket.as_os_str().len() < 108, "{}", socket.display());
        }
    }
}
