//! ICMP errors about tracked flows.

use aya_ebpf::programs::TcContext;
use weir_abi::conntrack::{DENIED, TRANSLATED};

use crate::{maps::Scratch, packet, service, tracking};

/// Whether an ICMP error is about a flow that is tracked, and goes to the one who sent what it
/// quotes (RFC 792, RFC 4443 section 2.2). Where the endpoint dialled a service it gets the
/// service's address back.
#[inline(always)]
pub fn related<const FROM_POD: bool>(ctx: &TcContext, scratch: &mut Scratch, now: u64) -> bool {
    let Scratch {
        endpoint,
        packet,
        quoted,
        key,
        header,
        ..
    } = scratch;
    if !packet::quoted(ctx, packet, quoted, header) || packet.destination != quoted.source {
        return false;
    }
    // What an error towards the pod quotes was sent by the pod, and the other way round.
    *key = quoted.key(endpoint.index, !FROM_POD);
    let Some(tracked) = tracking::find(key, now) else {
        return false;
    };
    if tracked.flags & DENIED != 0 {
        return false;
    }
    FROM_POD
        || tracked.flags & TRANSLATED == 0
        || service::reverse_quote(ctx, packet, quoted, &tracked.service, tracked.service_port)
}
