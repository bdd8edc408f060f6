//! Services as nft rules, shaped as kube-proxy's nftables mode makes them.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::endpoints::{Backend, Ready, backends};
use super::service::{ServicePlan, ServicePort};
use crate::layout::{SERVICE_CIDRS, bracketed};
use crate::names;
use crate::node::{CLUSTER_CIDRS, Node};

/// The bit by which kube-proxy remembers that a packet must leave with the node's address.
const MASQUERADE: &str = "0x4000";

/// The whole rule set of the node, both families, replaced in one transaction.
pub fn rules(services: &[ServicePlan], pods: &[Ready<'_>], node: Node) -> String {
    let mut text = String::new();
    for v6 in [false, true] {
        let family = if v6 { "ip6" } else { "ip" };
        // Declaring before deleting makes the first load the same as every other.
        let table = format!("table {family} kube-proxy");
        text += &format!("{table}\ndelete {table}\n{table} {{\n");
        text += &family_rules(services, pods, node, v6);
        text += "}\n";
    }
    text
}

/// The rules of one family: the maps first, then a chain for each port and each backend.
#[derive(Default)]
struct Parts {
    service_ips: Vec<String>,
    without_endpoints: Vec<String>,
    node_ports: Vec<String>,
    node_ports_without_endpoints: Vec<String>,
    cluster_ips: Vec<String>,
    chains: String,
}

fn family_rules(services: &[ServicePlan], pods: &[Ready<'_>], node: Node, v6: bool) -> String {
    let mut parts = Parts::default();
    for service in services {
        parts.add_node_ports(service, v6, pods, node);
        for address in service.addresses.iter().filter(|a| a.is_ipv6() == v6) {
            parts.cluster_ips.push(address.to_string());
            parts.add_service(service, *address, pods);
        }
    }
    let (family, address) = if v6 {
        ("ip6", "ipv6_addr")
    } else {
        ("ip", "ipv4_addr")
    };
    let key = format!("{address} . inet_proto . inet_service : verdict");
    let node_key = "inet_proto . inet_service : verdict";
    let (cluster, service_cidr) = (
        CLUSTER_CIDRS[usize::from(v6)],
        SERVICE_CIDRS[usize::from(v6)],
    );
    [
        set("map", "service-ips", &key, &parts.service_ips),
        set("map", "no-endpoint-services", &key, &parts.without_endpoints),
        set("map", "service-nodeports", node_key, &parts.node_ports),
        set(
            "map",
            "no-endpoint-nodeports",
            node_key,
            &parts.node_ports_without_endpoints,
        ),
        set("set", "cluster-ips", address, &parts.cluster_ips),
        format!(
            "chain mark-for-masquerade {{\n  meta mark set meta mark | {MASQUERADE}\n}}\n\
             chain reject-chain {{\n  reject\n}}\n"
        ),
        parts.chains,
        // Checked after the translation: what still has a virtual address then leads nowhere.
        format!(
            "chain services {{
  {family} daddr . meta l4proto . th dport vmap @service-ips
  fib daddr type local meta l4proto . th dport vmap @service-nodeports
}}
chain service-checks {{
  {family} daddr . meta l4proto . th dport vmap @no-endpoint-services
  {family} daddr @cluster-ips reject
  {family} daddr {service_cidr} drop
}}
chain nat-prerouting {{
  type nat hook prerouting priority -100; policy accept;
  jump services
}}
chain nat-output {{
  type nat hook output priority -100; policy accept;
  jump services
}}
chain nat-postrouting {{
  type nat hook postrouting priority 100; policy accept;
  meta mark & {MASQUERADE} == {MASQUERADE} meta mark set meta mark ^ {MASQUERADE} masquerade fully-random
  {family} saddr {cluster} {family} daddr != {cluster} oifname eth0 masquerade
}}
chain filter-forward {{
  type filter hook forward priority -110; policy accept;
  ct state new jump service-checks
}}
chain filter-input {{
  type filter hook input priority -110; policy accept;
  ct state new fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports
}}
chain filter-output {{
  type filter hook output priority -90; policy accept;
  ct state new jump service-checks
}}
"
        ),
    ]
    .concat()
}

// === impl Parts ===

