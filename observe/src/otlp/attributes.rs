//! Attributes, by the names of OpenTelemetry's semantic conventions where these have one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

use crate::{
    api::flow::{Endpoint, Flow, TrafficDirection, layer4::Protocol},
    log,
};

/// A text.
pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

/// A number.
pub(super) fn number(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Nanoseconds since the Unix epoch.
pub(super) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// When a record is from, in nanoseconds since the Unix epoch.
pub(super) fn time(flow: &Flow) -> u64 {
    flow.time.as_ref().map_or(0, |time| {
        let seconds = u64::try_from(time.seconds).unwrap_or_default();
        let rest = u64::try_from(time.nanos).unwrap_or_default();
        seconds.saturating_mul(1_000_000_000).saturating_add(rest)
    })
}

/// Who spoke to whom, as the client began it, and who decided.
pub(super) fn of(flow: &Flow) -> Vec<KeyValue> {
    let ip = flow.ip.clone().unwrap_or_default();
    let (transport, from, to) = ports(flow);
    let near = (flow.source.as_ref(), ip.source, from);
    let far = (flow.destination.as_ref(), ip.destination, to);
    let (client, server) = match flow.is_reply {
        Some(true) => (far, near),
        _ => (near, far),
    };
    let mut all = Vec::new();
    for (side, (end, address, port)) in [("source", client), ("destination", server)] {
        all.push(text(&format!("{side}.address"), address));
        if port > 0 {
            all.push(number(&format!("{side}.port"), port.into()));
        }
        all.extend(end.into_iter().flat_map(|end| who(side, end)));
    }
    all.push(text("network.transport", transport));
    let direction = match flow.traffic_direction() {
        TrafficDirection::Ingress => "ingress",
        TrafficDirection::Egress => "egress",
        TrafficDirection::Unknown => "unknown",
    };
    all.push(text("weir.direction", direction));
    all.push(text("weir.action", log::word(flow)));
    if let Some(why) = &flow.weir {
        all.push(text("weir.reason", &why.reason));
        let more = [
            ("weir.policies", why.policies.join(",")),
            ("weir.nearest_miss", why.nearest_miss.clone()),
        ];
        let given = more.into_iter().filter(|(_, value)| !value.is_empty());
        all.extend(given.map(|(key, value)| text(key, value)));
    }
    all
}

fn who(side: &str, end: &Endpoint) -> impl Iterator<Item = KeyValue> {
    let workload = end.workloads.first();
    let workload = workload.map(|of| of.name.clone()).unwrap_or_default();
    let all = [
        ("namespace", end.namespace.clone()),
        ("pod", end.pod_name.clone()),
        ("workload", workload),
    ];
    let given = all.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(move |(key, value)| text(&format!("weir.{side}.{key}"), value))
}

fn ports(flow: &Flow) -> (&'static str, u32, u32) {
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(tcp)) => ("tcp", tcp.source_port, tcp.destination_port),
        Some(Protocol::Udp(udp)) => ("udp", udp.source_port, udp.destination_port),
        Some(Protocol::Sctp(sctp)) => ("sctp", sctp.source_port, sctp.destination_port),
        Some(Protocol::IcmPv4(_)) => ("icmp", 0, 0),
        Some(Protocol::IcmPv6(_)) => ("icmpv6", 0, 0),
        _ => ("other", 0, 0),
    }
}
