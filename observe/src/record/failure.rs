//! Packets that were dropped for another reason than policy.

use std::time::SystemTime;

use weir_abi::{counter, event::Event};

use super::{base, event_type, finished, traffic};
use crate::{
    api::{
        flow::{CiliumEventType, DropReason, Flow, Verdict},
        weir::Why,
    },
    names::Directory,
    why::direction_of,
};

/// Why the kernel dropped a packet, as the API names it; `None`: it did not.
pub fn drop_reason(event: &Event) -> Option<DropReason> {
    use weir_abi::policy::verdict;
    if event.is_failure() {
        return Some(failure_reason(event.reason).0);
    }
    (event.verdict == verdict::DENY).then_some(match event.policy {
        0 => DropReason::PolicyDenied,
        _ => DropReason::PolicyDeny,
    })
}

/// The record of such a packet.
pub fn failure(event: &Event, time: SystemTime, names: &Directory) -> Flow {
    let (reason, text) = failure_reason(event.reason);
    let known = event.source != [0; 16];
    let base = base(event, time, names);
    finished(Flow {
        verdict: Verdict::Dropped.into(),
        drop_reason: reason as u32,
        drop_reason_desc: reason.into(),
        traffic_direction: traffic(direction_of(event)).into(),
        // A frame that is not IP has no addresses to tell.
        ip: base.ip.filter(|_| known),
        l4: base.l4.filter(|_| known),
        event_type: Some(CiliumEventType {
            r#type: event_type::DROP,
            sub_type: reason as i32,
        }),
        policy_log: vec![text.to_owned()],
        weir: Some(Why {
            reason: match names.endpoint(event.endpoint) {
                Some(endpoint) => format!("{text} (at {endpoint})"),
                None => text.to_owned(),
            },
            ..Why::default()
        }),
        ..base
    })
}

/// The API has no names for Weir's own parts: the nearest one, and a sentence that is exact.
fn failure_reason(reason: u8) -> (DropReason, &'static str) {
    match reason {
        counter::DROP_NO_ENDPOINT => (
            DropReason::NoMatchingLocalContainerFound,
            "the interface belongs to no endpoint that is known",
        ),
        counter::DROP_NOT_IP => (
            DropReason::UnsupportedL3Protocol,
            "neither untagged IP nor ARP",
        ),
        counter::DROP_SPOOFED => (
            DropReason::InvalidSourceIp,
            "the pod sent from an address that is not its own",
        ),
        counter::DROP_FRAGMENT => (
            DropReason::FirstLogicalDatagramFragmentNotFound,
            "a fragment whose first part was not seen",
        ),
        counter::DROP_NO_LINK => (
            DropReason::SocketLookupFailed,
            "its rules need the proxy, and there is no link to it",
        ),
        counter::DROP_NO_PROXY => (
            DropReason::SocketLookupFailed,
            "its rules need the proxy, and no proxy listens",
        ),
        counter::DROP_UNMARKED => (
            DropReason::UnknownSender,
            "the proxy sent it for no endpoint",
        ),
        counter::DROP_GONE => (
            DropReason::NoMatchingLocalContainerFound,
            "the proxy sent it for an endpoint that is gone",
        ),
        counter::DROP_NO_NEIGHBOUR => (
            DropReason::StaleOrUnroutableIp,
            "the way back of a proxied flow is not known",
        ),
        counter::DROP_TABLE_FULL => (
            DropReason::CtMapInsertionFailed,
            "the endpoint's share of the connection table is used up",
        ),
        counter::DROP_TRANSLATION => (
            DropReason::ServiceBackendNotFound,
            "the service's address could not be translated",
        ),
        counter::DROP_UNTRACKED => (
            DropReason::UnknownConnectionTrackingState,
            "an answer to a request, or the middle of a connection, that is not known",
        ),
        counter::DROP_NEIGHBOUR => (
            DropReason::InvalidSourceMac,
            "ARP or neighbour discovery that its sender may not send",
        ),
        _ => (
            DropReason::InvalidPacketDropped,
            "headers that cannot be read",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::testing::{ALLOW, policy, syn};

    #[test]
    fn every_failure_has_a_reason_and_a_sentence() {
        let names = policy(ALLOW);
        let mut sentences = std::collections::HashSet::new();
        for reason in (0..=u8::MAX).filter(|reason| counter::is_failure(*reason)) {
            let event = Event {
                reason,
                ..syn(&names, weir_abi::policy::verdict::DENY)
            };
            let flow = failure(&event, UNIX_EPOCH, &names);
            assert_eq!(drop_reason(&event), Some(flow.drop_reason_desc()));
            assert_eq!(flow.verdict(), Verdict::Dropped);
            assert!(flow.ingress_denied_by.is_empty());
            let known = counter::NAMES[usize::from(reason)];
            let other = matches!(known, "drop_malformed" | "drop_foreign");
            assert!(
                sentences.insert(flow.policy_log[0].clone()) || other,
                "{known}"
            );
            assert_eq!(crate::log::word(&flow), "DROP");
        }
        let passed = syn(&names, weir_abi::policy::verdict::ALLOW);
        assert_eq!(drop_reason(&passed), None);
    }

    #[test]
    fn what_is_not_ip_has_no_addresses() {
        let names = policy(ALLOW);
        let event = Event {
            reason: counter::DROP_NOT_IP,
            endpoint: crate::testing::INDEX,
            ..Event::default()
        };
        let flow = failure(&event, UNIX_EPOCH, &names);
        assert_eq!((flow.ip, flow.l4), (None, None));
        let why = flow.weir.expect("a reason").reason;
        assert!(why.ends_with("(at default/httpbin-79-kqb4f)"), "{why}");
    }
}