impl Parts {
    fn add_service(&mut self, service: &ServicePlan, address: IpAddr, pods: &[Ready<'_>]) {
        for port in &service.ports {
            let protocol = port.protocol.to_lowercase();
            let key = format!("{address} . {protocol} . {}", port.port);
            let backends = backends(service, port, address.is_ipv6(), pods);
            let (id, chain) = chain_of("service", service, port);
            if backends.is_empty() {
                self.without_endpoints
                    .push(format!("{key} : goto reject-chain"));
                continue;
            }
            self.service_ips.push(format!("{key} : goto {chain}"));
            self.add_choice(&chain, &id, &protocol, &backends);
        }
    }

    /// Ports of the node's own addresses. The node answers for the pods, so that their answers come
    /// back through it, unless the service wants to see its clients.
    fn add_node_ports(&mut self, service: &ServicePlan, v6: bool, pods: &[Ready<'_>], node: Node) {
        let here: Vec<Ready<'_>> = pods
            .iter()
            .filter(|pod| !service.external_local || pod.plan.node == node)
            .cloned()
            .collect();
        for port in service.ports.iter().filter(|_| service.has_family(v6)) {
            let Some(number) = port.node_port else {
                continue;
            };
            let protocol = port.protocol.to_lowercase();
            let key = format!("{protocol} . {number}");
            let backends = backends(service, port, v6, &here);
            let (id, chain) = chain_of("external", service, port);
            if backends.is_empty() {
                self.node_ports_without_endpoints
                    .push(format!("{key} : goto reject-chain"));
                continue;
            }
            self.node_ports.push(format!("{key} : goto {chain}"));
            if service.external_local {
                self.add_choice(&chain, &id, &protocol, &backends);
                continue;
            }
            let choice = format!("{chain}/choice");
            let rules =
                format!("chain {chain} {{\n  jump mark-for-masquerade\n  goto {choice}\n}}\n");
            self.add_choice(&choice, &id, &protocol, &backends);
            self.chains.push_str(&rules);
        }
    }

    /// A chain that goes to any of the backends.
    fn add_choice(&mut self, chain: &str, id: &str, protocol: &str, backends: &[Backend]) {
        let mut choices = Vec::new();
        for (index, backend) in backends.iter().enumerate() {
            let endpoint = self.add_backend(id, protocol, backend);
            choices.push(format!("{index} : goto {endpoint}"));
        }
        writeln!(
            self.chains,
            "chain {chain} {{\n  numgen random mod {} vmap {{ {} }}\n}}",
            backends.len(),
            choices.join(", ")
        )
        .expect("writing to a String cannot fail");
    }

    fn add_backend(&mut self, id: &str, protocol: &str, backend: &Backend) -> String {
        let address = backend.address;
        let target = format!("{}:{}", bracketed(address), backend.port);
        let family = if address.is_ipv6() { "ip6" } else { "ip" };
        let chain = format!("endpoint-{}-{id}", short_hash(&[id, &target]));
        // A pod that reaches itself through its service would otherwise answer itself directly.
        let rules = format!(
            "chain {chain} {{\n  {family} saddr {address} jump mark-for-masquerade\n  \
             meta l4proto {protocol} dnat to {target}\n}}\n"
        );
        self.chains.push_str(&rules);
        chain
    }
}

/// What names a port of a service, and its chain.
fn chain_of(kind: &str, service: &ServicePlan, port: &ServicePort) -> (String, String) {
    let id = format!(
        "{}/{}/{}",
        service.id(),
        port.protocol.to_lowercase(),
        port.name.as_deref().unwrap_or_default()
    );
    let id = format!("{id}{}", if kind == "external" { "/external" } else { "" });
    let chain = format!("{kind}-{}-{id}", short_hash(&[&id]));
    (id, chain)
}

fn set(word: &str, name: &str, kind: &str, elements: &[String]) -> String {
    let elements = match elements {
        [] => String::new(),
        some => format!("  elements = {{ {} }}\n", some.join(", ")),
    };
    format!("{word} {name} {{\n  type {kind}\n{elements}}}\n")
}

fn short_hash(parts: &[&str]) -> String {
    names::suffix(names::hash(parts), 8)
}
