//! One end of a flow as text.

use crate::api::flow::{Endpoint, Flow, Service, layer4::Protocol};

pub(super) fn source(flow: &Flow, names: bool) -> String {
    let address = flow.ip.as_ref().map_or("", |ip| ip.source.as_str());
    let port = ports(flow).map(|(source, _)| source);
    let (end, service) = (flow.source.as_ref(), flow.source_service.as_ref());
    place(address, port, end, service, &flow.source_names, names)
}

pub(super) fn destination(flow: &Flow, names: bool) -> String {
    let address = flow.ip.as_ref().map_or("", |ip| ip.destination.as_str());
    let port = ports(flow).map(|(_, destination)| destination);
    let (end, service) = (flow.destination.as_ref(), flow.destination_service.as_ref());
    place(address, port, end, service, &flow.destination_names, names)
}

/// Pod before service before DNS names before address.
fn place(
    address: &str,
    port: Option<u32>,
    end: Option<&Endpoint>,
    service: Option<&Service>,
    dns: &[String],
    names: bool,
) -> String {
    let joined = |namespace: &str, name: &str| match namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}/{name}"),
    };
    let pod = end.filter(|end| !end.pod_name.is_empty());
    let host = match (pod, service) {
        (Some(end), _) if names => joined(&end.namespace, &end.pod_name),
        (None, Some(service)) if names => joined(&service.namespace, &service.name),
        (None, None) if names && !dns.is_empty() => dns.join(","),
        _ => address.to_owned(),
    };
    match port.filter(|port| *port > 0) {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

fn ports(flow: &Flow) -> Option<(u32, u32)> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
        Protocol::Udp(udp) => Some((udp.source_port, udp.destination_port)),
        Protocol::Sctp(sctp) => Some((sctp.source_port, sctp.destination_port)),
        Protocol::IcmPv4(_) | Protocol::IcmPv6(_) => None,
    }
}
