//! What travels in `skb->mark` (and in the source MAC of the private link): which endpoint a
//! packet belongs to, and from which side it came.
//!
//! The accepted socket of the proxy inherits the mark (`tcp_fwmark_accept`); the socket towards
//! the other end carries it with the side flipped ([`flip`]).

/// Upper byte of every mark inside the private network namespaces.
pub const PRIVATE: u32 = 0x5b00_0000;
/// Set: the packet came from the pod. Clear: it was on its way to the pod.
pub const FROM_POD: u32 = 0x0001_0000;
/// A packet that the link program injects at a pod's veth as if the pod had sent it.
/// `from_pod` clears it; it is seen nowhere else.
pub const INJECTED: u32 = 0x5a00_0003;
/// A packet of a pod to itself, by way of a service. `to_pod` clears it; it is seen nowhere else.
pub const HAIRPIN: u32 = 0x5a00_0004;
/// An answer to a pod's packet that was denied. `to_pod` clears it; it is seen nowhere else.
pub const REFUSAL: u32 = 0x5a00_0005;
/// Mask of the endpoint index.
pub const ENDPOINT: u32 = 0x0000_ffff;

/// The mark of a packet of this endpoint and side.
#[inline(always)]
pub const fn private(endpoint: u16, from_pod: bool) -> u32 {
    PRIVATE | if from_pod { FROM_POD } else { 0 } | endpoint as u32
}

/// The mark for the proxy's socket towards the other end of a flow.
#[inline(always)]
pub const fn flip(mark: u32) -> u32 {
    mark ^ FROM_POD
}

/// The endpoint index, if this is a mark of ours.
#[inline(always)]
pub const fn endpoint(mark: u32) -> Option<u16> {
    if mark & 0xff00_0000 == PRIVATE {
        Some((mark & ENDPOINT) as u16)
    } else {
        None
    }
}
