//! Kinds of bytes in a request head.

/// May be in a token (RFC 9110 section 5.6.2).
pub const TOKEN: u8 = 1;
/// May be in the name of a host as the proxy takes it.
pub const HOST: u8 = 2;

static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let is = byte as u8;
        if is.is_ascii_alphanumeric() {
            kinds[byte] = TOKEN | HOST;
        }
        if matches!(is, b'-' | b'.' | b'_' | b'~') {
            kinds[byte] = TOKEN | HOST;
        }
        if matches!(
            is,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|'
        ) {
            kinds[byte] = TOKEN;
        }
        byte += 1;
    }
    kinds
}

/// The kinds of a byte.
#[inline(always)]
pub fn kinds_of(byte: u8) -> u8 {
    // SAFETY: every byte has a place. Volatile: the compiler would put a chain of comparisons here.
    unsafe { core::ptr::read_volatile((&raw const KINDS).cast::<u8>().add(byte as usize)) }
}

static DIGITS: [u8; 256] = digits();

const fn digits() -> [u8; 256] {
    let mut digits = [255; 256];
    let mut byte = 0usize;
    while byte < 256 {
        digits[byte] = match byte as u8 {
            decimal @ b'0'..=b'9' => decimal - b'0',
            lower @ b'a'..=b'f' => lower - b'a' + 10,
            upper @ b'A'..=b'F' => upper - b'A' + 10,
            _ => 255,
        };
        byte += 1;
    }
    digits
}

/// What a hexadecimal digit stands for; 255 for any other byte.
#[inline(always)]
pub fn digit(byte: u8) -> u8 {
    // SAFETY: as in `kinds_of`.
    unsafe { core::ptr::read_volatile((&raw const DIGITS).cast::<u8>().add(byte as usize)) }
}
