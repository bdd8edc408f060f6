//! File descriptors: raised at the start, and shared out so that the agent's own are never taken.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Limits;

/// Fewer are not enough: maps, programs, links, private networks, the API's connections.
const NEEDED: u64 = 256;
/// More make no server larger.
const USEFUL: u64 = 2048;

/// A server, and with it what part of the descriptors it may have. The agent's together have less
/// than a third.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The control socket: every pod that starts waits on one connection.
    Control,
    /// Metrics.
    Metrics,
    /// Probes.
    Health,
    /// The observer's socket.
    Observer,
    /// The observer on TCP.
    ObserverTcp,
    /// The link of proxies.
    Link,
    /// The map in the browser, a process of its own.
    Ui,
    /// Reviews of policies, a process of its own.
    Webhook,
}

/// Raises this process's limit as far as it may, and says what it is.
///
/// # Errors
/// The limit cannot be read, or is too low to enforce anything with.
pub fn raise() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(errno) => {
            tracing::warn!(%errno, soft, hard, "the limit of open files is not raised");
            soft
        }
    };
    if limit < NEEDED {
        return Err(io::Error::other(format!(
            "only {limit} files may be open (RLIMIT_NOFILE): {NEEDED} are needed"
        )));
    }
    Ok(limit)
}

/// How many files this process may have open; where that is not known, few.
fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(NEEDED, |(soft, _)| soft)
}

// === impl Share ===

impl Share {
    /// Those of the agent.
    pub const AGENT: [Self; 6] = [
        Self::Control,
        Self::Metrics,
        Self::Health,
        Self::Observer,
        Self::ObserverTcp,
        Self::Link,
    ];

    /// Name of the server, as metrics tell it.
    pub fn server(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Metrics => "metrics",
            Self::Health => "health",
            Self::Observer => "observer",
            Self::ObserverTcp => "observer-tcp",
            Self::Link => "proxy-link",
            Self::Ui => "ui",
            Self::Webhook => "webhook",
        }
    }

    /// The connections of the server in this process.
    pub fn limits(self) -> Limits {
        self.of(limit())
    }

    fn one_of(self) -> u64 {
        match self {
            Self::Control | Self::Webhook => 8,
            Self::ObserverTcp | Self::Ui => 16,
            Self::Metrics | Self::Observer => 32,
            Self::Health | Self::Link => 64,
        }
    }

    /// The connections of the server, where so many files may be open.
    pub fn of(self, limit: u64) -> Limits {
        let total = (limit.clamp(NEEDED, USEFUL) / self.one_of()) as usize;
        let per_peer = match self {
            // Only root and the agent's own user reach them.
            Self::Control | Self::Observer => total,
            Self::Metrics | Self::Health | Self::ObserverTcp | Self::Link | Self::Ui => total / 2,
            // API servers are few. Whoever else comes must not take their places.
            Self::Webhook => total / 8,
        };
        Limits { total, per_peer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_leave_two_thirds_to_the_agent() {
        for limit in [NEEDED, 512, 1024, 4096, 1 << 20] {
            let all: usize = Share::AGENT.iter().map(|share| share.of(limit).total).sum();
            assert!(all as u64 * 3 < limit, "{all} of {limit}");
            for share in Share::AGENT {
                let limits = share.of(limit);
                assert!(limits.per_peer >= 2, "{share:?} of {limit}: {limits:?}");
            }
        }
        // A node that starts 110 pods at once.
        assert!(Share::Control.of(1 << 20).total >= 220);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(raise().expect("enough"), hard);
    }
}
