//! The numbers by which the kernel's maps know endpoints.

use std::collections::HashMap;

use super::RedirectorError;

/// Indices of endpoints: a pod's interface keeps its index; a free one is reused as late as possible.
#[derive(Debug, Default)]
pub(super) struct Indices {
    of: HashMap<u32, u16>,
    last: u16,
}

// === impl Indices ===

impl Indices {
    /// Takes over what an earlier agent gave.
    pub(super) fn adopt(&mut self, interface: u32, index: u16) {
        self.of.insert(interface, index);
        self.last = self.last.max(index);
    }

    /// Lets go of those of interfaces that are gone.
    pub(super) fn forget(&mut self, gone: &[u32]) {
        self.of.retain(|interface, _| !gone.contains(interface));
    }

    /// The index of an interface, on first sight a free one.
    pub(super) fn of(&mut self, interface: u32) -> Result<u16, RedirectorError> {
        if let Some(index) = self.of.get(&interface) {
            return Ok(*index);
        }
        for _ in 0..u16::MAX {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.of.values().any(|index| *index == self.last) {
                self.of.insert(interface, self.last);
                return Ok(self.last);
            }
        }
        Err(RedirectorError::Indices)
    }
}
