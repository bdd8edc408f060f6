//! The types and constants that the kernel programs and user space share.
//!
//! Every shared type is `#[repr(C)]`, made of fixed-width integers and byte arrays, without
//! implicit padding, and its size is asserted. A field's name says its byte order where it is
//! not the host's (`_be`). Addresses are 16 bytes; IPv4 is mapped into `::ffff:0:0/96`.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo
    )
)]

pub mod conntrack;
pub mod counter;
pub mod event;
pub mod host;
pub mod http;
pub mod label;
pub mod listener;
pub mod mark;
pub mod policy;
pub mod service;

/// Version of everything in this crate that is pinned. It names the pin folder
/// (`/sys/fs/bpf/weir/<instance>/v<ABI_VERSION>`), because pinned maps are reused by name
/// without a look at their layout. Raise it with every change of a map's key, value or meaning.
pub const ABI_VERSION: u32 = 6;

/// An IPv6 address, or an IPv4 one mapped into `::ffff:0:0/96`.
pub type Address = [u8; 16];

/// `::ffff:a.b.c.d`.
#[inline(always)]
pub const fn mapped(v4: [u8; 4]) -> Address {
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3],
    ]
}

/// IANA protocol numbers that the programs know by name.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;

    /// Type of an ICMP echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Type of an ICMPv6 echo request.
    pub const ECHO_REQUEST_V6: u8 = 128;

    /// The message type that opens the ICMP flow to which a message of type `detail` belongs: a
    /// reply's is its request's (IANA registries of ICMP and ICMPv6 types).
    #[inline(always)]
    pub const fn request_type(protocol: u8, detail: u8) -> u8 {
        match (protocol, detail) {
            (ICMP, 0) => ECHO_REQUEST,
            (ICMP, 14 | 43) | (ICMPV6, 129 | 140 | 161) => detail - 1,
            _ => detail,
        }
    }
}

/// Asserts the size of shared types and, for user space, promises that they are plain bytes.
macro_rules! shared {
    ($($name:ty = $size:literal),* $(,)?) => { $(
        const _: () = assert!(core::mem::size_of::<$name>() == $size);
        // SAFETY: `repr(C)`, only integers and byte arrays, no padding (the size is asserted).
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $name {}
    )* };
}
pub(crate) use shared;
