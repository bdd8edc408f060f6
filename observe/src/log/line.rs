//! A flow as a line of the log.

use std::fmt::Write as _;

use crate::{
    api::flow::{
        DropReason, Endpoint, Flow, TrafficDirection, Verdict, layer4::Protocol, layer7::Record,
    },
    print::{Style, policies},
    record::event_type,
};

/// Whether a packet was dropped for another reason than policy.
pub fn is_failure(flow: &Flow) -> bool {
    let drop = flow
        .event_type
        .as_ref()
        .is_some_and(|event| event.r#type == event_type::DROP);
    let denied = [DropReason::PolicyDenied, DropReason::PolicyDeny];
    drop && !denied.contains(&flow.drop_reason_desc())
}

/// What was done: `DROP` where a packet could not be judged or not go on, `RESET` where an open
/// connection must begin anew through the proxy, `ALLOW`, `REDIRECT`, `AUDIT`, `DENY` and `ERROR`, with `HTTP_`, `DNS_` or `TLS_`
/// before it where the proxy decided, `L7_` where it understood nothing.
pub fn word(flow: &Flow) -> String {
    if is_failure(flow) {
        return "DROP".into();
    }
    if flow.weir.as_ref().is_some_and(|why| why.reset) {
        return "RESET".into();
    }
    let done = match flow.verdict() {
        Verdict::Redirected => "REDIRECT",
        Verdict::Audit => "AUDIT",
        Verdict::Dropped => "DENY",
        Verdict::Error => "ERROR",
        _ => "ALLOW",
    };
    let layer = match &flow.l7 {
        None => "",
        Some(l7) => match &l7.record {
            Some(Record::Http(_)) => "HTTP_",
            Some(Record::Dns(_)) => "DNS_",
            None if is_tls(flow) => "TLS_",
            None => "L7_",
        },
    };
    format!("{layer}{done}")
}

/// The line: the word, then `key=value` in an order that stays.
pub fn line(flow: &Flow) -> String {
    let mut line = Line(word(flow));
    let style = Style {
        time: "%Y-%m-%dT%H:%M:%S%.3fZ".into(),
        ..Style::default()
    };
    line.put("time", &style.time(flow.time.as_ref()));
    let direction = match flow.traffic_direction() {
        TrafficDirection::Ingress => "ingress",
        TrafficDirection::Egress => "egress",
        TrafficDirection::Unknown => "unknown",
    };
    line.put("direction", direction);
    let ip = flow.ip.clone().unwrap_or_default();
    let (protocol, source_port, destination_port) = transport(flow);
    let ends = [
        ("src", flow.source.as_ref(), ip.source, source_port),
        (
            "dst",
            flow.destination.as_ref(),
            ip.destination,
            destination_port,
        ),
    ];
    for (side, end, address, port) in ends {
        line.put(side, &who(end, &address));
        line.put(&format!("{side}_ip"), &address);
        if port > 0 {
            line.put(&format!("{side}_port"), &port.to_string());
        }
    }
    line.put("proto", protocol);
    if let Some(service) = &flow.destination_service {
        line.put(
            "service",
            &format!("{}/{}", service.namespace, service.name),
        );
    }
    application(flow, &mut line);
    decision(flow, &mut line);
    line.put("node", &flow.node_name);
    line.0
}

fn application(flow: &Flow, line: &mut Line) {
    let Some(l7) = &flow.l7 else {
        if let Some(event) = &flow.event_type
            && (event.r#type == event_type::POLICY_VERDICT || is_failure(flow))
        {
            line.put("packet", &flow.summary);
        }
        return;
    };
    match &l7.record {
        Some(Record::Http(http)) => {
            line.put("method", &http.method);
            line.put("url", &http.url);
            if http.code > 0 {
                line.put("status", &http.code.to_string());
            }
        }
        Some(Record::Dns(dns)) => line.put("query", &dns.query),
        None if is_tls(flow) => line.put("name", &flow.destination_names.join(",")),
        None => {}
    }
    line.put("latency_us", &(l7.latency_ns / 1000).to_string());
}

fn decision(flow: &Flow, line: &mut Line) {
    let named: Vec<String> = policies(flow)
        .iter()
        .map(|policy| match policy.namespace.is_empty() {
            true => format!("{}/{}", policy.kind, policy.name),
            false => format!("{}/{}/{}", policy.kind, policy.namespace, policy.name),
        })
        .collect();
    match named.is_empty() {
        true => line.put("policy", "-"),
        false => line.put("policy", &named.join(",")),
    }
    let Some(why) = &flow.weir else {
        return;
    };
    let rules = why.rules.join(",");
    if !rules.trim_matches(',').is_empty() {
        line.put("rule", &rules);
    }
    line.put("reason", &why.reason);
    if !why.nearest_miss.is_empty() {
        line.put("nearest", &why.nearest_miss);
    }
}

fn is_tls(flow: &Flow) -> bool {
    flow.weir
        .as_ref()
        .is_some_and(|why| why.application == "tls")
}

fn who(end: Option<&Endpoint>, address: &str) -> String {
    match end {
        Some(end) if !end.pod_name.is_empty() => format!("{}/{}", end.namespace, end.pod_name),
        Some(end) => match end.labels.first() {
            Some(label) => label.clone(),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    }
}

fn transport(flow: &Flow) -> (&'static str, u32, u32) {
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(tcp)) => ("TCP", tcp.source_port, tcp.destination_port),
        Some(Protocol::Udp(udp)) => ("UDP", udp.source_port, udp.destination_port),
        Some(Protocol::Sctp(sctp)) => ("SCTP", sctp.source_port, sctp.destination_port),
        Some(Protocol::IcmPv4(_)) => ("ICMP", 0, 0),
        Some(Protocol::IcmPv6(_)) => ("ICMPv6", 0, 0),
        None => ("other", 0, 0),
    }
}

struct Line(String);

impl Line {
    /// Values with anything but plain characters are quoted as in JSON, so that what a client sent
    /// cannot look like a field or a line of its own.
    fn put(&mut self, key: &str, value: &str) {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
        let shown = match !value.is_empty() && value.bytes().all(plain) {
            true => value.to_owned(),
            false => serde_json::Value::from(value).to_string(),
        };
        // Writing to a string does not fail.
        write!(self.0, " {key}={shown}").ok();
    }
}
