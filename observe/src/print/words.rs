//! What a flow was, in Hubble's words.

use crate::{
    api::{
        flow::{DropReason, Flow, L7FlowType, Policy, TrafficDirection, Verdict, layer7::Record},
        weir::Why,
    },
    record::event_type,
};

/// What kind of event a flow is, in Hubble's words.
pub fn kind(flow: &Flow) -> String {
    if let Some(l7) = &flow.l7 {
        let kind = match l7.r#type() {
            L7FlowType::Request => "request",
            L7FlowType::Response => "response",
            _ => "sample",
        };
        return match &l7.record {
            Some(Record::Http(_)) => format!("http-{kind}"),
            Some(Record::Dns(dns)) => format!("dns-{kind} {}", dns.observation_source),
            None => format!("l7-{kind}"),
        };
    }
    let Some(event) = &flow.event_type else {
        return "UNKNOWN".into();
    };
    match event.r#type {
        event_type::ENDED => "ended".into(),
        event_type::TRACE => point(event.sub_type).into(),
        event_type::DROP => dropped(flow.drop_reason_desc()),
        event_type::POLICY_VERDICT => {
            let matched = match flow.policy_match_type {
                1 => "L3-Only",
                2 => "L3-L4",
                3 => "L4-Only",
                4 => "all",
                5 => "L3-Proto",
                6 => "Proto-Only",
                _ => "none",
            };
            let direction = match flow.traffic_direction() {
                TrafficDirection::Unknown => "TRAFFIC_DIRECTION_UNKNOWN",
                TrafficDirection::Ingress => "INGRESS",
                TrafficDirection::Egress => "EGRESS",
            };
            format!("policy-verdict:{matched} {direction}")
        }
        _ => "UNKNOWN".into(),
    }
}

/// Places where packets are seen, by their numbers.
const POINTS: [&str; 12] = [
    "to-endpoint",
    "to-proxy",
    "to-host",
    "to-stack",
    "to-overlay",
    "from-endpoint",
    "from-proxy",
    "from-host",
    "from-stack",
    "from-overlay",
    "from-network",
    "to-network",
];

/// The number of a place where packets are seen.
pub fn trace_point(name: &str) -> Option<i32> {
    let index = POINTS.iter().position(|point| *point == name)?;
    i32::try_from(index).ok()
}

fn point(sub_type: i32) -> &'static str {
    let index = usize::try_from(sub_type).unwrap_or(usize::MAX);
    POINTS.get(index).copied().unwrap_or("UNKNOWN")
}

/// A reason in Hubble's words, which metrics have, too.
pub fn dropped(reason: DropReason) -> String {
    match reason {
        DropReason::PolicyDenied => "Policy denied".into(),
        DropReason::PolicyDeny => "Policy denied by denylist".into(),
        DropReason::InvalidSourceIp => "Invalid source ip".into(),
        other => {
            let words = other.as_str_name().replace('_', " ").to_lowercase();
            let mut letters = words.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    }
}

/// A verdict in Hubble's words.
pub fn verdict(flow: &Flow) -> &'static str {
    let judged = flow
        .event_type
        .as_ref()
        .is_some_and(|event| event.r#type == event_type::POLICY_VERDICT);
    match flow.verdict() {
        Verdict::Forwarded | Verdict::Redirected if judged => "ALLOWED",
        Verdict::Dropped | Verdict::Error if judged => "DENIED",
        Verdict::Audit if judged => "AUDITED",
        verdict => verdict.as_str_name(),
    }
}

/// The policies that decided.
pub fn policies(flow: &Flow) -> &[Policy] {
    let lists = [
        &flow.ingress_denied_by,
        &flow.egress_denied_by,
        &flow.ingress_allowed_by,
        &flow.egress_allowed_by,
    ];
    lists
        .into_iter()
        .find(|list| !list.is_empty())
        .map_or(&[], Vec::as_slice)
}

/// Why a flow got its verdict, as one line.
pub fn told(flow: &Flow) -> String {
    let Some(why) = &flow.weir else {
        let reasons = flow.policy_log.join("; ");
        return match reasons.is_empty() {
            true => "no reason is recorded".into(),
            false => reasons,
        };
    };
    let Why {
        reason,
        nearest_miss,
        repeats,
        ..
    } = why;
    let mut text = reason.clone();
    if !nearest_miss.is_empty() {
        text = format!("{text}; nearest: {nearest_miss}");
    }
    if *repeats > 0 {
        text = format!("{text}; sent again {repeats} times");
    }
    text
}
