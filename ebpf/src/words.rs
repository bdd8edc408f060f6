//! Clearing and copying by words. For a copy that it cannot prove to be aligned, and for a longer
//! one, LLVM calls a loop that goes byte by byte: 45 ns for an endpoint, on every packet.

use core::ptr::{read_volatile, write_volatile};

use weir_abi::{
    Address,
    conntrack::{Connection, ConnectionKey},
    http::Text,
    policy::Endpoint,
};

use crate::packet::Packet;

/// What may be handled by words: aligned to eight bytes, a whole number of words long, and of plain
/// fields that may all be zero.
///
/// # Safety
///
/// All of that holds.
pub unsafe trait Words: Sized {
    /// How many words it has.
    const COUNT: usize = {
        assert!(size_of::<Self>().is_multiple_of(8) && align_of::<Self>() == 8);
        size_of::<Self>() / 8
    };
}

// SAFETY: integers and arrays of them, without padding.
unsafe impl Words for Endpoint {}
// SAFETY: the same.
unsafe impl Words for Text {}
// SAFETY: the same.
unsafe impl Words for ConnectionKey {}
// SAFETY: the same.
unsafe impl Words for Connection {}
// SAFETY: integers, `false`, and the part whose number is 0; what pads it is never read.
unsafe impl Words for Packet {}

/// Copies a value.
#[inline(always)]
pub fn copy<T: Words>(to: &mut T, from: &T) {
    let (to, from) = (
        (&raw mut *to).cast::<u64>(),
        (&raw const *from).cast::<u64>(),
    );
    for word in 0..T::COUNT {
        // SAFETY: both have so many words. Volatile, or it would become the call again.
        unsafe { write_volatile(to.add(word), read_volatile(from.add(word))) };
    }
}

/// Sets all of a value to zero.
#[inline(always)]
pub fn clear<T: Words>(value: &mut T) {
    let value = (&raw mut *value).cast::<u64>();
    for word in 0..T::COUNT {
        // SAFETY: it has so many words, and may be zero.
        unsafe { write_volatile(value.add(word), 0) };
    }
}

/// Writes `::ffff:a.b.c.d` into an address that is zero.
#[inline(always)]
pub fn map(address: &mut Address, v4: [u8; 4]) {
    address[10] = 0xff;
    address[11] = 0xff;
    address[12] = v4[0];
    address[13] = v4[1];
    address[14] = v4[2];
    address[15] = v4[3];
}

/// A place further on, in a loop that the verifier follows once: the compiler, which would count the
/// turns in a number that begins with 0, knows nothing of it.
#[inline(always)]
pub fn on(place: u32, by: u32) -> u32 {
    let mut place = place as u64;
    // SAFETY: an addition.
    unsafe {
        core::arch::asm!("{0} += {1}", inout(reg) place, in(reg) by as u64, options(nostack, nomem))
    };
    place as u32
}

/// The same number, of which the compiler knows nothing: it would leave out comparisons that the
/// verifier has to see.
#[inline(always)]
pub fn opaque(number: u32) -> u32 {
    on(number, 0)
}
