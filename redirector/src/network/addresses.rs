//! Every address that the node takes for its own, read from the kernel and followed.
//!
//! Those of its interfaces (RTM_GETADDR), and what its local routing table says beside them:
//! broadcast addresses, the anycast addresses of a router's subnets (RFC 4291 2.6.1), and local
//! routes that somebody made. A packet to any of them ends on the node.

use std::{collections::BTreeSet, io, net::IpAddr, time::Duration};

use futures_util::{
    FutureExt as _,
    stream::{BoxStream, StreamExt as _, TryStreamExt as _},
};
use ipnet::IpNet;
use rtnetlink::{
    Handle, MulticastGroup, new_connection_with_strict_check, new_multicast_connection,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
    },
};
use tokio::task::JoinHandle;

/// The table that every lookup meets first (`RT_TABLE_LOCAL` of rtnetlink.h).
const LOCAL_TABLE: u8 = 255;
/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads them. Works on the calling thread's network namespace, in a tokio runtime.
///
/// # Errors
/// Where netlink cannot be opened, or refuses, or does not answer in time: then nothing is known
/// of what the node has now.
pub async fn read() -> io::Result<BTreeSet<IpNet>> {
    let (connection, handle, _) = new_connection_with_strict_check()?;
    let connection = tokio::spawn(connection);
    // One after the other: a socket takes one dump at a time.
    let read = async {
        let mut found = of_interfaces(&handle).await?;
        found.extend(of_local_routes(&handle).await?);
        Ok(found)
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    connection.abort();
    read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        .map_err(|error: rtnetlink::Error| io::Error::other(error))
}

/// Changes of the node's addresses and devices, as the kernel tells of them.
pub struct Changes {
    told: BoxStream<'static, ()>,
    connection: JoinHandle<()>,
}

impl Changes {
    /// Listens from now on. Works on the calling thread's network namespace, in a tokio runtime.
    ///
    /// # Errors
    /// Where netlink cannot be opened or does not let it listen.
    pub fn follow() -> io::Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ];
        let (connection, _, told) = new_multicast_connection(&groups)?;
        Ok(Self {
            told: told.map(drop).boxed(),
            connection: tokio::spawn(connection),
        })
    }

    /// Waits for a change; `None`: the kernel tells no more. Cancel safe. What a message says is
    /// not told: it may be one of several, some of them lost.
    pub async fn changed(&mut self) -> Option<()> {
        let told = tokio::select! {
            told = self.told.next() => told,
            _ = &mut self.connection => None,
        };
        // Those that are there already are the same change to who reads all of it.
        while let Some(Some(())) = self.told.next().now_or_never() {}
        told
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn of_interfaces(handle: &Handle) -> Result<BTreeSet<IpNet>, rtnetlink::Error> {
    let listed = handle.address().get().execute();
    listed
        .try_filter_map(async |message| Ok(own(&message).map(IpNet::from)))
        .try_collect()
        .await
}

/// The interface's own address: of a link between two, `Address` is the other end's.
fn own(message: &AddressMessage) -> Option<IpAddr> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => return Some(*local),
            AddressAttribute::Address(given) => address = Some(*given),
            _ => {}
        }
    }
    address
}

async fn of_local_routes(handle: &Handle) -> Result<BTreeSet<IpNet>, rtnetlink::Error> {
    let mut found = BTreeSet::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut query = RouteMessage::default();
        query.header.address_family = family;
        query.header.table = LOCAL_TABLE;
        let mut routes = handle.route().get(query).execute();
        while let Some(route) = routes.try_next().await? {
            // A kernel may answer with more than it was asked for.
            if route.header.table == LOCAL_TABLE {
                found.extend(ending_here(&route));
            }
        }
    }
    Ok(found)
}

/// The destination of a route that ends on the node.
fn ending_here(route: &RouteMessage) -> Option<IpNet> {
    let here = [RouteType::Local, RouteType::Broadcast, RouteType::Anycast];
    if !here.contains(&route.header.kind) {
        return None;
    }
    let address = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        })?;
    IpNet::new(address, route.header.destination_prefix_length).ok()
}
