//! The links and routes of a lab: the node, the world outside it, and each pod.
//!
//! ```text
//!  world ── eth0 ════ eth0 ── node ── vethXXXXXXXX ════ eth0 ── pod     (routed: a /32 route each)
//!                               └──── cni0 ── vethXXXXXXXX ══ eth0 ── pod   (bridge: one segment)
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{netns, process, tool};
use crate::layout::{
    BRIDGE_V4, BRIDGE_V6, GATEWAY_V4, GATEWAY_V6, Layout, NODE_V4, NODE_V6, OUTSIDE_V4, OUTSIDE_V6,
    POD_CIDRS, WORLD,
};
use crate::state::{Pod, Topology};

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

/// As the bridge plugin makes it: of the bridge's IPv4 address.
const BRIDGE_MAC: &str = "0a:58:0a:f4:00:01";

/// How long a link may take to come up.
const READY: Duration = Duration::from_secs(10);

/// Makes the netns of the node and of the world, joined by one link.
pub fn make_node(layout: &Layout, topology: Topology) -> Result<()> {
    let (node, world) = (layout.node_netns(), layout.world_netns());
    tool::ip(
        None,
        &[format!("netns add {node}"), format!("netns add {world}")],
    )?;
    for name in [&node, &world] {
        netns::sysctl(name, &NO_DAD)?;
    }
    netns::sysctl(&node, &ROUTER)?;
    let mut commands = vec![
        "link set lo up".to_owned(),
        format!("link add eth0 type veth peer name eth0 netns {world}"),
        format!("addr add {NODE_V4}/16 dev eth0"),
        format!("addr add {NODE_V6}/64 dev eth0 nodad"),
        "link set eth0 up".to_owned(),
        format!("route add default via {OUTSIDE_V4}"),
        format!("route add default via {OUTSIDE_V6}"),
    ];
    if topology == Topology::Bridge {
        commands.extend([
            // A bridge without an address of its own takes the lowest of its ports' addresses, and
            // changes it when a pod comes or goes: pods would go on sending to the old one.
            format!("link add cni0 address {BRIDGE_MAC} type bridge"),
            format!("addr add {BRIDGE_V4}/24 dev cni0"),
            format!("addr add {BRIDGE_V6}/64 dev cni0 nodad"),
            "link set cni0 up".to_owned(),
        ]);
    }
    tool::ip(Some(&node), &commands)?;
    let mut commands = vec![
        "link set lo up".to_owned(),
        format!("addr add {OUTSIDE_V4}/16 dev eth0"),
        format!("addr add {OUTSIDE_V6}/64 dev eth0 nodad"),
        "link set eth0 up".to_owned(),
        // The world can reach pods by their own addresses, as the rest of a private network can.
        format!("route add {} via {NODE_V4}", POD_CIDRS[0]),
        format!("route add {} via {NODE_V6}", POD_CIDRS[1]),
    ];
    for (_, v4, v6) in WORLD {
        commands.push(format!("addr add {v4}/32 dev lo"));
        commands.push(format!("addr add {v6}/128 dev lo nodad"));
    }
    tool::ip(Some(&world), &commands)?;
    wait_ready(&node, &["eth0"])?;
    wait_ready(&world, &["eth0"])
}

/// Makes the netns of new pods and joins them to the node.
pub fn make_pods(layout: &Layout, topology: Topology, pods: &[&Pod]) -> Result<()> {
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
    tool::ip(Some(&layout.node_netns()), &on_node)?;
    for (pod, _) in &pods {
        tool::ip(Some(&pod.netns), &inside_pod(topology, pod))?;
    }
    for (pod, _) in &pods {
        wait_ready(&pod.netns, &["eth0"])?;
    }
    let interfaces: Vec<&str> = pods.iter().map(|(_, interface)| *interface).collect();
    wait_ready(&layout.node_netns(), &interfaces)
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
        let link = netns::inside(&layout.node_netns(), || {
            Ok(Path::new("/proc/sys/net/ipv4/conf")
                .join(interface)
                .exists())
        })?;
        if link {
            tool::ip(
                Some(&layout.node_netns()),
                &[format!("link del {interface}")],
            )?;
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
        let node = match address {
            IpAddr::V4(_) => IpAddr::V4(NODE_V4),
            IpAddr::V6(_) => IpAddr::V6(NODE_V6),
        };
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
            format!("route add default via {BRIDGE_V4}"),
            format!("route add default via {BRIDGE_V6}"),
        ]),
    }
    commands
}
