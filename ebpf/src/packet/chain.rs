//! IPv6 extension headers (RFC 8200 section 4).

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};

/// Extension headers followed before a packet is refused (RFC 8200 lists six kinds).
const MAX_EXTENSIONS: usize = 8;

/// Where a chain of extension headers leads.
#[derive(Clone, Copy)]
pub struct Chain {
    /// What follows it.
    pub protocol: u8,
    /// Where that begins.
    pub transport: u16,
    /// Where the fragment header is; 0: there is none.
    pub fragment: u16,
}

impl Chain {
    /// Follows the chain that begins at `first` with a header of kind `next`. `None` where it
    /// cannot be read before `end`, is too long, or sends the packet on to somebody else.
    #[inline(always)]
    pub fn follow(ctx: &TcContext, next: u8, first: usize, end: u32) -> Option<Self> {
        let packed = ipv6_chain(ctx.skb.skb, next as u64, first as u64, end as u64);
        (packed != BAD).then_some(Self {
            transport: packed as u16,
            fragment: (packed >> 16) as u16,
            protocol: (packed >> 32) as u8,
        })
    }
}

const BAD: u64 = u64::MAX;

/// The chain as one number. A global function: the verifier reads it once, and goes on with a
/// number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ipv6_chain(skb: *mut __sk_buff, next: u64, first: u64, end: u64) -> u64 {
    let ctx = TcContext::new(skb);
    let (mut next, mut offset, mut fragment) = (next as u8, first & 0xffff, 0u64);
    for _ in 0..MAX_EXTENSIONS {
        if !matches!(next, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
            return (next as u64) << 32 | fragment << 16 | offset;
        }
        let header = match ctx.load::<[u8; 4]>(offset as usize) {
            Ok(header) if offset + 8 <= end => header,
            _ => return BAD,
        };
        // A routing header with segments left sends the packet on (RFC 8200 section 4.4): its
        // destination is not who is judged.
        if next == 43 && header[3] != 0 {
            return BAD;
        }
        let length = match next {
            44 => {
                fragment = offset;
                8
            }
            // The authentication header counts 4-byte words, less two.
            51 => (header[1] as u64 + 2) * 4,
            _ => (header[1] as u64 + 1) * 8,
        };
        let later = next == 44 && u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0;
        next = header[0];
        offset += length;
        if offset > end || offset > 0xffff {
            return BAD;
        }
        if later {
            // What follows is payload: the rest of the chain is in the first fragment.
            return (next as u64) << 32 | fragment << 16 | offset;
        }
    }
    if matches!(next, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
        return BAD;
    }
    (next as u64) << 32 | fragment << 16 | offset
}
