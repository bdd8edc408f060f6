//! Which socket a new connection or a query in the proxy's network namespace goes to.

use aya_ebpf::{bindings::sk_action, programs::SkLookupContext};

use weir_abi::listener::slot;

use crate::maps::LISTENERS;

const AF_INET6: u32 = 10;
const TCP: u32 = weir_abi::protocol::TCP as u32;
const UDP: u32 = weir_abi::protocol::UDP as u32;

/// Gives a connection or a datagram to the listener of its direction and family; the kernel
/// spreads over the listener's reuseport group. Without a listener it is refused.
#[inline(always)]
pub fn steer(ctx: &SkLookupContext, direction: u8) -> u32 {
    // SAFETY: the context is valid for the run of the program.
    let (family, protocol) = unsafe { ((*ctx.lookup).family, (*ctx.lookup).protocol) };
    if protocol != TCP && protocol != UDP {
        return sk_action::SK_PASS;
    }
    let slot = slot(direction, family == AF_INET6, protocol == UDP);
    match LISTENERS.redirect_sk_lookup(ctx, slot, 0) {
        Ok(()) => sk_action::SK_PASS,
        Err(_) => sk_action::SK_DROP,
    }
}
