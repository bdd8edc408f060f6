//! Links, routes, rules and settings of a private network, over netlink.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
};

use futures_util::stream::TryStreamExt;
use rtnetlink::{
    Handle, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
    packet_route::{
        link::LinkAttribute,
        neighbour::NeighbourState,
        route::{RouteScope, RouteType},
        rule::RuleAction,
    },
};
use weir_policy::model::Direction;

use super::{INSIDE, NetworkError, interface, outside};
use crate::host;

/// Routing table of the local default route; any number will do, the namespace is ours.
const TABLE: u32 = 2005;
const RULE_PRIORITY: u32 = 9;
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const ADDRESS_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Settings inside the namespace, below `/proc/sys/net`; the design's section 1 says why.
const SETTINGS: [(&str, &str); 17] = [
    // Accepted sockets take the mark of their SYN: that is how the proxy knows the endpoint.
    ("ipv4/tcp_fwmark_accept", "1"),
    // Resets for sockets that are gone go back the way the packet came.
    ("ipv4/fwmark_reflect", "1"),
    ("ipv6/fwmark_reflect", "1"),
    // The proxy keeps its clients' ports, so they come back soon.
    ("ipv4/tcp_tw_reuse", "1"),
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv4/ip_local_port_range", "1024 65535"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/weir1/rp_filter", "0"),
    // A mid-stream packet without a socket must be answered by a reset, never slowed down.
    ("ipv4/tcp_invalid_ratelimit", "0"),
    ("core/somaxconn", "16384"),
    ("ipv4/tcp_max_syn_backlog", "16384"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/weir1/disable_ipv6", "0"),
    ("ipv6/conf/weir1/accept_ra", "0"),
    ("ipv6/conf/weir1/accept_dad", "0"),
    ("ipv6/conf/weir1/router_solicitations", "0"),
];

