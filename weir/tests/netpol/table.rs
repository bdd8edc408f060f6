//! Which pod may reach which.

/// Namespaces and pods of the nine.
pub const NAMES: [[&str; 3]; 2] = [["x", "y", "z"], ["a", "b", "c"]];
pub const PODS: usize = 9;

/// Rows are clients, columns are servers. A pod and itself are left out: that never leaves it.
#[derive(Debug, Clone, Copy)]
pub struct Table([[bool; PODS]; PODS]);

/// `x/a` of a pod's place.
pub fn name(pod: usize) -> String {
    format!("{}/{}", NAMES[0][pod / 3], NAMES[1][pod % 3])
}

// === impl Table ===

impl Table {
    /// Everybody may reach everybody.
    pub fn open() -> Self {
        Self([[true; PODS]; PODS])
    }

    /// Names are `x/a`, `x/*` for a namespace and `*` for all.
    pub fn deny(self, from: &str, to: &str) -> Self {
        self.set(from, to, false)
    }

    /// Later words replace earlier ones.
    pub fn allow(self, from: &str, to: &str) -> Self {
        self.set(from, to, true)
    }

    pub fn allows(&self, from: usize, to: usize) -> bool {
        self.0[from][to]
    }

    fn set(mut self, from: &str, to: &str, allowed: bool) -> Self {
        for client in matching(from) {
            for server in matching(to) {
                self.0[client][server] = allowed;
            }
        }
        self
    }
}

fn matching(pattern: &str) -> Vec<usize> {
    let matches = |pod: &usize| match pattern.split_once('/') {
        None => pattern == "*",
        Some((namespace, "*")) => namespace == NAMES[0][pod / 3],
        Some(_) => pattern == name(*pod),
    };
    let found: Vec<usize> = (0..PODS).filter(matches).collect();
    assert!(!found.is_empty(), "{pattern} is none of the nine pods");
    found
}
