//! What is known of a connection, changed by one program at a time.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use weir_abi::{conntrack::ConnectionKey, http::Stream};

use crate::maps::STREAMS;

/// How often a program looks whether another one on another CPU is done with a connection.
const TRIES: u32 = 64;

/// What is known of a connection.
#[inline(always)]
pub fn get(key: &ConnectionKey) -> Option<&'static mut Stream> {
    // SAFETY: map values outlive the program's run; what may not be torn is written under the lock.
    STREAMS
        .get_ptr_mut(key)
        .map(|stream| unsafe { &mut *stream })
}

/// Keeps others from a connection; false where another one is at work for too long. Held for a few
/// instructions, and no program is interrupted by another of its kind on its CPU.
#[inline(always)]
#[must_use]
pub fn lock(stream: &mut Stream) -> bool {
    for _ in 0..TRIES {
        let lock = &raw mut stream.lock;
        // SAFETY: a field of a map value.
        let (_, taken) = unsafe {
            atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(lock, 0, 1)
        };
        if taken {
            return true;
        }
    }
    false
}

/// Lets others in.
#[inline(always)]
pub fn unlock(stream: &mut Stream) {
    // SAFETY: as above. Whole words, and on the CPUs with eBPF a store is seen in order with those
    // before it by who takes the lock with a full barrier.
    unsafe { core::ptr::write_volatile(&raw mut stream.lock, 0) }
}

/// Puts another table in force for the next heads.
#[inline(always)]
pub fn changed(key: &ConnectionKey, table: u32) {
    if let Some(stream) = get(key) {
        stream.table = table;
    }
}
