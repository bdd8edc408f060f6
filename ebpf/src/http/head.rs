//! A request head, judged: strict grammar (RFC 9112), the request line by its table.
//!
//! What is allowed here the proxy allows, and frames alike: a test runs both over every head that
//! the fuzzers know. What is simple stands in docs/policy-semantics.md.

use weir_abi::http::{HOST as HOST_BYTES, LINE, MOST_HEAD, TABLES, why};

use super::flags::{HOST, TOKEN, kinds_of};
use crate::{
    maps::{BYTES, TABLES as TABLE_WORDS},
    words::on,
};

/// Bytes of a packet that are looked at; readable a little beyond their end.
#[repr(C)]
pub struct Bytes {
    pub of: [u8; MOST_HEAD],
    beyond: [u8; 16],
    /// Always 0, which the verifier does not know: a loop that begins there is verified once.
    pub zero: u32,
    /// Where the host of the head begins that was judged last, and how long it is.
    pub host: [u16; 2],
}

/// Set in a verdict that does not allow; the other bits are a [`why`].
pub const NOT: u64 = 1 << 63;
/// More fields go to the proxy.
const MOST_FIELDS: u32 = 100;
/// A longer body goes to the proxy.
const MOST_BODY: u32 = 1 << 30;
/// Of its name: its port comes behind.
const MOST_HOST: u32 = HOST_BYTES as u32 - 6;
const MASK: u32 = MOST_HEAD as u32 - 1;
/// Of the offset of a word.
const TABLE_MASK: u32 = TABLES as u32 - 4;
/// Of the offset of a byte.
const CLASS_MASK: u32 = TABLES as u32 - 1;
const RUN: u32 = 1 << 31;
/// Words of a table before its first place.
const CLASSES: u32 = 64;
const CRLF: u16 = u16::from_le_bytes(*b"\r\n");
const LOWER: u64 = 0x2020_2020_2020_2020;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Whether the kernel has had enough of a loop. One instruction, compiled to a few; Linux 6.9.
#[inline(always)]
pub fn spent() -> bool {
    // SAFETY: it falls through or jumps to the label.
    unsafe {
        core::arch::asm!("may_goto {0}", label { return true });
    }
    false
}

/// Reads at a place that a mask keeps within what may be read. In assembly: the compiler knows that
/// places are in bounds and would leave the mask out, which the verifier needs; and of what is not
/// aligned it would read byte by byte.
macro_rules! read {
    ($kind:literal, $mask:expr, $from:expr, $at:expr) => {{
        let word: u64;
        // SAFETY: the mask keeps within the map's value; so much may be read from each place of it.
        unsafe {
            core::arch::asm!(
                "{word} = {at}",
                "{word} &= {mask}",
                "{word} += {from}",
                concat!("{word} = *(", $kind, " *)({word} + 0)"),
                word = out(reg) word,
                at = in(reg) $at as u64,
                from = in(reg) $from,
                mask = const $mask,
                options(nostack, readonly),
            );
        }
        word
    }};
}

/// Eight bytes from a place on.
#[inline(always)]
pub fn eight(bytes: *const u8, at: u32) -> u64 {
    read!("u64", MASK, bytes, at)
}

/// Two of them.
#[inline(always)]
pub fn two(bytes: *const u8, at: u32) -> u16 {
    read!("u16", MASK, bytes, at) as u16
}

/// One of them.
#[inline(always)]
pub fn one(bytes: *const u8, at: u32) -> u8 {
    read!("u8", MASK, bytes, at) as u8
}

/// A word of the tables.
#[inline(always)]
fn word(tables: *const u32, at: u32) -> u32 {
    read!("u32", TABLE_MASK, tables, at << 2) as u32
}

/// High bits of the bytes that are below a limit, the lowest of them exact.
#[inline(always)]
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word & HIGHS
}

