//! The cluster's own name, as Cilium's label `io.cilium.k8s.policy.cluster` asks for it.

use std::{fmt, str::FromStr};

/// Bytes of a name; Cilium's own bound.
const LONGEST: usize = 32;

/// The name of the one cluster there is: lower-case letters, digits and `-`, at most 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterName(String);

/// Text that is no name of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a cluster's name: at most 32 lower-case letters, digits and `-`, with a letter or \
     digit at both ends"
)]
pub struct NotAClusterName;

// === impl ClusterName ===

impl ClusterName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClusterName {
    /// What Cilium calls a cluster that nobody gave a name.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for ClusterName {
    type Err = NotAClusterName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = text.len() <= LONGEST
            && text.bytes().all(|b| plain(b) || b == b'-')
            && text.bytes().next().is_some_and(plain)
            && text.bytes().last().is_some_and(plain);
        good.then(|| Self(text.to_owned())).ok_or(NotAClusterName)
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_cilium_takes() {
        for name in ["default", "c1", "eu-west-1", "a"] {
            assert_eq!(name.parse::<ClusterName>().unwrap().to_string(), name);
        }
        for name in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(33)] {
            assert_eq!(name.parse::<ClusterName>(), Err(NotAClusterName), "{name}");
        }
        assert_eq!(ClusterName::default().as_str(), "default");
    }
}
