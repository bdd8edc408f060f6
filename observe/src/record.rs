//! Records of the kernel's verdicts.

mod ended;
mod failure;
mod later;
mod request;
mod summary;

use std::{net::IpAddr, time::SystemTime};

use weir_abi::{Address, event::Event, policy::verdict, protocol};
use weir_policy::model::Direction;

use crate::{
    api::flow::{
        CiliumEventType, DropReason, Flow, FlowType, IcmPv4, IcmPv6, Ip, IpVersion, Layer4, Policy,
        Sctp, Tcp, TcpFlags, TraceObservationPoint, TrafficDirection, Udp, Verdict,
        layer4::Protocol,
    },
    names::Directory,
    why::{Reasons, direction_of},
};

pub(crate) use ended::opened_by;
pub use ended::{EndedFlow, counted, end, is_end, word};
pub use failure::{drop_reason, failure};
pub use later::{Later, dialled, uuid};
pub use request::requests;
pub use summary::summary;

/// Kinds of events, as the API numbers them.
pub mod event_type {
    /// A packet was dropped.
    pub const DROP: i32 = 1;
    /// A packet was seen.
    pub const TRACE: i32 = 4;
    /// A new flow was judged.
    pub const POLICY_VERDICT: i32 = 5;
    /// Something was said on a connection.
    pub const L7: i32 = 129;
    /// A flow has ended: Weir's own, beyond the numbers that the API uses.
    pub const ENDED: i32 = 200;
}

/// Places where packets are seen, as the API numbers them.
pub mod trace {
    /// On the way into a pod.
    pub const TO_ENDPOINT: i32 = 0;
    /// From a pod into the node's stack.
    pub const TO_STACK: i32 = 3;
}

/// An address of the kernel's.
pub fn address(bytes: Address) -> IpAddr {
    std::net::Ipv6Addr::from(bytes).to_canonical()
}

/// The records of a verdict: what was decided, and the packet's drop where it was dropped.
pub fn verdicts(
    event: &Event,
    time: SystemTime,
    names: &Directory,
    reasons: &Reasons,
) -> Vec<Flow> {
    let mut flow = base(event, time, names);
    let why = &reasons.why;
    let direction = direction_of(event);
    flow.traffic_direction = traffic(direction).into();
    flow.weir = Some(why.clone());
    if cuts(event) {
        let told = flow.weir.get_or_insert_default();
        told.reset = event.verdict == verdict::REDIRECT;
        told.reason = match told.reset {
            true => format!(
                "{}; the open connection is reset: it does not run through the proxy",
                why.reason
            ),
            false => format!("{}; the connection was open", why.reason),
        };
    }
    let decided = match event.verdict {
        verdict::ALLOW if reasons.unselected => {
            let (point, sub_type) = match direction {
                Direction::Ingress => (TraceObservationPoint::ToEndpoint, trace::TO_ENDPOINT),
                Direction::Egress => (TraceObservationPoint::ToStack, trace::TO_STACK),
            };
            flow.verdict = Verdict::Forwarded.into();
            flow.trace_observation_point = point.into();
            flow.event_type = Some(CiliumEventType {
                r#type: event_type::TRACE,
                sub_type,
            });
            return vec![finished(flow)];
        }
        verdict::ALLOW => Verdict::Forwarded,
        verdict::REDIRECT => Verdict::Redirected,
        verdict::AUDIT | verdict::AUDIT_REDIRECT => Verdict::Audit,
        _ => Verdict::Dropped,
    };
    flow.verdict = decided.into();
    flow.policy_match_type = reasons.matched;
    flow.policy_log = vec![why.reason.clone()];
    flow.policy_log
        .extend(names.logs(&why.policies, &why.rules));
    flow.event_type = Some(CiliumEventType {
        r#type: event_type::POLICY_VERDICT,
        sub_type: 0,
    });
    let by: Vec<Policy> = named(&why.policies, why.revision);
    let denied = matches!(decided, Verdict::Dropped | Verdict::Audit);
    *match (direction, denied) {
        (Direction::Ingress, true) => &mut flow.ingress_denied_by,
        (Direction::Ingress, false) => &mut flow.ingress_allowed_by,
        (Direction::Egress, true) => &mut flow.egress_denied_by,
        (Direction::Egress, false) => &mut flow.egress_allowed_by,
    } = by;
    if decided != Verdict::Dropped {
        return vec![finished(flow)];
    }
    let reason = match why.default_deny {
        true => DropReason::PolicyDenied,
        false => DropReason::PolicyDeny,
    };
    flow.drop_reason_desc = reason.into();
    flow.drop_reason = reason as u32;
    let dropped = Flow {
        policy_match_type: 0,
        event_type: Some(CiliumEventType {
            r#type: event_type::DROP,
            sub_type: reason as i32,
        }),
        ..flow.clone()
    };
    vec![finished(flow), finished(dropped)]
}

