//! What the programs counted, by type: nobody looks a counter up by its text.

use weir_abi::counter::{COUNT, NAMES};

/// The counters of the programs, over all CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters([u64; COUNT as usize]);

// === impl Counters ===

impl Counters {
    /// Reads every slot.
    pub(crate) fn read<E>(mut slot: impl FnMut(u32) -> Result<u64, E>) -> Result<Self, E> {
        let mut counts = [0; COUNT as usize];
        for (count, index) in counts.iter_mut().zip(0..) {
            *count = slot(index)?;
        }
        Ok(Self(counts))
    }

    /// One of [`weir_abi::counter`].
    pub fn of(&self, counter: u8) -> u64 {
        self.0.get(usize::from(counter)).copied().unwrap_or(0)
    }

    /// All of them with their names, as metrics and status print them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.0)
    }
}
