//! How long messages of multicast listener discovery are: nothing rides behind them.
//! Sources: RFC 2710 section 3, RFC 9777 sections 5.1 and 5.2.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};

use crate::packet::Packet;

const QUERY: u8 = 130;
const REPORT_V2: u8 = 143;
/// Of the first version, and the least of the second's queries.
const V1: u64 = 24;
const QUERY_V2: u64 = 28;
const SOURCE: u64 = 16;
const RECORD: u64 = 20;
/// Records that fit into a report of the smallest MTU, and some.
const MOST_RECORDS: u64 = 80;

/// Whether a message is as long as what it says it holds.
#[inline(always)]
pub fn whole(ctx: &TcContext, packet: &Packet) -> bool {
    let (start, length) = (packet.transport as u64, packet.payload() as u64);
    match packet.detail {
        QUERY if length == V1 => true,
        QUERY => match ctx.load::<[u8; 2]>(start as usize + 26) {
            Ok(sources) => length == QUERY_V2 + u16::from_be_bytes(sources) as u64 * SOURCE,
            Err(_) => false,
        },
        REPORT_V2 => records_length(ctx.skb.skb, start) == length,
        _ => length == V1,
    }
}

/// How long a report of the second version is by its records; 0: that cannot be read, or a record
/// has auxiliary data, which no host sends. A global function: the verifier reads it once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn records_length(skb: *mut __sk_buff, start: u64) -> u64 {
    let ctx = TcContext::new(skb);
    let Ok(records) = ctx.load::<[u8; 2]>((start & 0xffff) as usize + 6) else {
        return 0;
    };
    let records = u16::from_be_bytes(records) as u64;
    let mut length = 8u64;
    for record in 0..MOST_RECORDS {
        if record >= records {
            return length;
        }
        let at = (start & 0xffff) + (length & 0xffff);
        match ctx.load::<[u8; 4]>(at as usize) {
            Ok([_, 0, high, low]) => {
                length += RECORD + u16::from_be_bytes([high, low]) as u64 * SOURCE;
            }
            _ => return 0,
        }
    }
    if records == MOST_RECORDS { length } else { 0 }
}