/// Whether a verdict ends a connection that was open: under a new policy, or because the table
/// knew nothing of it.
fn cuts(event: &Event) -> bool {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    event.protocol == protocol::TCP
        && event.detail & (SYN | ACK) != SYN
        && matches!(event.verdict, verdict::DENY | verdict::REDIRECT)
}

/// `Kind/NAMESPACE/NAME` (`Kind/NAME` where cluster-wide) as the API has it, each once.
pub fn named(policies: &[String], revision: u64) -> Vec<Policy> {
    let mut found: Vec<Policy> = Vec::new();
    for policy in policies {
        let mut parts = policy.splitn(3, '/');
        let kind = parts.next().unwrap_or_default();
        let (namespace, name) = match (parts.next(), parts.next()) {
            (Some(namespace), Some(name)) => (namespace, name),
            (Some(name), None) => ("", name),
            (None, _) => ("", policy.as_str()),
        };
        let policy = Policy {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            labels: Vec::new(),
            revision,
            kind: kind.to_owned(),
        };
        if !found.contains(&policy) {
            found.push(policy);
        }
    }
    found
}

fn base(event: &Event, time: SystemTime, names: &Directory) -> Flow {
    let (source, destination) = (address(event.source), address(event.destination));
    let service = address(event.service);
    Flow {
        time: Some(time.into()),
        ip: Some(ip(source, destination)),
        l4: layer4(event).map(|protocol| Layer4 {
            protocol: Some(protocol),
        }),
        source: Some(names.end(source)),
        destination: Some(names.end(destination)),
        source_names: names.dns(source),
        destination_names: names.dns(destination),
        destination_service: (event.service_port != 0)
            .then(|| names.service(service))
            .flatten(),
        r#type: FlowType::L3L4.into(),
        node_name: names.node.clone(),
        is_reply: Some(false),
        ..Flow::default()
    }
}

/// Addresses as text, with their family.
pub(crate) fn ip(source: IpAddr, destination: IpAddr) -> Ip {
    let version = match source {
        IpAddr::V4(_) => IpVersion::IPv4,
        IpAddr::V6(_) => IpVersion::IPv6,
    };
    Ip {
        source: source.to_string(),
        destination: destination.to_string(),
        ip_version: version.into(),
        ..Ip::default()
    }
}

/// The API's direction.
pub(crate) fn traffic(direction: Direction) -> TrafficDirection {
    match direction {
        Direction::Ingress => TrafficDirection::Ingress,
        Direction::Egress => TrafficDirection::Egress,
    }
}

fn layer4(event: &Event) -> Option<Protocol> {
    let source_port = event.source_port.into();
    let destination_port = event.destination_port.into();
    Some(match event.protocol {
        protocol::TCP => Protocol::Tcp(Tcp {
            source_port,
            destination_port,
            flags: Some(flags(event.detail)),
        }),
        protocol::UDP => Protocol::Udp(Udp {
            source_port,
            destination_port,
        }),
        protocol::SCTP => Protocol::Sctp(Sctp {
            source_port,
            destination_port,
        }),
        protocol::ICMP => Protocol::IcmPv4(IcmPv4 {
            r#type: event.detail.into(),
            code: 0,
        }),
        protocol::ICMPV6 => Protocol::IcmPv6(IcmPv6 {
            r#type: event.detail.into(),
            code: 0,
        }),
        _ => return None,
    })
}

fn flags(byte: u8) -> TcpFlags {
    let set = |bit: u8| byte & bit != 0;
    TcpFlags {
        fin: set(1),
        syn: set(2),
        rst: set(4),
        psh: set(8),
        ack: set(16),
        urg: set(32),
        ece: set(64),
        cwr: set(128),
        ns: false,
    }
}

/// With its summary.
pub(crate) fn finished(mut flow: Flow) -> Flow {
    flow.summary = summary(&flow);
    flow
}

#[cfg(test)]
mod tests;
