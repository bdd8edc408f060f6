//! Filters on the ends of a flow.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{FilterError, Selector, Tests, each, protocol};
use crate::api::flow::{Endpoint, Flow, FlowFilter, Service, Workload, layer4::Protocol};

/// The fields of one end in a filter, and how that end is read off a flow.
struct Side<'a> {
    ips: (&'static str, &'a [String]),
    address: fn(&Flow) -> Option<&str>,
    end: fn(&Flow) -> Option<&Endpoint>,
    service: fn(&Flow) -> Option<&Service>,
    names: fn(&Flow) -> &[String],
    port: fn(&Protocol) -> Option<u32>,
    pods: (&'static str, &'a [String]),
    fqdns: (&'static str, &'a [String]),
    labels: (&'static str, &'a [String]),
    services: (&'static str, &'a [String]),
    ports: (&'static str, &'a [String]),
    workloads: &'a [Workload],
    identities: &'a [u32],
    clusters: &'a [String],
}

pub(super) fn compile(filter: &FlowFilter, tests: &mut Tests<'_>) -> Result<(), FilterError> {
    let source = Side {
        ips: ("source_ip", &filter.source_ip),
        address: |flow| Some(&flow.ip.as_ref()?.source),
        end: |flow| flow.source.as_ref(),
        service: |flow| flow.source_service.as_ref(),
        names: |flow| &flow.source_names,
        port: |protocol| ports(protocol).map(|(source, _)| source),
        pods: ("source_pod", &filter.source_pod),
        fqdns: ("source_fqdn", &filter.source_fqdn),
        labels: ("source_label", &filter.source_label),
        services: ("source_service", &filter.source_service),
        ports: ("source_port", &filter.source_port),
        workloads: &filter.source_workload,
        identities: &filter.source_identity,
        clusters: &filter.source_cluster_name,
    };
    let destination = Side {
        ips: ("destination_ip", &filter.destination_ip),
        address: |flow| Some(&flow.ip.as_ref()?.destination),
        end: |flow| flow.destination.as_ref(),
        service: |flow| flow.destination_service.as_ref(),
        names: |flow| &flow.destination_names,
        port: |protocol| ports(protocol).map(|(_, destination)| destination),
        pods: ("destination_pod", &filter.destination_pod),
        fqdns: ("destination_fqdn", &filter.destination_fqdn),
        labels: ("destination_label", &filter.destination_label),
        services: ("destination_service", &filter.destination_service),
        ports: ("destination_port", &filter.destination_port),
        workloads: &filter.destination_workload,
        identities: &filter.destination_identity,
        clusters: &filter.destination_cluster_name,
    };
    source.compile(tests)?;
    destination.compile(tests)?;
    let xlated = each("source_ip_xlated", &filter.source_ip_xlated, network)?;
    tests.any(&xlated, |network, flow| {
        let address = flow.ip.as_ref().map(|ip| ip.source_xlated.as_str());
        within(network, address)
    });
    Ok(())
}

// === impl Side ===

impl Side<'_> {
    fn compile(self, tests: &mut Tests<'_>) -> Result<(), FilterError> {
        let Self {
            end,
            service,
            names,
            port,
            ..
        } = self;
        let address = self.address;
        let networks = each(self.ips.0, self.ips.1, network)?;
        tests.any(&networks, move |network, flow| {
            within(network, address(flow))
        });
        let pods = each(self.pods.0, self.pods.1, full_name)?;
        tests.any(&pods, move |(namespace, prefix), flow| {
            end(flow).is_some_and(|end| {
                is(namespace, &end.namespace)
                    && end.pod_name.starts_with(prefix)
                    && !end.namespace.is_empty()
            })
        });
        let services = each(self.services.0, self.services.1, full_name)?;
        tests.any(&services, move |(namespace, prefix), flow| {
            service(flow).is_some_and(|service| {
                is(namespace, &service.namespace) && service.name.starts_with(prefix)
            })
        });
        let fqdns = tests.patterns(self.fqdns.0, self.fqdns.1, name_pattern)?;
        tests.any(&fqdns, move |pattern, flow| {
            let found = names(flow).iter();
            found
                .into_iter()
                .any(|name| pattern.is_match(name.trim_end_matches('.')))
        });
        let labels = each(self.labels.0, self.labels.1, Selector::parse)?;
        tests.any(&labels, move |selector, flow| {
            end(flow).is_some_and(|end| selector.matches(&end.labels))
        });
        let ports = each(self.ports.0, self.ports.1, str::parse::<u16>)?;
        tests.any(&ports, move |wanted, flow| {
            protocol(flow).and_then(port) == Some(u32::from(*wanted))
        });
        tests.any(self.workloads, move |wanted, flow| {
            let workloads = end(flow).into_iter().flat_map(|end| &end.workloads);
            let alike = |name: &str, wanted: &str| wanted.is_empty() || name == wanted;
            workloads
                .into_iter()
                .any(|w| alike(&w.name, &wanted.name) && alike(&w.kind, &wanted.kind))
        });
        tests.one_of(self.identities, move |flow| Some(end(flow)?.identity));
        tests.one_of(self.clusters, move |flow| {
            Some(end(flow)?.cluster_name.clone())
        });
        Ok(())
    }
}

fn ports(protocol: &Protocol) -> Option<(u32, u32)> {
    match protocol {
        Protocol::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
        Protocol::Udp(udp) => Some((udp.source_port, udp.destination_port)),
        Protocol::Sctp(sctp) => Some((sctp.source_port, sctp.destination_port)),
        Protocol::IcmPv4(_) | Protocol::IcmPv6(_) => None,
    }
}

/// An address or a prefix.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse::<IpNet>())
        .map_err(|_| format!("{text:?} is neither an address nor a prefix"))
}

fn within(network: &IpNet, address: Option<&str>) -> bool {
    address
        .and_then(|text| text.parse::<IpAddr>().ok())
        .is_some_and(|address| network.contains(&address))
}

/// `NAMESPACE/PREFIX`, `NAMESPACE/`, `/PREFIX` in every namespace, `/` for all of them (as `hubble
/// observe -A` asks), `PREFIX` in `default`.
fn full_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, prefix)) => Ok((namespace.to_owned(), prefix.to_owned())),
        None if text.is_empty() => Err("is empty".to_owned()),
        None => Ok(("default".to_owned(), text.to_owned())),
    }
}

fn is(wanted: &str, namespace: &str) -> bool {
    wanted.is_empty() || wanted == namespace
}

/// A DNS name with `*` for any part of it.
fn name_pattern(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.');
    if name.is_empty() {
        return Err("is empty".to_owned());
    }
    let pattern = regex::escape(name).replace("\\*", "[-a-zA-Z0-9_.]*");
    Ok(format!("(?i)^{pattern}$"))
}
