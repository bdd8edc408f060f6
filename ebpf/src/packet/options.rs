//! IPv4 options that change where a packet goes.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};

use super::ETHERNET;

/// Loose and strict source route (RFC 791 section 3.1).
const LOOSE: u8 = 131;
const STRICT: u8 = 137;

/// Whether options of so many bytes name a route (1 or 0): the destination in the header is then
/// not who is judged. What cannot be read counts as one. A global function: the verifier reads it
/// once, and goes on with a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ipv4_route(skb: *mut __sk_buff, length: u64) -> u64 {
    let ctx = TcContext::new(skb);
    let mut at = 0u64;
    for _ in 0..41 {
        if at >= length {
            return 0;
        }
        let place = ETHERNET + 20 + (at & 63) as usize;
        let Ok(kind) = ctx.load::<u8>(place) else {
            return 1;
        };
        match kind {
            // End of options.
            0 => return 0,
            // No operation.
            1 => {
                at += 1;
                continue;
            }
            LOOSE | STRICT => return 1,
            _ => {}
        }
        match ctx.load::<u8>(place + 1) {
            Ok(length @ 2..) => at += length as u64,
            _ => return 1,
        }
    }
    1
}