/// Joins node and namespace by a veth pair; returns the MAC of the node's end.
pub(super) fn join(
    direction: Direction,
    netns: &OwnedFd,
    mtu: u32,
) -> Result<Vec<u8>, NetworkError> {
    let path = std::path::Path::new(INSIDE);
    let inside_is_there = super::netns::within(netns, path, || interface::index(INSIDE))?
        .map_err(|source| NetworkError::Netns {
            action: "look for the link in it",
            path: path.into(),
            source,
        })?
        .is_some();
    let name = outside(direction);
    netlink(direction, async move |handle| {
        let there = index(name)?.is_some();
        // A name in the node's namespace until it is moved: unlike any CNI's.
        let temporary = format!("{name}x");
        if there && !inside_is_there {
            if index(&temporary)?.is_none() {
                let reason = "its other end is in another network namespace: an instance of \
                              another name runs here, or a proxy whose namespace was removed"
                    .to_owned();
                return Err(("use the link", rtnetlink::Error::NamespaceError(reason)));
            }
            delete(&handle, name)
                .await
                .map_err(|e| ("remove half a link", e))?;
        }
        if !there || !inside_is_there {
            delete(&handle, &temporary)
                .await
                .map_err(|e| ("remove half a link", e))?;
            let pair = LinkVeth::new(name, &temporary).mtu(mtu).build();
            handle
                .link()
                .add(pair)
                .execute()
                .await
                .map_err(|e| ("make the veth pair", e))?;
            let end = needed(&temporary)?;
            let end = LinkUnspec::new_with_index(end)
                .name(INSIDE)
                .mtu(mtu)
                .setns_by_fd(netns.as_raw_fd())
                .build();
            handle
                .link()
                .set(end)
                .execute()
                .await
                .map_err(|e| ("move a link end", e))?;
        }
        // The node has no business with the link: no address, no router solicitations.
        // A node without IPv6 has no such setting, and needs none.
        host::set(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1").ok();
        let up = LinkUnspec::new_with_name(name).mtu(mtu).up().build();
        handle
            .link()
            .set(up)
            .execute()
            .await
            .map_err(|e| ("set the link up", e))?;
        mac(&handle, name).await.map_err(|e| ("read the link", e))
    })
}

/// Removes the end inside, and with it the node's; runs in the namespace.
pub(super) fn unjoin(direction: Direction) -> Result<(), NetworkError> {
    netlink(direction, async |handle| {
        delete(&handle, INSIDE)
            .await
            .map_err(|e| ("remove the link", e))
    })
}

/// Sets up the inside; runs in the namespace.
pub(super) fn inside(direction: Direction, node_mac: Vec<u8>) -> Result<(), NetworkError> {
    for (key, value) in SETTINGS {
        let key = format!("net/{key}");
        host::set(&key, value).map_err(|source| NetworkError::Sysctl {
            direction,
            key,
            source,
        })?;
    }
    netlink(direction, async move |handle| {
        for name in ["lo", INSIDE] {
            let up = LinkUnspec::new_with_name(name).up().build();
            handle
                .link()
                .set(up)
                .execute()
                .await
                .map_err(|e| ("set a link up", e))?;
        }
        let (lo, link) = (1, needed(INSIDE)?);
        existing_is_fine(
            handle
                .address()
                .add(link, IpAddr::V4(ADDRESS_V4), 32)
                .execute()
                .await,
        )
        .map_err(|e| ("add the address", e))?;
        for gateway in [IpAddr::V4(GATEWAY_V4), IpAddr::V6(GATEWAY_V6)] {
            handle
                .neighbours()
                .add(link, gateway)
                .link_layer_address(&node_mac)
                .state(NeighbourState::Permanent)
                .replace()
                .execute()
                .await
                .map_err(|e| ("add the neighbour", e))?;
        }
        routes(&handle, lo, link).await
    })
}

async fn routes(
    handle: &Handle,
    lo: u32,
    link: u32,
) -> Result<(), (&'static str, rtnetlink::Error)> {
    let out_v4 = RouteMessageBuilder::<Ipv4Addr>::new()
        .output_interface(link)
        .gateway(GATEWAY_V4)
        .onlink()
        .build();
    let out_v6 = RouteMessageBuilder::<Ipv6Addr>::new()
        .output_interface(link)
        .gateway(GATEWAY_V6)
        .onlink()
        .build();
    let local_v4 = RouteMessageBuilder::<Ipv4Addr>::new()
        .output_interface(lo)
        .table_id(TABLE)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .build();
    let local_v6 = RouteMessageBuilder::<Ipv6Addr>::new()
        .output_interface(lo)
        .table_id(TABLE)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .build();
    for route in [out_v4, out_v6, local_v4, local_v6] {
        existing_is_fine(handle.route().add(route).execute().await)
            .map_err(|e| ("add a route", e))?;
    }
    let rule = || {
        handle
            .rule()
            .add()
            .input_interface(INSIDE)
            .table_id(TABLE)
            .priority(RULE_PRIORITY)
            .action(RuleAction::ToTable)
    };
    existing_is_fine(rule().v4().execute().await).map_err(|e| ("add a rule", e))?;
    existing_is_fine(rule().v6().execute().await).map_err(|e| ("add a rule", e))
}

async fn delete(handle: &Handle, name: &str) -> Result<(), rtnetlink::Error> {
    match index(name).map_err(|(_, error)| error)? {
        Some(index) => handle.link().del(index).execute().await,
        None => Ok(()),
    }
}

/// Interface index by name, in the calling thread's network namespace.
fn index(name: &str) -> Result<Option<u32>, (&'static str, rtnetlink::Error)> {
    let failed = |error: io::Error| rtnetlink::Error::NamespaceError(format!("`{name}`: {error}"));
    interface::index(name).map_err(|error| ("look for a link", failed(error)))
}

/// Index of a link that has just been made.
fn needed(name: &str) -> Result<u32, (&'static str, rtnetlink::Error)> {
    let missing = || rtnetlink::Error::NamespaceError(format!("`{name}` is not there"));
    index(name)?.ok_or_else(|| ("find the link", missing()))
}

async fn mac(handle: &Handle, name: &str) -> Result<Vec<u8>, rtnetlink::Error> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    let link = links
        .try_next()
        .await?
        .ok_or(rtnetlink::Error::RequestFailed)?;
    link.attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(mac) => Some(mac),
            _ => None,
        })
        .ok_or(rtnetlink::Error::RequestFailed)
}

fn existing_is_fine(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match result {
        Err(rtnetlink::Error::NetlinkError(message)) if message.raw_code() == -libc::EEXIST => {
            Ok(())
        }
        other => other,
    }
}

/// Runs netlink requests in the calling thread's network namespace.
fn netlink<T>(
    direction: Direction,
    work: impl AsyncFnOnce(Handle) -> Result<T, (&'static str, rtnetlink::Error)>,
) -> Result<T, NetworkError> {
    let failed = |action, reason: String| NetworkError::Netlink {
        direction,
        action,
        reason,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start a runtime", error.to_string()))?;
    runtime.block_on(async {
        let (connection, handle, _) =
            new_connection().map_err(|error| failed("open netlink", error.to_string()))?;
        tokio::spawn(connection);
        work(handle)
            .await
            .map_err(|(action, error)| failed(action, error.to_string()))
    })
}
