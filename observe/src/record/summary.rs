//! The last part of a flow's line, in brackets.

use crate::api::flow::{
    Dns, Flow, Http, L7FlowType, Layer7, TcpFlags, layer4::Protocol, layer7::Record,
};

/// What was sent, in a few words.
pub fn summary(flow: &Flow) -> String {
    if let Some(l7) = &flow.l7 {
        return application(flow, l7);
    }
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(tcp)) => {
            let flags = tcp.flags.as_ref().map(flags).unwrap_or_default();
            format!("TCP Flags: {flags}")
        }
        Some(Protocol::Udp(_)) => "UDP".into(),
        Some(Protocol::Sctp(_)) => "SCTP".into(),
        Some(Protocol::IcmPv4(icmp)) => format!("ICMPv4 {}", message(icmp.r#type, 8, 0)),
        Some(Protocol::IcmPv6(icmp)) => format!("ICMPv6 {}", message(icmp.r#type, 128, 129)),
        None => "Unknown protocol".into(),
    }
}

/// In the order in which Hubble writes them.
pub fn flags(flags: &TcpFlags) -> String {
    let named = [
        (flags.syn, "SYN"),
        (flags.ack, "ACK"),
        (flags.rst, "RST"),
        (flags.fin, "FIN"),
        (flags.psh, "PSH"),
        (flags.urg, "URG"),
        (flags.ece, "ECE"),
        (flags.cwr, "CWR"),
        (flags.ns, "NS"),
    ];
    let set: Vec<&str> = named
        .iter()
        .filter_map(|(set, name)| set.then_some(*name))
        .collect();
    set.join(", ")
}

fn message(number: u32, request: u32, reply: u32) -> String {
    match number {
        number if number == request => "EchoRequest".into(),
        number if number == reply => "EchoReply".into(),
        number => format!("Type({number})"),
    }
}

fn application(flow: &Flow, l7: &Layer7) -> String {
    let response = l7.r#type() == L7FlowType::Response;
    let milliseconds = l7.latency_ns / 1_000_000;
    match &l7.record {
        Some(Record::Http(http)) if response => {
            let Http {
                code,
                method,
                url,
                protocol,
                ..
            } = http;
            format!("{protocol} {code} {milliseconds}ms ({method} {url})")
        }
        Some(Record::Http(http)) => format!("{} {} {}", http.protocol, http.method, http.url),
        Some(Record::Dns(dns)) => query(dns, response),
        None if flow
            .weir
            .as_ref()
            .is_some_and(|why| why.application == "tls") =>
        {
            format!("TLS {}", flow.destination_names.join(","))
        }
        None => "not understood".into(),
    }
}

fn query(dns: &Dns, response: bool) -> String {
    let asked = match dns.qtypes.is_empty() {
        true => dns.query.clone(),
        false => format!("{} {}", dns.query, dns.qtypes.join(",")),
    };
    if !response {
        return format!("DNS Query {asked}");
    }
    let source = match dns.observation_source.as_str() {
        "proxy" => "Proxy",
        _ => "Query",
    };
    let mut said = Vec::new();
    if dns.rcode != 0 {
        said.push(format!("RCode: {}", code(dns.rcode)));
    }
    if !dns.ips.is_empty() {
        said.push(format!("{:?}", dns.ips.join(",")));
    }
    if !dns.cnames.is_empty() {
        said.push(format!("CNAMEs: {:?}", dns.cnames.join(",")));
    }
    said.push(format!("TTL: {}", dns.ttl));
    format!("DNS Answer {} ({source} {asked})", said.join(" "))
}

/// Codes by the names under which Hubble prints them.
fn code(number: u32) -> String {
    let name = match number {
        1 => "Format Error",
        2 => "Server Failure",
        3 => "Non-Existent Domain",
        4 => "Not Implemented",
        5 => "Query Refused",
        other => return other.to_string(),
    };
    name.to_owned()
}
