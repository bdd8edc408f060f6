//! The links and routes of a lab: the nodes, the world outside them, and each pod.
//!
//! ```text
//!  world ── eth0 ════ eth0 ── node ── vethXXXXXXXX ════ eth0 ── pod     (routed: a /32 route each)
//!                               └──── cni0 ── vethXXXXXXXX ══ eth0 ── pod   (bridge: one segment)
//!  world ── eth1 ════ eth0 ── node2 ── ...                (with the world as the router between)
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{netns, process, tool};
use crate::layout::{GATEWAY_V4, GATEWAY_V6, Layout, WORLD};
use crate::node::{self, Node};
use crate::state::{Pod, State, Topology};

/// Addresses are usable at once: nobody else is on these links, so nothing needs detecting.
const NO_DAD: [(&str, &str); 2] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
];

/// A router, as the kubelet and the CNIs set a node up; loose reverse path filter as systemd does.
const ROUTER: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/all/rp_filter", "2"),
    ("ipv4/conf/default/rp_filter", "2"),
];

/// How long a link may take to come up.
const READY: Duration = Duration::from_secs(10);

/// Makes the netns of the nodes and of the world, which is the router between them.
pub fn make_nodes(layout: &Layout, state: &State) -> Result<()> {
    let world = layout.world_netns();
    tool::ip(None, &[format!("netns add {world}")])?;
    netns::sysctl(&world, &NO_DAD)?;
    netns::sysctl(&world, &ROUTER)?;
    let mut commands = vec!["link set lo up".to_owned()];
    for (_, v4, v6) in WORLD {
        commands.push(format!("addr add {v4}/32 dev lo"));
        commands.push(format!("addr add {v6}/128 dev lo nodad"));
    }
    tool::ip(Some(&world), &commands)?;
    for node in &state.nodes {
        make_node(layout, state.topology, node.node)?;
    }
    Ok(())
}

fn make_node(layout: &Layout, topology: Topology, place: Node) -> Result<()> {
    let (node, world) = (layout.node_netns(place), layout.world_netns());
    let link = format!("eth{}", place.index());
    let ([v4, v6], [router_v4, router_v6]) = (place.addresses(), place.router());
    tool::ip(None, &[format!("netns add {node}")])?;
    netns::sysctl(&node, &NO_DAD)?;
    netns::sysctl(&node, &ROUTER)?;
    let mut commands = vec![
        "link set lo up".to_owned(),
        format!("link add eth0 type veth peer name {link} netns {world}"),
        format!("addr add {v4}/16 dev eth0"),
        format!("addr add {v6}/64 dev eth0 nodad"),
        "link set eth0 up".to_owned(),
        format!("route add default via {router_v4}"),
        format!("route add default via {router_v6}"),
    ];
    if topology == Topology::Bridge {
        let [bridge_v4, bridge_v6] = place.bridge();
        commands.extend([
            // A bridge without an address of its own takes the lowest of its ports' addresses, and
            // changes it when a pod comes or goes: pods would go on sending to the old one.
            format!("link add cni0 address {} type bridge", place.bridge_mac()),
            format!("addr add {bridge_v4}/24 dev cni0"),
            format!("addr add {bridge_v6}/64 dev cni0 nodad"),
            "link set cni0 up".to_owned(),
        ]);
    }
    tool::ip(Some(&node), &commands)?;
    let [pods_v4, pods_v6] = place.pod_cidrs();
    let commands = [
        format!("addr add {router_v4}/16 dev {link}"),
        format!("addr add {router_v6}/64 dev {link} nodad"),
        format!("link set {link} up"),
        // The world can reach pods by their own addresses, as the rest of a private network can.
        format!("route add {pods_v4} via {v4}"),
        format!("route add {pods_v6} via {v6}"),
    ];
    tool::ip(Some(&world), &commands)?;
    wait_ready(&node, &["eth0"])?;
    wait_ready(&world, &[&link])
}

/// Makes the netns of new pods and joins them to their nodes.
pub fn make_pods(layout: &Layout, topology: Topology, pods: &[&Pod]) -> Result<()> {
    for node in Node::all(node::MOST) {
        let here: Vec<&Pod> = pods
            .iter()
            .copied()
            .filter(|pod| pod.node == node)
            .collect();
        if !here.is_empty() {
            make_pods_of(layout, topology, node, &here)?;
        }
    }
    Ok(())
}

