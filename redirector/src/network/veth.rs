//! Finding the node's end of a pod's veth.
//!
//! A CNI plugin tells the pod's network namespace, and there the veth names its other end. Of pods
//! that run already only the address is known: where the node has a route to this address alone,
//! its interface is the veth (ptp, Calico, kindnet); else every network namespace that a process
//! is in or that has a name is looked through (bridges and everything else). What a bridge has
//! learnt of link addresses is not asked: any pod on it could have taught it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs, io,
    net::IpAddr,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use rtnetlink::{
    Handle, RouteMessageBuilder, new_connection,
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        address::AddressAttribute,
        link::{InfoKind, LinkAttribute, LinkInfo},
        nsid::{NsidAttribute, NsidMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage},
    },
};

use super::{NetworkError, interface, netns};

/// Name of the interface in the calling thread's network namespace that is the other end of a
/// pod's veth. `netns` is the name or the path of the pod's network namespace; `interface` the
/// veth in it, where it is known, else the first one.
pub fn host_side(netns: &str, interface: Option<&str>) -> Result<String, NetworkError> {
    let path = match netns.starts_with('/') {
        true => PathBuf::from(netns),
        false => netns::path(netns),
    };
    let failed = |source| NetworkError::Netns {
        action: "find the pod's veth in it",
        path: path.clone(),
        source,
    };
    let opened = netns::open(&path)?;
    let peers = netns::within(&opened, &path, peers)?.map_err(failed)?;
    let wanted = |peer: &&Peer| interface.is_none_or(|interface| peer.name == interface);
    let peer = peers.iter().find(wanted).ok_or_else(|| {
        let what = interface.map_or_else(String::new, |name| format!(" named `{name}`"));
        failed(io::Error::other(format!("it has no veth{what}")))
    })?;
    let gone = || failed(io::Error::other("its other end has gone meanwhile"));
    let name = interface::name(peer.index).map_err(failed)?;
    name.ok_or_else(gone)
}

/// What a search for veths came to.
#[derive(Debug, Default)]
pub struct Search {
    /// The node's ends of veths, by a pod's address.
    pub found: BTreeMap<IpAddr, String>,
    /// A place that could not be looked at, and why: what was not found may be there.
    pub unseen: Option<String>,
}

/// The node's ends of the veths behind these addresses. Addresses that are behind none are left
/// out, and those that several pods claim. Works on the calling thread's network namespace as the
/// node.
///
/// # Errors
/// Nothing could be looked at; see also [`Search::unseen`].
pub fn of_addresses(wanted: &BTreeSet<IpAddr>) -> io::Result<Search> {
    let mut found: BTreeMap<IpAddr, BTreeSet<u32>> = BTreeMap::new();
    for (address, index) in netlink(async |handle| routed(&handle, wanted).await)? {
        found.entry(address).or_default().insert(index);
    }
    let missing: BTreeSet<IpAddr> = wanted
        .iter()
        .filter(|address| !found.contains_key(address))
        .copied()
        .collect();
    let mut search = Search::default();
    if !missing.is_empty() {
        let (seen, unseen) = in_namespaces(&missing)?;
        search.unseen = unseen;
        for (address, index) in seen {
            found.entry(address).or_default().insert(index);
        }
    }
    for (address, indices) in found {
        match indices.first() {
            // One that is gone meanwhile does not hide the others.
            Some(index) if indices.len() == 1 => match interface::name(*index) {
                Ok(Some(name)) => drop(search.found.insert(address, name)),
                Ok(None) => {}
                Err(error) => search.unseen = Some(format!("interface {index}: {error}")),
            },
            _ => tracing::warn!(%address, "several pods have this address: none counts"),
        }
    }
    Ok(search)
}

/// Looks through the network namespaces of the machine. What a pod says of its veth is not
/// believed: it could name an interface of its choice. The node's end itself names the namespace
/// and the interface that it leads to.
///
/// A namespace that could not be looked at is told beside what was found.
fn in_namespaces(wanted: &BTreeSet<IpAddr>) -> io::Result<(Vec<Lead>, Option<String>)> {
    let veths = netlink(async |handle| veths(&handle).await)?;
    let own = fs::metadata("/proc/thread-self/ns/net")?.ino();
    let mut seen = HashSet::from([own]);
    let mut found = Vec::new();
    let mut unseen = None;
    for path in namespaces()? {
        match in_namespace(&path, &mut seen, &veths) {
            Ok(there) => found.extend(
                there
                    .into_iter()
                    .filter(|(address, _)| wanted.contains(address)),
            ),
            // A process that has ended meanwhile has nothing to tell, and one that nobody may look
            // at (another sandbox's first one) is no pod's: a pod that is not found says so itself.
            Err(error) if has_ended(&error) || is_hidden(&error) => {}
            Err(error) => unseen = Some(format!("{}: {error}", path.display())),
        }
    }
    Ok((found, unseen))
}

/// Addresses of a network namespace that was not seen yet, with the node's ends that lead there.
fn in_namespace(path: &Path, seen: &mut HashSet<u64>, veths: &[Veth]) -> io::Result<Vec<Lead>> {
    let inode = fs::metadata(path)?.ino();
    if seen.contains(&inode) {
        return Ok(Vec::new());
    }
    let opened = netns::open(path).map_err(io::Error::other)?;
    let mut found = Vec::new();
    if let Some(id) = netlink(async |handle| id(handle, &opened).await)? {
        let inside = netns::within(&opened, path, addresses).map_err(io::Error::other)??;
        for (interface, address) in inside {
            let of = veths.iter().filter(|veth| veth.leads_to(id, interface));
            found.extend(of.map(|veth| (address, veth.index)));
        }
    }
    // Only now: another path may lead to one that could not be looked at by this one.
    seen.insert(inode);
    Ok(found)
}

