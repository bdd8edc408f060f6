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

/// The entries of the map. What leads to the node itself is the node's; `is_own` says of an address
/// whether it is.
pub fn lower(
    services: &[Service],
    of_pods: &BTreeSet<(Protocol, u16)>,
    is_own: impl Fn(IpAddr) -> bool,
) -> BTreeMap<ServiceKey, u8> {
    let mut entries = BTreeMap::new();
    for (protocol, number) in of_pods {
        for any in [ANY_NODE_V4, ANY_NODE_V6] {
            entries.insert(key(any, *number, *protocol), port::POD);
        }
    }
    let others = services.iter().filter(|service| !service.is_apiserver());
    for service in others {
        for of in &service.ports {
            for front in service.fronts() {
                let mut backends = of.backends_of(front.is_ipv6());
                if backends.any(|(backend, _)| is_own(backend)) && !is_own(front) {
                    entries.insert(key(abi_address(front), of.port, of.protocol), port::NODE);
                }
            }
            let Some(number) = of.node_port else {
                continue;
            };
            for (any, v6) in [(ANY_NODE_V4, false), (ANY_NODE_V6, true)] {
                let key = key(any, number, of.protocol);
                if of.backends_of(v6).any(|(backend, _)| is_own(backend)) {
                    entries.remove(&key);
                } else if service.has_family(v6) {
                    entries.insert(key, port::POD);
                }
            }
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
            addresses: vec![[10, 96, 0, 1].into()],
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
    fn what_leads_to_pods_is_theirs_and_what_leads_to_the_node_is_not() {
        let services = [
            service("kubernetes", None, "172.18.0.9"),
            service("web", Some(30080), "10.244.0.2"),
            service("agent", Some(30081), "172.18.0.2"),
        ];
        let of_pods = BTreeSet::from([(Protocol::Udp, 53), (Protocol::Tcp, 30081)]);
        let node: IpAddr = [172, 18, 0, 2].into();
        let entries = lower(&services, &of_pods, |address| address == node);
        let at = |address, number, of| entries.get(&key(address, number, of)).copied();
        assert_eq!(at(ANY_NODE_V4, 30080, Protocol::Tcp), Some(port::POD));
        // The service has no address of the family.
        assert_eq!(at(ANY_NODE_V6, 30080, Protocol::Tcp), None);
        assert_eq!(at(ANY_NODE_V4, 30081, Protocol::Tcp), None);
        for any in [ANY_NODE_V4, ANY_NODE_V6] {
            assert_eq!(at(any, 53, Protocol::Udp), Some(port::POD));
        }
        let front = weir_abi::mapped([10, 96, 0, 1]);
        assert_eq!(at(front, 443, Protocol::Tcp), Some(port::NODE));
        let api = weir_abi::mapped([172, 18, 0, 9]);
        assert_eq!(at(api, 6443, Protocol::Tcp), Some(port::API));
    }
}