fn make_pods_of(layout: &Layout, topology: Topology, node: Node, pods: &[&Pod]) -> Result<()> {
    let pods: Vec<(&Pod, &str)> = pods
        .iter()
        .filter_map(|pod| Some((*pod, pod.interface.as_deref()?)))
        .collect();
    let adds: Vec<String> = pods
        .iter()
        .map(|(pod, _)| format!("netns add {}", pod.netns))
        .collect();
    tool::ip(None, &adds)?;
    for (pod, _) in &pods {
        netns::sysctl(&pod.netns, &NO_DAD)?;
    }
    let mut on_node = Vec::new();
    for (pod, interface) in &pods {
        on_node.push(format!(
            "link add {interface} type veth peer name eth0 netns {}",
            pod.netns
        ));
        match topology {
            Topology::Routed => route_to(&mut on_node, pod, interface),
            Topology::Bridge => {
                on_node.push(format!("link set {interface} master cni0 up"));
                // As kubelet and the CNIs set it: a pod can reach itself through its service.
                on_node.push(format!("link set {interface} type bridge_slave hairpin on"));
            }
        }
    }
    tool::ip(Some(&layout.node_netns(node)), &on_node)?;
    for (pod, _) in &pods {
        tool::ip(Some(&pod.netns), &inside_pod(topology, pod))?;
    }
    for (pod, _) in &pods {
        wait_ready(&pod.netns, &["eth0"])?;
    }
    let interfaces: Vec<&str> = pods.iter().map(|(_, interface)| *interface).collect();
    wait_ready(&layout.node_netns(node), &interfaces)
}

/// Waits until IPv6 works on interfaces. The kernel hears of a carrier up to a second later and
/// gives the interface its own link-local address then; before, the first packets are lost.
fn wait_ready(netns: &str, interfaces: &[&str]) -> Result<()> {
    netns::inside(netns, || {
        let ready = process::wait_until(READY, || {
            // Not /proc/net: that is the netns of our first thread.
            let table = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
            let ready: BTreeSet<&str> = table.lines().filter_map(ready_interface).collect();
            interfaces.iter().all(|interface| ready.contains(interface))
        });
        if !ready {
            bail!("in {netns}: {interfaces:?} did not come up in {READY:?}");
        }
        Ok(())
    })
}

/// The interface of a line that is a usable link-local address which the kernel made itself.
fn ready_interface(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [address, _, _, _, flags, interface] = fields.as_slice() else {
        return None;
    };
    let tentative = u8::from_str_radix(flags, 16).ok()? & 0x40 != 0;
    let own = address.starts_with("fe80") && *address != "fe800000000000000000000000000001";
    (own && !tentative).then_some(*interface)
}

/// Takes the links of pods away; the pods' ends go with them.
pub fn remove_pods(layout: &Layout, pods: &[Pod]) -> Result<()> {
    for pod in pods {
        let Some(interface) = &pod.interface else {
            continue;
        };
        let node = layout.node_netns(pod.node);
        let link = netns::inside(&node, || {
            Ok(Path::new("/proc/sys/net/ipv4/conf")
                .join(interface)
                .exists())
        })?;
        if link {
            tool::ip(Some(&node), &[format!("link del {interface}")])?;
        }
        netns::delete(&pod.netns)?;
    }
    Ok(())
}

fn route_to(commands: &mut Vec<String>, pod: &Pod, interface: &str) {
    // Link scope: nothing leaves the node from this address, masquerade included.
    commands.push(format!(
        "addr add {GATEWAY_V4}/32 dev {interface} scope link"
    ));
    commands.push(format!("addr add {GATEWAY_V6}/64 dev {interface} nodad"));
    commands.push(format!("link set {interface} up"));
    for address in &pod.addresses {
        // The node speaks to its pods from its own address.
        let node = pod.node.address_like(address);
        commands.push(format!("route add {address} dev {interface} src {node}"));
    }
}

fn inside_pod(topology: Topology, pod: &Pod) -> Vec<String> {
    let mut commands = vec!["link set lo up".to_owned()];
    let (bits_v4, bits_v6) = match topology {
        Topology::Routed => (32, 128),
        Topology::Bridge => (24, 64),
    };
    for address in &pod.addresses {
        commands.push(if address.is_ipv6() {
            format!("addr add {address}/{bits_v6} dev eth0 nodad")
        } else {
            format!("addr add {address}/{bits_v4} dev eth0")
        });
    }
    commands.push("link set eth0 up".to_owned());
    match topology {
        Topology::Routed => commands.extend([
            format!("route add {GATEWAY_V4} dev eth0 scope link"),
            format!("route add default via {GATEWAY_V4} dev eth0"),
            format!("route add default via {GATEWAY_V6} dev eth0"),
        ]),
        Topology::Bridge => commands.extend([
            format!("route add default via {}", pod.node.bridge()[0]),
            format!("route add default via {}", pod.node.bridge()[1]),
        ]),
    }
    commands
}
