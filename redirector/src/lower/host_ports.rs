//! `HOST_PORTS`: ports of the node that host policies do not judge alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use weir_abi::{
    host::port,
    protocol,
    service::{ANY_NODE_V4, ANY_NODE_V6, ServiceKey},
};
use weir_policy::model::{Protocol, Service};

use super::abi_address;

/// Where the Kubernetes API is served.
pub fn api(services: &[Service]) -> impl Iterator<Item = (IpAddr, u16)> + '_ {
    let services = services.iter().filter(|service| service.is_apiserver());
    let ports = services.flat_map(|service| &service.ports);
    ports.flat_map(|port| port.backends.iter().copied())
}

/// The entries of the map. A node port counts before a pod's host port: it is the API server that
/// gives it.
pub fn lower(
    services: &[Service],
    of_pods: &BTreeSet<(Protocol, u16)>,
) -> BTreeMap<ServiceKey, u8> {
    let mut entries = BTreeMap::new();
    let mut everywhere = |protocol, number, value| {
        for address in [ANY_NODE_V4, ANY_NODE_V6] {
            entries.insert(key(address, number, protocol), value);
        }
    };
    for (protocol, number) in of_pods {
        everywhere(*protocol, *number, port::HOST_PORT);
    }
    for of in services.iter().flat_map(|service| &service.ports) {
        if let Some(number) = of.node_port {
            everywhere(of.protocol, number, port::NODE_PORT);
        }
    }
    for (address, number) in api(services) {
        entries.insert(key(abi_address(address), number, Protocol::Tcp), port::API);
    }
    entries
}

fn key(address: weir_abi::Address, port: u16, of: Protocol) -> ServiceKey {
    ServiceKey {
        address,
        port,
        protocol: match of {
            Protocol::Tcp => protocol::TCP,
            Protocol::Udp => protocol::UDP,
            Protocol::Sctp => protocol::SCTP,
            Protocol::Icmp => protocol::ICMP,
            Protocol::Icmpv6 => protocol::ICMPV6,
        },
        reserved: 0,
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::model::ServicePort;

    use super::*;

    fn service(name: &str, node_port: Option<u16>, backend: &str) -> Service {
        Service {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            ports: vec![ServicePort {
                name: String::new(),
                protocol: Protocol::Tcp,
                port: 443,
                node_port,
                backends: vec![(backend.parse().expect("an address"), 6443)],
            }],
            ..Service::default()
        }
    }

    #[test]
    fn a_node_port_counts_before_a_pods_host_port() {
        let services = [
            service("kubernetes", None, "172.18.0.9"),
            service("web", Some(30080), "10.244.0.2"),
        ];
        let of_pods = BTreeSet::from([(Protocol::Tcp, 30080), (Protocol::Udp, 53)]);
        let entries = lower(&services, &of_pods);
        let at = |address, number, of| entries.get(&key(address, number, of)).copied();
        for any in [ANY_NODE_V4, ANY_NODE_V6] {
            assert_eq!(at(any, 30080, Protocol::Tcp), Some(port::NODE_PORT));
            assert_eq!(at(any, 53, Protocol::Udp), Some(port::HOST_PORT));
        }
        let api = weir_abi::mapped([172, 18, 0, 9]);
        assert_eq!(at(api, 6443, Protocol::Tcp), Some(port::API));
        assert_eq!(entries.len(), 5);
    }
}
