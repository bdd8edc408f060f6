//! The values of labels, as they are read off a flow.

use axum::http::StatusCode;
use weir_abi::protocol;

use super::family::OTHER;
use crate::{
    api::flow::{Endpoint, Flow, TrafficDirection, layer4::Protocol, layer7::Record},
    names::identity,
    print,
    record::event_type,
};

/// Namespace and workload of who asked and who was asked.
pub fn ends(source: Option<&Endpoint>, destination: Option<&Endpoint>, reply: bool) -> [String; 4] {
    let of = |end: Option<&Endpoint>| {
        let end = end.cloned().unwrap_or_default();
        let workload = end.workloads.into_iter().next().map(|w| w.name);
        // Nodes and the outside have no namespace: their name stands in the workload's place.
        let reserved = identity::reserved(end.identity).unwrap_or_default();
        (
            end.namespace,
            workload.unwrap_or_else(|| reserved.to_owned()),
        )
    };
    let (source, destination) = match reply {
        true => (of(destination), of(source)),
        false => (of(source), of(destination)),
    };
    [source.0, source.1, destination.0, destination.1]
}

/// The name of a status of gRPC; what its list does not have counts together
/// (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
pub fn grpc(code: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or(OTHER)
}

pub fn kinds(flow: &Flow) -> (&'static str, String) {
    let event = flow.event_type.unwrap_or_default();
    match event.r#type {
        event_type::DROP => ("Drop", String::new()),
        event_type::TRACE => ("Trace", print::kind(flow)),
        event_type::POLICY_VERDICT => ("PolicyVerdict", String::new()),
        event_type::L7 => {
            let subtype = match flow.l7.as_ref().and_then(|l7| l7.record.as_ref()) {
                Some(Record::Http(_)) => "HTTP",
                Some(Record::Dns(_)) => "DNS",
                None => "",
            };
            ("L7", subtype.to_owned())
        }
        _ => ("Unknown", String::new()),
    }
}

pub fn direction(flow: &Flow) -> &'static str {
    match flow.traffic_direction() {
        TrafficDirection::Ingress => "ingress",
        TrafficDirection::Egress => "egress",
        TrafficDirection::Unknown => "unknown",
    }
}

pub fn protocol_name(flow: &Flow) -> &'static str {
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(_)) => "TCP",
        Some(Protocol::Udp(_)) => "UDP",
        Some(Protocol::Sctp(_)) => "SCTP",
        Some(Protocol::IcmPv4(_)) => "ICMPv4",
        Some(Protocol::IcmPv6(_)) => "ICMPv6",
        None => "Unknown",
    }
}

pub fn protocol_of(number: u8) -> &'static str {
    match number {
        protocol::TCP => "TCP",
        protocol::UDP => "UDP",
        protocol::SCTP => "SCTP",
        protocol::ICMP => "ICMPv4",
        protocol::ICMPV6 => "ICMPv6",
        _ => "Unknown",
    }
}

/// A status that IANA knows; of others the class, since a server may make them up. 0: no answer.
pub fn status(code: Option<u16>) -> String {
    let Some(code) = code else {
        return "0".to_owned();
    };
    let known = StatusCode::from_u16(code).is_ok_and(|code| code.canonical_reason().is_some());
    match (known, code / 100) {
        (true, _) => code.to_string(),
        (false, class @ 1..=5) => format!("{class}xx"),
        (false, _) => OTHER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_make_up_series() {
        let of = |code| status(Some(code));
        assert_eq!((of(200).as_str(), of(403).as_str()), ("200", "403"));
        assert_eq!((of(299).as_str(), of(599).as_str()), ("2xx", "5xx"));
        assert_eq!(of(777), "other");
        assert_eq!(status(None), "0");
        let all: std::collections::HashSet<String> = (0..=999).map(of).collect();
        assert!(all.len() < 80, "{}", all.len());
    }
}
