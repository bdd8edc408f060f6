//! New verdicts of the kernel, as its ring tells them.

use std::{io, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;
use weir_abi::event::Event;

/// How long events gather between two readings.
const GATHER: Duration = Duration::from_millis(20);

/// The ring of new verdicts.
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
    pub async fn read(self, mut take: impl FnMut(Event)) -> io::Error {
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
                if item.len() >= size_of::<Event>() {
                    // SAFETY: the ring holds only whole events of this plain type.
                    take(unsafe { std::ptr::read_unaligned(item.as_ptr().cast::<Event>()) });
                }
            }
            guard.clear_ready();
            // The kernel wakes us for the first event after a drained ring only: events that come
            // meanwhile cost no wake-up each.
            tokio::time::sleep(GATHER).await;
        }
    }
}
