//! The devices by which packets reach the node and leave it.
//!
//! Ports of a bridge or a bond are none: what they carry to the node arrives on the bridge. Nor are
//! the loopback, by which nothing comes from elsewhere, and the proxy's private links, whose packets
//! come to the node at a pod's veth.

use std::{collections::BTreeSet, io, time::Duration};

use futures_util::stream::TryStreamExt as _;
use rtnetlink::{
    new_connection,
    packet_route::link::{
        InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    },
};
use weir_policy::model::Direction;

use super::outside;

/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A device of the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether its frames have an Ethernet header: others cannot be read.
    pub ethernet: bool,
}

/// Reads them. Works on the calling thread's network namespace, in a tokio runtime.
///
/// # Errors
/// Where netlink cannot be opened, or refuses, or does not answer in time.
pub async fn read() -> io::Result<BTreeSet<Device>> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let listed = handle.link().get().execute().try_collect::<Vec<_>>();
    let listed = tokio::time::timeout(PATIENCE, listed).await;
    connection.abort();
    let listed = listed
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        .map_err(io::Error::other)?;
    Ok(of_node(&listed))
}

/// The same from a thread that may wait, outside of a runtime.
///
/// # Errors
/// Those of [`read`].
pub fn now() -> io::Result<BTreeSet<Device>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(read())
}

fn of_node(links: &[LinkMessage]) -> BTreeSet<Device> {
    // What belongs to a VRF still takes its packets itself.
    let routing: BTreeSet<u32> = links
        .iter()
        .filter(|link| kind(link) == Some(&InfoKind::Vrf))
        .map(|link| link.header.index)
        .collect();
    let private = Direction::BOTH.map(outside);
    let device = |link: &LinkMessage| {
        let name = link.attributes.iter().find_map(|of| match of {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })?;
        let owner = link.attributes.iter().find_map(|of| match of {
            LinkAttribute::Controller(index) => Some(*index),
            _ => None,
        });
        let is_port = owner.is_some_and(|owner| owner != 0 && !routing.contains(&owner));
        let loopback = link.header.flags.contains(LinkFlags::Loopback);
        let is_private = private.iter().any(|of| name.starts_with(of));
        (!is_port && !loopback && !is_private).then_some(Device {
            index: link.header.index,
            ethernet: link.header.link_layer_type == LinkLayerType::Ether,
            name,
        })
    };
    links.iter().filter_map(device).collect()
}

fn kind(link: &LinkMessage) -> Option<&InfoKind> {
    link.attributes.iter().find_map(|of| match of {
        LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
            LinkInfo::Kind(kind) => Some(kind),
            _ => None,
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, of: LinkLayerType, more: Vec<LinkAttribute>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.link_layer_type = of;
        link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        link.attributes.extend(more);
        link
    }

    #[test]
    fn what_the_node_is_reached_by() {
        let is = |kind| vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])];
        let port_of = |index| vec![LinkAttribute::Controller(index)];
        let ether = LinkLayerType::Ether;
        let mut lo = link(1, "lo", LinkLayerType::Loopback, Vec::new());
        lo.header.flags = LinkFlags::Loopback;
        let links = [
            lo,
            link(2, "eth0", ether, Vec::new()),
            link(3, "cni0", ether, is(InfoKind::Bridge)),
            link(4, "veth1", ether, port_of(3)),
            link(5, "cali1", ether, is(InfoKind::Veth)),
            link(6, "blue", ether, is(InfoKind::Vrf)),
            link(7, "eth1", ether, port_of(6)),
            link(8, outside(Direction::Egress), ether, Vec::new()),
            link(9, "wg0", LinkLayerType::None, is(InfoKind::Wireguard)),
            link(10, "eth2", ether, port_of(0)),
        ];
        let found = of_node(&links);
        let names: Vec<_> = found
            .iter()
            .map(|of| (of.name.as_str(), of.ethernet))
            .collect();
        let wanted = [
            ("eth0", true),
            ("cni0", true),
            ("cali1", true),
            ("blue", true),
            ("eth1", true),
            ("wg0", false),
            ("eth2", true),
        ];
        assert_eq!(names, wanted);
    }
}