/// The same of the bytes that are one.
#[inline(always)]
fn equal(word: u64, byte: u64) -> u64 {
    let word = word ^ (ONES * byte);
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Which byte the lowest high bit is of.
#[inline(always)]
fn place(marks: u64) -> u32 {
    let lowest = marks & marks.wrapping_neg();
    (((lowest.wrapping_sub(1) & ONES).wrapping_mul(ONES)) >> 56) as u32 - 1
}

/// Up to eight letters of a name.
const fn name(text: &[u8]) -> u64 {
    let mut word = 0;
    let mut at = 0;
    while at < text.len() && at < 8 {
        word |= (text[at] as u64) << (8 * at);
        at += 1;
    }
    word
}

const fn low(bytes: u32) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

/// Judges the head that must lie whole in this CPU's first `length` bytes: the length of the body,
/// of the line up to its version and of the head, in 32, 16 and 16 bits; or [`NOT`]. A global function
/// of numbers: the verifier reads it once, by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_head(length: u64, table: u64) -> u64 {
    let (Some(slot), Some(tables)) = (BYTES.get_ptr_mut(0), TABLE_WORDS.get_ptr(0)) else {
        return NOT | why::UNSURE as u64;
    };
    let unsure = NOT | why::UNSURE as u64;
    let denied = NOT | why::DENIED as u64;
    let (n, base) = (length as u32, table as u32);
    // How long it is stays unknown to the verifier, too: of a place below a bound that it knows it would
    // follow every turn of a loop. The masks keep within the array whatever it is.
    if base == 0 {
        return unsure;
    }
    // SAFETY: a field of this CPU's own slot.
    let zero = unsafe { core::ptr::read_volatile(&raw const (*slot).zero) };
    let mut at = zero;
    let bytes: *const u8 = slot.cast_const().cast();
    let tables: *const u32 = tables.cast();
    let mut step = word(tables, base + CLASSES);
    while step > 1 {
        if at >= n || spent() {
            return unsure;
        }
        if step & RUN != 0 {
            let run = step & !RUN;
            let many = word(tables, run) & 15;
            let wanted = word(tables, run + 2) as u64 | (word(tables, run + 3) as u64) << 32;
            step = word(tables, run + 1);
            if many == 0 || many > 8 || (eight(bytes, at) ^ wanted) << (64 - 8 * many) != 0 {
                step = 0;
            }
            at = on(at, many);
        } else {
            let byte = one(bytes, at) as u32;
            let class = read!("u8", CLASS_MASK, tables, (base << 2) + byte) as u32;
            step = word(tables, step + class);
            at = on(at, 1);
        }
    }
    if step != 1 {
        return denied;
    }
    let line = at - 1;
    if at + 10 > n || eight(bytes, at) != name(b"HTTP/1.1") || two(bytes, at + 8) != CRLF {
        return unsure;
    }
    at = on(at, 10);
    let (mut hosts, mut lengths, mut body, mut fields) = (zero, zero, zero, zero);
    loop {
        if at + 2 > n || spent() {
            return unsure;
        }
        if two(bytes, at) == CRLF {
            break;
        }
        fields = on(fields, 1);
        if fields > MOST_FIELDS {
            return unsure;
        }
        let from = at;
        while kinds_of(one(bytes, at)) & TOKEN != 0 {
            at = on(at, 1);
            if at >= n || spent() {
                return unsure;
            }
        }
        let many = at - from;
        if many == 0 || one(bytes, at) != b':' {
            return unsure;
        }
        at = on(at, 1);
        let first = eight(bytes, from) | LOWER;
        match many {
            4 if first as u32 as u64 == name(b"host") => {
                hosts = on(hosts, 1);
                let from = skip(bytes, at);
                at = host(bytes, from, n, zero);
                if at == 0 {
                    return unsure;
                }
                // SAFETY: a field of this CPU's own slot.
                unsafe { (*slot).host = [from as u16, (at - from) as u16] };
            }
            // The byte between the words may be another one that servers fold into it.
            14 if first & low(7) == name(b"content")
                && (eight(bytes, from + 8) | LOWER) & low(6) == name(b"length") =>
            {
                lengths = on(lengths, 1);
                at = skip(bytes, at);
                let digits = at;
                loop {
                    let digit = (one(bytes, at) as u32).wrapping_sub(b'0' as u32);
                    if digit > 9 {
                        break;
                    }
                    // Without leading zeros.
                    if at - digits > 9 || (at > digits && body == 0) {
                        return unsure;
                    }
                    body = body * 10 + digit;
                    at = on(at, 1);
                    if at >= n || spent() {
                        return unsure;
                    }
                }
                let dash = one(bytes, from + 7) == b'-';
                if !dash
                    || lengths > 1
                    || at == digits
                    || body > MOST_BODY
                    || two(bytes, at) != CRLF
                {
                    return unsure;
                }
            }
            17 if first == name(b"transfer")
                && eight(bytes, from + 9) | LOWER == name(b"encoding") =>
            {
                return unsure;
            }
            7 if first & low(7) == name(b"upgrade") => return unsure,
            6 if first & low(6) == name(b"expect") => return unsure,
            10 if first == name(b"connecti") => {
                at = skip(bytes, at);
                let word = eight(bytes, at) | LOWER;
                if word == name(b"keep-ali") && two(bytes, at + 8) | 0x2020 == two_of(b"ve") {
                    at = on(at, 10);
                } else if word & low(5) == name(b"close") {
                    at = on(at, 5);
                } else {
                    return unsure;
                }
                if at + 2 > n || two(bytes, at) != CRLF {
                    return unsure;
                }
            }
            _ => {}
        }
        // The value: no control bytes but the tab.
        loop {
            if at >= n || spent() {
                return unsure;
            }
            let word = eight(bytes, at);
            let bad = below(word, 0x20) | equal(word, 0x7f);
            if bad == 0 {
                at = on(at, 8);
                continue;
            }
            at = on(at, place(bad));
            if at + 2 > n {
                return unsure;
            }
            let both = two(bytes, at);
            if both == CRLF {
                at = on(at, 2);
                break;
            }
            if both as u8 != b'\t' {
                return unsure;
            }
            at = on(at, 1);
        }
    }
    // Servers differ in what they do with a body that the method gives no meaning; of those that it
    // has one for the usual ones begin alike.
    if line > LINE as u32 || hosts != 1 || (body > 0 && one(bytes, 0) != b'P') {
        return unsure;
    }
    (body as u64) << 32 | ((line & 0xffff) as u64) << 16 | ((at + 2) & 0xffff) as u64
}

