//! Places of the proxy's listeners in the `LISTENERS` map.

/// How many there are.
pub const COUNT: u32 = 9;

/// The place of a socket of whoever takes judged connections over, as long as it lives.
pub const TAKEOVER: u32 = 8;

/// The place of the listener for a direction (see [`crate::policy::direction`]), a family and a
/// protocol.
#[inline(always)]
pub const fn slot(direction: u8, v6: bool, udp: bool) -> u32 {
    udp as u32 * 4 + direction as u32 * 2 + v6 as u32
}
