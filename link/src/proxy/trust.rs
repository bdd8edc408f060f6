//! Who is taken for a proxy.
//!
//! A user id proves nothing: whoever starts a container may choose it. What only a proxy of this
//! instance has is sockets in the private network namespaces, because entering these takes
//! CAP_SYS_ADMIN on the node. So a proxy shows its listeners before it is told anything, and the
//! kernel tells in which namespace each was made.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, sockopt},
};
use weir_policy::model::Direction;

use super::{
    frame::LinkError,
    message::{Hello, ListenerInfo},
    netns,
};
use crate::Instance;

/// User and group of a running proxy: nobody else's. Neither Debian (65000 to 65533 are reserved) nor
/// systemd (65520 to 65533 are never given out) uses it, no entry in a user database is needed, and
/// it is not `nobody` (65534), which is every second container's.
pub const USER: u32 = 65523;

/// The private namespaces of an instance, by their cookies (`SO_NETNS_COOKIE`, Linux 5.14). The
/// kernel gives a number to one network namespace only, until the machine restarts.
#[derive(Debug, Clone)]
pub struct Trusted(BTreeMap<Direction, u64>);

impl Trusted {
    /// The proxies of an instance on this node.
    ///
    /// # Errors
    /// A namespace cannot be entered.
    pub fn of_instance(instance: &Instance) -> io::Result<Self> {
        let mut cookies = BTreeMap::new();
        for direction in Direction::BOTH {
            cookies.insert(direction, cookie_of(&instance.netns_path(direction))?);
        }
        Ok(Self(cookies))
    }

    /// Proxies with both directions where this process is, for tests.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn here() -> io::Result<Self> {
        let cookie = own_cookie()?;
        Ok(Self(Direction::BOTH.map(|of| (of, cookie)).into()))
    }

    /// Whether a process of this user may speak at all.
    ///
    /// # Errors
    /// [`LinkError::Untrusted`].
    pub(super) fn user(uid: u32) -> Result<(), LinkError> {
        let own = nix::unistd::geteuid().as_raw();
        if uid == 0 || uid == USER || uid == own {
            Ok(())
        } else {
            Err(LinkError::Untrusted { uid })
        }
    }

    /// Whether a process has shown that it is a proxy: it listens in every private namespace, and
    /// everything that it brings is a listener there.
    ///
    /// # Errors
    /// [`LinkError::Unexpected`] says what is missing.
    pub(super) fn proxy(&self, hello: &Hello, sockets: &[OwnedFd]) -> Result<(), LinkError> {
        let refused = |what| Err(LinkError::Unexpected { what });
        if hello.listeners.len() != sockets.len() {
            return refused("listeners without their sockets");
        }
        for (info, socket) in hello.listeners.iter().zip(sockets) {
            if !listens(info, socket) {
                return refused("a socket that is not the listener it is said to be");
            }
            let cookie = netns::cookie(socket)?;
            if self.0.get(&info.direction) != Some(&cookie) {
                return refused("a listener that is not in the private network namespace");
            }
        }
        let in_all = self.0.keys().all(|direction| {
            let mut infos = hello.listeners.iter();
            infos.any(|info| info.direction == *direction && !info.udp)
        });
        match in_all {
            true => Ok(()),
            false => refused("no listener in a private network namespace"),
        }
    }
}

/// Whether a socket is what its description says.
fn listens(info: &ListenerInfo, socket: &OwnedFd) -> bool {
    let family = match info.v6 {
        true => AddressFamily::Inet6,
        false => AddressFamily::Inet,
    };
    let kind = match info.udp {
        true => SockType::Datagram,
        false => SockType::Stream,
    };
    let get = |socket: &OwnedFd| -> nix::Result<bool> {
        let name: SockaddrStorage = getsockname(std::os::fd::AsRawFd::as_raw_fd(socket))?;
        let port = (name.as_sockaddr_in().map(|v4| v4.port()))
            .or_else(|| name.as_sockaddr_in6().map(|v6| v6.port()));
        Ok(name.family() == Some(family)
            && port == Some(info.port)
            && nix::sys::socket::getsockopt(socket, sockopt::SockType)? == kind
            && (info.udp || nix::sys::socket::getsockopt(socket, sockopt::AcceptConn)?))
    };
    get(socket).unwrap_or(false)
}

fn own_cookie() -> io::Result<u64> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::DGRAM, None)?;
    netns::cookie(&socket)
}

/// The cookie of a namespace, told by a socket of a thread inside it.
fn cookie_of(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            own_cookie()
        });
        let told = inside.join();
        told.unwrap_or_else(|_| Err(io::Error::other("the thread in it failed")))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;
    use crate::proxy::message::PROTOCOL;

    fn hello(listeners: Vec<ListenerInfo>) -> Hello {
        Hello {
            protocol: PROTOCOL,
            version: String::new(),
            pid: 1,
            started: 1,
            listeners,
        }
    }

    fn bring(
        direction: Direction,
        socket: impl Into<OwnedFd>,
        port: u16,
    ) -> (ListenerInfo, OwnedFd) {
        let info = ListenerInfo {
            direction,
            v6: false,
            udp: false,
            port,
        };
        (info, socket.into())
    }

    fn listener(direction: Direction) -> (ListenerInfo, OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        bring(direction, listener, port)
    }

    #[test]
    fn only_listeners_in_every_private_namespace_make_a_proxy() {
        use Direction::{Egress, Ingress};
        let here = Trusted::here().unwrap();
        let ask = |trusted: &Trusted, brought: Vec<(ListenerInfo, OwnedFd)>| {
            let (infos, sockets): (Vec<_>, Vec<_>) = brought.into_iter().unzip();
            trusted.proxy(&hello(infos), &sockets).is_ok()
        };
        assert!(ask(&here, vec![listener(Ingress), listener(Egress)]));
        assert!(!ask(&here, vec![]));
        assert!(!ask(&here, vec![listener(Ingress)]), "one direction");
        let mut elsewhere = here.clone();
        *elsewhere.0.get_mut(&Egress).unwrap() += 1;
        let both = vec![listener(Ingress), listener(Egress)];
        assert!(!ask(&elsewhere, both), "another network namespace");

        let (mut info, socket) = listener(Egress);
        info.port ^= 1;
        assert!(!ask(&here, vec![listener(Ingress), (info, socket)]), "port");
        let (mut info, socket) = listener(Egress);
        info.v6 = true;
        assert!(
            !ask(&here, vec![listener(Ingress), (info, socket)]),
            "family"
        );
        let at = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(at.local_addr().unwrap()).unwrap();
        let port = stream.local_addr().unwrap().port();
        let connection = bring(Egress, stream, port);
        assert!(
            !ask(&here, vec![listener(Ingress), connection]),
            "no listener"
        );
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        let datagrams = bring(Egress, udp, port);
        assert!(!ask(&here, vec![listener(Ingress), datagrams]), "datagrams");
        let file = bring(Egress, File::open("/dev/null").unwrap(), 1);
        assert!(!ask(&here, vec![listener(Ingress), file]), "no socket");
    }

    #[test]
    fn a_user_that_containers_have_may_not_speak() {
        assert!(Trusted::user(USER).is_ok());
        for uid in [65534, 1000, 65522] {
            assert!(Trusted::user(uid).is_err(), "{uid}");
        }
    }
}
