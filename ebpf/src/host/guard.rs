//! What host policies never cut: a node that they cut off could not be told better.

use weir_abi::{
    conntrack::ConnectionKey,
    counter,
    host::{KUBELET, port},
    policy::{
        CLUSTER, Endpoint, LOCAL_POD,
        direction::{EGRESS, INGRESS},
        verdict,
    },
    protocol,
    service::ServiceKey,
};

use crate::{
    maps::HOST_PORTS,
    pod::judged_port,
    verdict::{self as verdicts, Judged, address},
};

/// RFC 3376.
const IGMP: u8 = 2;

/// Judges a flow of the node's by its policies, and lets pass what they must not deny. The counter
/// says which of them it was.
#[inline(always)]
pub fn judge(endpoint: &Endpoint, key: &ConnectionKey, direction: u8) -> (Judged, u8) {
    let port = judged_port(key, direction);
    let mut judged = verdicts::judge(endpoint, direction, &key.remote, key.protocol, port, false);
    let reason = match judged.verdict {
        verdict::ALLOW => counter::PASS_NEW,
        verdict::AUDIT => counter::PASS_AUDITED,
        // Nothing looks into what the node says.
        _ if is_never_cut(key, direction) => {
            judged.verdict = verdict::ALLOW;
            counter::PASS_GUARDED
        }
        _ => {
            judged.verdict = verdict::DENY;
            counter::DROP_POLICY
        }
    };
    (judged, reason)
}

/// DHCP (RFC 2131, RFC 8415), group membership, a router's ICMP errors, the Kubernetes API, the kubelet
/// for the cluster, and the node's way to its own pods, which is the kubelet's probes.
#[inline(always)]
fn is_never_cut(key: &ConnectionKey, direction: u8) -> bool {
    match key.protocol {
        // To a group; what goes to one address carries anything.
        IGMP => {
            crate::packet::is_group(&key.remote, false)
                || crate::packet::is_group(&key.local, false)
        }
        protocol::UDP => {
            matches!((key.local_port, key.remote_port), (68, 67) | (546, 547))
                || is_own_pods(key, direction)
        }
        protocol::TCP if direction == EGRESS => {
            is_own_pods(key, direction)
                || leads(&key.remote, key.remote_port, key.protocol) == port::API
        }
        protocol::TCP => {
            leads(&key.local, key.local_port, key.protocol) == port::API
                || key.local_port == KUBELET && address(&key.remote).flags & CLUSTER != 0
        }
        // A router's errors are about what it sends on.
        protocol::ICMP if direction == EGRESS && matches!(key.kind, 3 | 4 | 11 | 12) => true,
        protocol::ICMPV6 if direction == EGRESS && matches!(key.kind, 1..=4) => true,
        _ => is_own_pods(key, direction),
    }
}

#[inline(always)]
fn is_own_pods(key: &ConnectionKey, direction: u8) -> bool {
    direction != INGRESS && address(&key.remote).flags & LOCAL_POD != 0
}

/// What is known of a port: see [`weir_abi::host::port`]; 0: nothing.
#[inline(always)]
pub fn leads(address: &weir_abi::Address, port: u16, protocol: u8) -> u8 {
    let key = ServiceKey {
        address: *address,
        port,
        protocol,
        reserved: 0,
    };
    // SAFETY: entries are plain integers.
    unsafe { HOST_PORTS.get(key) }.copied().unwrap_or(0)
}
