//! DNS messages: the name that is judged is the one that the server reads, for the query goes on
//! as it came.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use weir_proxy::{context::DeniedQuery, dns::message::question};

/// Of a header (RFC 1035, 4.1.1).
const HEADER: usize = 12;

// The first byte says how long the query is; the answer follows it.
fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first() else {
        return;
    };
    let (query, answer) = rest.split_at(rest.len().min(usize::from(*length)));
    let Some(asked) = question(query) else { return };
    assert_eq!(query[..2], asked.id.to_be_bytes());
    assert_eq!(query[4..6], [0, 1], "not one question");
    let labels = labels(query).expect("the name can be taken apart");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
    // Only such names match a policy's; every other character is escaped.
    if asked.name.chars().all(plain) {
        let name = labels.join(&b'.').to_ascii_lowercase();
        assert_eq!(name, asked.name.as_bytes(), "another name on the wire");
        assert!(!labels.iter().any(|label| label.contains(&b'.')));
    }
    let denied = [DeniedQuery::Refused, DeniedQuery::NameError].map(|how| asked.denied(how));
    for refusal in denied.into_iter().chain([asked.unanswered()]) {
        let read = asked.answer(&refusal).expect("no answer to it");
        assert_eq!((read.addresses.len(), read.code > 0), (0, true));
    }
    for (address, _) in asked.answer(answer).unwrap_or_default().addresses {
        let found = match address {
            IpAddr::V4(address) => contains(answer, &address.octets()),
            IpAddr::V6(address) => contains(answer, &address.octets()),
        };
        assert!(found, "{address} is not in the answer");
    }
});

/// The labels of the question's name (RFC 1035, 4.1.4).
fn labels(message: &[u8]) -> Option<Vec<&[u8]>> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    // A name has at most 127 labels; pointers may form a ring.
    for _ in 0..256 {
        match *message.get(at)? {
            0 => return Some(labels),
            pointer @ 0xc0.. => {
                let low = *message.get(at + 1)?;
                at = usize::from(u16::from_be_bytes([pointer & 0x3f, low]));
            }
            length => {
                let end = at + 1 + usize::from(length);
                labels.push(message.get(at + 1..end)?);
                at = end;
            }
        }
    }
    None
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
