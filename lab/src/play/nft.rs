//! Services as nft rules, shaped as kube-proxy's nftables mode makes them.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::endpoints::{Backend, Ready, backends};
use super::service::ServicePlan;
use crate::layout::{POD_CIDRS, SERVICE_CIDRS, bracketed};
use crate::names;

/// The bit by which kube-proxy remembers that a packet must leave with the node's address.
const MASQUERADE: &str = "0x4000";

/// The whole rule set of the node, both families, replaced in one transaction.
pub fn rules(services: &[ServicePlan], pods: &[Ready<'_>]) -> String {
    let mut text = String::new();
    for v6 in [false, true] {
        let family = if v6 { "ip6" } else { "ip" };
        // Declaring before deleting makes the first load the same as every other.
        let table = format!("table {family} kube-proxy");
        text += &format!("{table}\ndelete {table}\n{table} {{\n");
        text += &family_rules(services, pods, v6);
        text += "}\n";
    }
    text
}

/// The rules of one family: the maps first, then a chain for each port and each backend.
#[derive(Default)]
struct Parts {
    service_ips: Vec<String>,
    without_endpoints: Vec<String>,
    cluster_ips: Vec<String>,
    chains: String,
}

fn family_rules(services: &[ServicePlan], pods: &[Ready<'_>], v6: bool) -> String {
    let mut parts = Parts::default();
    for service in services {
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
    let (pod_cidr, service_cidr) = (POD_CIDRS[usize::from(v6)], SERVICE_CIDRS[usize::from(v6)]);
    [
        set("map", "service-ips", &key, &parts.service_ips),
        set("map", "no-endpoint-services", &key, &parts.without_endpoints),
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
  {family} saddr {pod_cidr} oifname eth0 masquerade
}}
chain filter-forward {{
  type filter hook forward priority -110; policy accept;
  ct state new jump service-checks
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
            if backends.is_empty() {
                self.without_endpoints
                    .push(format!("{key} : goto reject-chain"));
                continue;
            }
            let id = format!(
                "{}/{protocol}/{}",
                service.id(),
                port.name.as_deref().unwrap_or_default()
            );
            let chain = format!("service-{}-{id}", short_hash(&[&id]));
            self.service_ips.push(format!("{key} : goto {chain}"));
            let mut choices = Vec::new();
            for (index, backend) in backends.iter().enumerate() {
                let endpoint = self.add_backend(&id, &protocol, backend);
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