const fn two_of(text: &[u8; 2]) -> u16 {
    u16::from_le_bytes(*text)
}

/// Behind the blank that most write.
#[inline(always)]
fn skip(bytes: *const u8, at: u32) -> u32 {
    if one(bytes, at) == b' ' { at + 1 } else { at }
}

/// Behind a plain host, perhaps with its port, that ends its line; 0 where there is none.
#[inline(always)]
fn host(bytes: *const u8, from: u32, n: u32, zero: u32) -> u32 {
    let mut at = from;
    while kinds_of(one(bytes, at)) & HOST != 0 {
        at = on(at, 1);
        if at >= n || spent() {
            return 0;
        }
    }
    if at == from || at - from > MOST_HOST {
        return 0;
    }
    if one(bytes, at) == b':' {
        at = on(at, 1);
        let (digits, mut port) = (at, zero);
        loop {
            let digit = (one(bytes, at) as u32).wrapping_sub(b'0' as u32);
            if digit > 9 {
                break;
            }
            port = port * 10 + digit;
            at = on(at, 1);
            if at - digits > 5 || at >= n || spent() {
                return 0;
            }
        }
        if at == digits || port > 65_535 {
            return 0;
        }
    }
    if at + 2 > n || two(bytes, at) != CRLF {
        return 0;
    }
    at
}
