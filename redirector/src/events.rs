//! New verdicts of the kernel and ends of flows, as its ring tells them.

use std::{io, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;
use weir_abi::event::{Ended, Event};

/// How long events gather between two readings.
const GATHER: Duration = Duration::from_millis(20);

/// What the kernel tells.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// A verdict on a new flow, or a drop for another reason than policy.
    Verdict(Event),
    /// The end of a flow.
    Ended(Ended),
}

/// Their lengths tell them apart.
const _: () = assert!(size_of::<Event>() != size_of::<Ended>());

/// The ring of what the kernel tells.
pub struct Events(RingBuf<MapData>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

// === impl Events ===

impl Events {
    pub(crate) fn new(ring: RingBuf<MapData>) -> Self {
        Self(ring)
    }

    /// Gives every event to `take`, until the ring cannot be waited for. Needs a tokio runtime.
    pub async fn read(self, mut take: impl FnMut(Told)) -> io::Error {
        // SAFETY: the ring owns its descriptor and keeps it open and the same as long as it lives.
        let mut events = match unsafe { AsyncFd::register(self.0) } {
            Ok(events) => events,
            Err(error) => return error.into(),
        };
        loop {
            let mut guard = match events.readable_mut().await {
                Ok(guard) => guard,
                Err(error) => return error,
            };
            while let Some(item) = guard.get_inner_mut().next() {
                if let Some(told) = told(&item) {
                    take(told);
                }
            }
            guard.clear_ready();
            // The kernel wakes us for the first event after a drained ring only: events that come
            // meanwhile cost no wake-up each.
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// What stands in an item of the ring.
pub fn told(item: &[u8]) -> Option<Told> {
    // SAFETY: the ring holds only whole values of these plain types.
    unsafe {
        match item.len() {
            length if length == size_of::<Event>() => {
                let event = std::ptr::read_unaligned(item.as_ptr().cast());
                Some(Told::Verdict(event))
            }
            length if length == size_of::<Ended>() => {
                let ended = std::ptr::read_unaligned(item.as_ptr().cast());
                Some(Told::Ended(ended))
            }
            _ => None,
        }
    }
}
