//! The proxy's private networks: one network namespace for each direction, joined to the node by
//! one veth pair.
//!
//! ```text
//! node: weir-ingress0 ══ weir1 :netns NAME-ingress     node: weir-egress0 ══ weir1 :netns NAME-egress
//! ```
//!
//! Inside, whatever arrives on `weir1` is delivered locally (an `iif` rule and a local default
//! route), whatever the proxy sends leaves by `weir1`. Every step can be repeated, so a restarted
//! agent adopts what is there and completes what a crash left half done. Nothing else on the node
//! is touched.

pub mod addresses;
mod configure;
pub mod devices;
pub mod interface;
pub mod netns;
pub mod veth;

use std::{fs, io, os::fd::OwnedFd, path::PathBuf};

use weir_policy::model::Direction;

use weir_link::Instance;

/// Name of the private link inside the proxy's network namespaces.
pub const INSIDE: &str = "weir1";

/// Name of the private link on the node's side.
pub fn outside(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "weir-ingress0",
        Direction::Egress => "weir-egress0",
    }
}

/// A private network that is ready.
#[derive(Debug)]
pub struct Network {
    /// The direction whose flows pass it.
    pub direction: Direction,
    /// Its network namespace.
    pub netns: OwnedFd,
    /// Interface index of the link on the node's side.
    pub link: u32,
}

/// What can go wrong with a private network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A network namespace cannot be made, opened or entered.
    #[error("network namespace {path}: cannot {action}: {source}", path = .path.display())]
    Netns {
        /// What was tried.
        action: &'static str,
        /// Its file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A netlink request failed.
    #[error("private network of {direction}: cannot {action}: {reason}")]
    Netlink {
        /// Which network.
        direction: Direction,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// A setting inside the namespace was refused.
    #[error("private network of {direction}: cannot set {key}: {source}")]
    Sysctl {
        /// Which network.
        direction: Direction,
        /// Path below `/proc/sys`.
        key: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Network {
    /// Makes the private network of a direction, or adopts and completes the one that is there.
    /// Works on the calling thread's network namespace as the node.
    pub fn ensure(
        instance: &Instance,
        direction: Direction,
        mtu: u32,
    ) -> Result<Self, NetworkError> {
        let path = netns::path(&instance.netns(direction));
        let netns = netns::ensure(&path)?;
        let outside_mac = configure::join(direction, &netns, mtu)?;
        netns::within(&netns, &path, || configure::inside(direction, outside_mac))??;
        let failed = |reason: String| NetworkError::Netlink {
            direction,
            action: "find the link",
            reason,
        };
        let link = interface::index(outside(direction))
            .map_err(|error| failed(error.to_string()))?
            .ok_or_else(|| failed("it is not there".to_owned()))?;
        Ok(Self {
            direction,
            netns,
            link,
        })
    }

    /// Removes what [`Self::ensure`] made; nothing happens where nothing is.
    pub fn remove(instance: &Instance, direction: Direction) -> Result<(), NetworkError> {
        let path = netns::path(&instance.netns(direction));
        // From the inside: the node's end may be in another namespace than ours, and one of that
        // name in ours may be another instance's. Both ends go together.
        if netns::is_netns(&path)? {
            let netns = netns::open(&path)?;
            netns::within(&netns, &path, || configure::unjoin(direction))??;
        }
        netns::remove(&path)
    }
}

/// Sockets in TIME_WAIT inside a network namespace, both families: when they use up a client's
/// ports, connections stall, so this is watched.
pub fn time_wait(network: &Network) -> Result<u64, NetworkError> {
    let path = PathBuf::from("proxy");
    netns::within(&network.netns, &path, || {
        let text = fs::read_to_string("/proc/thread-self/net/sockstat")?;
        let count = text.lines().find_map(|line| {
            let mut words = line.strip_prefix("TCP:")?.split_whitespace();
            words.find(|word| *word == "tw")?;
            words.next()?.parse().ok()
        });
        Ok(count.unwrap_or(0))
    })?
    .map_err(|source| NetworkError::Netns {
        action: "count the sockets in it",
        path,
        source,
    })
}