/// What is said of a process, or of a name, that was there a moment ago.
fn has_ended(error: &io::Error) -> bool {
    let gone = [libc::ENOENT, libc::ESRCH, libc::ENOTDIR];
    error
        .raw_os_error()
        .is_some_and(|errno| gone.contains(&errno))
}

/// What is said of a process that may not be looked at.
fn is_hidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// An address, and the node's end of the veth that it is behind.
type Lead = (IpAddr, u32);

/// A veth of the node whose other end is in another network namespace.
struct Veth {
    index: u32,
    /// The namespace of the other end, as the node numbers it.
    namespace: i32,
    /// The other end's interface index there.
    other: u32,
}

impl Veth {
    fn leads_to(&self, namespace: i32, index: u32) -> bool {
        (self.namespace, self.other) == (namespace, index)
    }
}

async fn veths(handle: &Handle) -> Result<Vec<Veth>, rtnetlink::Error> {
    let mut veths = Vec::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let (mut namespace, mut other) = (None, None);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
                LinkAttribute::Link(index) => other = Some(*index),
                _ => {}
            }
        }
        if let (Some(namespace), Some(other), true) = (namespace, other, is_veth(&link.attributes))
        {
            veths.push(Veth {
                index: link.header.index,
                namespace,
                other,
            });
        }
    }
    Ok(veths)
}

/// The number that the node gives a network namespace; `None`: none, so no veth leads there.
async fn id(mut handle: Handle, netns: &OwnedFd) -> Result<Option<i32>, rtnetlink::Error> {
    let mut message = NsidMessage::default();
    let descriptor = netns.as_raw_fd().unsigned_abs();
    message.attributes.push(NsidAttribute::Fd(descriptor));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(message));
    request.header.flags = NLM_F_REQUEST;
    let mut answers = handle.request(request)?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(message)) = answer.payload
        {
            return Ok(message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                    _ => None,
                }));
        }
    }
    Ok(None)
}

/// Addresses of the calling thread's network namespace, with their interfaces.
fn addresses() -> io::Result<Vec<(u32, IpAddr)>> {
    netlink(async |handle| {
        let mut found = Vec::new();
        let mut listed = handle.address().get().execute();
        while let Some(message) = listed.try_next().await? {
            let of = message.attributes.iter().filter_map(|a| match a {
                AddressAttribute::Address(address) => Some((message.header.index, *address)),
                _ => None,
            });
            found.extend(of);
        }
        Ok(found)
    })
}

/// A veth, seen from inside a pod.
struct Peer {
    name: String,
    /// The other end's interface index.
    index: u32,
}

/// The veths of the calling thread's network namespace whose other end is outside it.
fn peers() -> io::Result<Vec<Peer>> {
    netlink(async |handle| {
        let mut peers = Vec::new();
        let mut links = handle.link().get().execute();
        while let Some(link) = links.try_next().await? {
            let (mut name, mut other, mut away) = (String::new(), None, false);
            for attribute in &link.attributes {
                match attribute {
                    LinkAttribute::IfName(given) => name.clone_from(given),
                    LinkAttribute::Link(index) => other = Some(*index),
                    LinkAttribute::LinkNetNsId(_) => away = true,
                    _ => {}
                }
            }
            if let Some(index) = other.filter(|_| away && is_veth(&link.attributes)) {
                peers.push(Peer { name, index });
            }
        }
        Ok(peers)
    })
}

/// Veths that are the way to one of these addresses and to nothing else.
async fn routed(
    handle: &Handle,
    wanted: &BTreeSet<IpAddr>,
) -> Result<Vec<(IpAddr, u32)>, rtnetlink::Error> {
    let mut veths = HashSet::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        if is_veth(&link.attributes) {
            veths.insert(link.header.index);
        }
    }
    let everything = [
        RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
        RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
    ];
    let mut found = Vec::new();
    for query in everything {
        let mut routes = handle.route().get(query).execute();
        while let Some(route) = routes.try_next().await? {
            if let Some((address, index)) = alone(&route)
                && wanted.contains(&address)
                && veths.contains(&index)
            {
                found.push((address, index));
            }
        }
    }
    Ok(found)
}

/// Address and interface of a route to one address, without a gateway in between.
fn alone(route: &RouteMessage) -> Option<(IpAddr, u32)> {
    let (mut address, mut index) = (None, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => return None,
            _ => {}
        }
    }
    let address = address?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    (route.header.destination_prefix_length == whole).then_some((address, index?))
}

fn is_veth(attributes: &[LinkAttribute]) -> bool {
    attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(infos)
            if infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth))))
    })
}

/// Files of the network namespaces that processes are in, and of those that container runtimes
/// gave a name; many are the same one.
fn namespaces() -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            found.push(entry.path().join("ns/net"));
        }
    }
    found.extend(netns::all()?);
    Ok(found)
}

/// Runs netlink requests in the calling thread's network namespace.
fn netlink<T>(work: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        work(handle).await.map_err(io::Error::other)
    })
}
