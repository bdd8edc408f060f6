//! Address to class, class to verdict.

use aya_ebpf::maps::lpm_trie::Key;
use weir_abi::{
    Address,
    policy::{
        AddressValue, Endpoint, ISOLATED_EGRESS, ISOLATED_INGRESS, PREFIX_PORT, PolicyKey,
        direction, verdict,
    },
    protocol,
};

use crate::maps::{ADDRESSES, POLICY};

/// A verdict and what it was taken from.
#[derive(Clone, Copy)]
pub struct Judged {
    pub verdict: u8,
    pub policy: u32,
    pub class: u32,
}

/// Whether a direction of an endpoint denies by default.
#[inline(always)]
pub fn isolated(endpoint: &Endpoint, direction: u8) -> bool {
    let bit = if direction == direction::INGRESS {
        ISOLATED_INGRESS
    } else {
        ISOLATED_EGRESS
    };
    endpoint.flags & bit != 0
}

/// What an address is.
#[inline(always)]
pub fn address(address: &Address) -> AddressValue {
    ADDRESSES
        .get(Key::new(128, *address))
        .copied()
        .unwrap_or_default()
}

/// Judges a new flow of an endpoint.
#[inline(always)]
pub fn judge(
    endpoint: &Endpoint,
    direction: u8,
    remote: &Address,
    protocol: u8,
    port: u16,
) -> Judged {
    let mut judged = Judged {
        verdict: verdict::ALLOW,
        policy: 0,
        class: 0,
    };
    if !isolated(endpoint, direction) {
        return judged;
    }
    judged.class = address(remote).class;
    judged.verdict = verdict::DENY;
    // ICMP has no port: what stands there is an echo identifier.
    let port = if protocol == protocol::ICMP || protocol == protocol::ICMPV6 {
        0
    } else {
        port
    };
    let key = PolicyKey::new(endpoint.set, judged.class, direction, protocol, port);
    if let Some(value) = POLICY.get(Key::new(PREFIX_PORT, key)) {
        judged.policy = value.policy;
        if value.verdict == verdict::ALLOW {
            judged.verdict = verdict::ALLOW;
        } else if value.verdict == verdict::REDIRECT && protocol == protocol::TCP {
            judged.verdict = verdict::REDIRECT;
        }
    }
    judged
}
