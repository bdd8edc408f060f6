//! Address to class, class to verdict.

use aya_ebpf::maps::lpm_trie::Key;
use weir_abi::{
    Address,
    conntrack::ConnectionKey,
    policy::{
        AUDITED_EGRESS, AUDITED_INGRESS, AddressValue, Endpoint, ISOLATED_EGRESS, ISOLATED_INGRESS,
        PREFIX_PORT, PolicyKey, direction, verdict,
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
    /// Of `REDIRECT`: the table by which requests may be judged here; 0: none.
    pub table: u32,
}

impl Judged {
    /// No policy was asked.
    pub const ALLOW: Self = Self {
        verdict: verdict::ALLOW,
        policy: 0,
        class: 0,
        table: 0,
    };
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

/// Whether flows of a direction are judged at all.
#[inline(always)]
fn judged(endpoint: &Endpoint, direction: u8) -> bool {
    let bits = if direction == direction::INGRESS {
        ISOLATED_INGRESS | AUDITED_INGRESS
    } else {
        ISOLATED_EGRESS | AUDITED_EGRESS
    };
    endpoint.flags & bits != 0
}

/// What an address is.
#[inline(always)]
pub fn address(address: &Address) -> AddressValue {
    ADDRESSES
        .get(Key::new(128, *address))
        .copied()
        .unwrap_or_default()
}

/// Whether the proxy understands a protocol: HTTP and TLS over TCP, DNS over both.
#[inline(always)]
pub fn proxied(protocol: u8) -> bool {
    protocol == protocol::TCP || protocol == protocol::UDP
}

/// Judges a flow of an endpoint. `port` is the message type of ICMP. `audited` says whether the
/// proxy may be used only to report.
#[inline(always)]
pub fn judge(
    endpoint: &Endpoint,
    direction: u8,
    remote: &Address,
    protocol: u8,
    port: u16,
    audited: bool,
) -> Judged {
    let mut judged = Judged::ALLOW;
    if !self::judged(endpoint, direction) {
        return judged;
    }
    judged.class = address(remote).class;
    if isolated(endpoint, direction) {
        judged.verdict = verdict::DENY;
    }
    let key = PolicyKey::new(endpoint.set, judged.class, direction, protocol, port);
    if let Some(value) = POLICY.get(Key::new(PREFIX_PORT, key)) {
        judged.policy = value.policy;
        if value.verdict == verdict::REDIRECT {
            // In words; see `weir_abi::policy::PolicyValue::table`.
            judged.table = value.table << 6;
        }
        judged.verdict = match value.verdict {
            verdict::ALLOW => verdict::ALLOW,
            verdict::AUDIT => verdict::AUDIT,
            verdict::REDIRECT if proxied(protocol) => verdict::REDIRECT,
            verdict::AUDIT_REDIRECT if audited && proxied(protocol) => verdict::REDIRECT,
            verdict::AUDIT_REDIRECT => verdict::ALLOW,
            _ => verdict::DENY,
        };
    }
    judged
}

/// Judges a flow of which nobody knows who opened it: it has what both directions let it. Returns
/// the direction that decided, too; `guess` where both say the same.
#[inline(always)]
pub fn judge_both(endpoint: &Endpoint, guess: u8, key: &ConnectionKey) -> (Judged, u8) {
    let (remote, protocol) = (&key.remote, key.protocol);
    let ports = [key.local_port, key.remote_port];
    let other = guess ^ 1;
    let likely = judge(
        endpoint,
        guess,
        remote,
        protocol,
        ports[guess as usize & 1],
        false,
    );
    let unlikely = judge(
        endpoint,
        other,
        remote,
        protocol,
        ports[other as usize & 1],
        false,
    );
    if strict(unlikely.verdict) > strict(likely.verdict) {
        (unlikely, other)
    } else {
        (likely, guess)
    }
}

/// How much a verdict holds back.
#[inline(always)]
fn strict(verdict: u8) -> u8 {
    match verdict {
        verdict::ALLOW => 0,
        verdict::AUDIT => 1,
        verdict::REDIRECT => 2,
        _ => 3,
    }
}
