//! Changing the state of a connection for who takes it over, by BPF_PROG_TEST_RUN: in step with the
//! programs, and nothing else of it.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    conntrack::{JUDGED, PROXIED},
    http::{CHANGED, Change, OTHERWISE, Stream, UNKNOWN, state},
};

use super::stream::{self, lock, unlock};
use crate::{maps::CHANGE, packet::ETHERNET, share};

/// Reads a [`Change`] behind the Ethernet header, makes it, and writes the [`Stream`] there.
#[inline(always)]
pub fn set_state(ctx: &TcContext) -> i32 {
    let Some(change) = CHANGE.get_ptr_mut(0) else {
        return UNKNOWN as i32;
    };
    // SAFETY: this CPU's own slot.
    let change = unsafe { &mut *change };
    let Ok(asked) = ctx.load::<Change>(ETHERNET) else {
        return UNKNOWN as i32;
    };
    *change = asked;
    let (Some(stream), Some(connection)) = (stream::get(&change.key), share::get(&change.key))
    else {
        return UNKNOWN as i32;
    };
    if !lock(stream) {
        return OTHERWISE as i32;
    }
    let fits = stream.state == change.was;
    if fits {
        stream.state = change.to;
        if change.to == state::PROXIED {
            connection.flags = connection.flags & !JUDGED | PROXIED;
        }
    }
    let written = ctx.store(ETHERNET, stream as &Stream, 0);
    unlock(stream);
    if !fits || written.is_err() {
        return OTHERWISE as i32;
    }
    CHANGED as i32
}
